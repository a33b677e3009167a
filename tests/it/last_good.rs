//! A node without its control plane: what it has on disk is enough, and safe to have there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Http, Modern};
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::node::Node;
use serde_json::json;

fn files(node: &Node) -> Vec<PathBuf> {
    let entries = fs::read_dir(node.state().join("last-good")).expect("a node has a state folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "omcp"));
    files.sort();
    files
}

async fn is_ready(node: &Node) -> Result<bool> {
    let reply =
        Http::default().request(http::Method::GET, &format!("{}/readyz", node.admin), &[], b"").await?;
    Ok(reply.status == 200)
}

/// Applies one more backend and waits until a file holds it.
async fn add(cluster: &Cluster, backend: &str) {
    cluster.apply(&[stdio(backend, &[])]);
    cluster.until_persisted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_file_is_passed_over() -> Result<()> {
    let mut cluster = Cluster::start(1);
    for backend in ["one", "two", "three"] {
        add(&cluster, backend).await;
    }
    cluster.control_plane.kill();
    cluster.nodes[0].kill();
    let newest = files(&cluster.nodes[0]).pop().expect("there are files");
    let content = fs::read(&newest)?;
    fs::write(&newest, &content[..content.len() / 2])?;
    cluster.nodes[0].restart();
    let node = &cluster.nodes[0];
    ensure!(is_ready(node).await?);
    for backend in ["one", "two"] {
        assert_eq!(Modern::new(&node.endpoint(backend)).tool("add", json!({ "a": 1, "b": 1 })).await?, "2");
    }
    cluster.control_plane.restart();
    cluster.until_status("three", |status| status["state"] == "ready").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_file_a_node_waits_and_says_so() -> Result<()> {
    let mut cluster = Cluster::start(1);
    add(&cluster, "one").await;
    cluster.control_plane.kill();
    cluster.nodes[0].kill();
    for file in files(&cluster.nodes[0]) {
        let mut content = fs::read(&file)?;
        let middle = content.len() / 2;
        content[middle] ^= 0x40;
        fs::write(&file, content)?;
    }
    cluster.nodes[0].restart();
    ensure!(!is_ready(&cluster.nodes[0]).await?, "it has nothing to serve");
    cluster.control_plane.restart();
    cluster.until_status("one", |status| status["state"] == "ready").await;
    ensure!(is_ready(&cluster.nodes[0]).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_hold_references_and_no_secrets() -> Result<()> {
    let cluster = Cluster::start_with(1, &[("OMCP_TEST_SECRET", "hush-1234")]);
    let mut backend = stdio("one", &[]);
    backend["env"] = json!({ "TOKEN": "${OMCP_TEST_SECRET}" });
    cluster.apply(&[backend]);
    cluster.until_persisted().await;
    let files = files(&cluster.nodes[0]);
    let newest = files.last().context("there are files")?;
    let content = unpack(&fs::read(newest)?)?;
    // An older one may be from before the backend.
    ensure!(contains(&content, b"${OMCP_TEST_SECRET}"), "no reference in {}", newest.display());
    for file in &files {
        let content = unpack(&fs::read(file)?)?;
        ensure!(!contains(&content, b"hush-1234"), "a secret in {}", file.display());
    }
    Ok(())
}

/// The content of a last-good file: magic, length of the header, header, zstd frame, hash.
fn unpack(file: &[u8]) -> Result<Vec<u8>> {
    let header_len = u32::from_le_bytes(file[8..12].try_into()?) as usize;
    Ok(zstd::decode_all(&file[12 + header_len..file.len() - 32])?)
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}
