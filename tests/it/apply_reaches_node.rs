//! A manifest reaches every node, and what changes in it changes there.

use std::path::Path;

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::modern::{headers_of, with_envelope};
use omcp_tests::harness::client::{Http, Legacy, Modern};
use omcp_tests::harness::control_plane::address;
use omcp_tests::harness::manifest::{manifest, stdio};
use omcp_tests::harness::wait::{self, holds};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_comes_changes_and_goes() -> Result<()> {
    let cluster = Cluster::start(2);
    cluster.apply(&[stdio("one", &[]), stdio("two", &[])]);
    for node in &cluster.nodes {
        for backend in ["one", "two"] {
            let client = Legacy::connect(&node.endpoint(backend)).await?;
            assert_eq!(client.tool("echo", json!({ "message": backend })).await?, backend);
        }
    }
    let mut changed = stdio("one", &[]);
    changed["env"] = json!({ "OMCP_MARK": "changed" });
    cluster.apply(&[changed]);
    for node in &cluster.nodes {
        let client = Legacy::connect(&node.endpoint("one")).await?;
        assert!(client.tool("env", json!({})).await?.contains(r#""OMCP_MARK":"changed""#));
    }
    cluster.omcp(&["delete", "two", "--wait"]).expect(0);
    for node in &cluster.nodes {
        let reply = Http::default().request(http::Method::GET, &node.endpoint("two"), &[], b"").await?;
        assert_eq!(reply.status, 404);
        assert_eq!(
            Legacy::connect(&node.endpoint("one")).await?.request("ping", json!({})).await?,
            json!({})
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_arrives_slowly_meets_the_newest_definition() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("one", &[])]);
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": with_envelope(json!({ "name": "env", "arguments": {} })) });
    let body = message.to_string();
    let (early, late) = body.split_at(body.len() / 2);
    let mut upload = TcpStream::connect(address(&cluster.nodes[0].mcp)).await?;
    let mut head = format!(
        "POST /mcp/one HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers_of(&message) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    upload.write_all(format!("{head}\r\n{early}").as_bytes()).await?;
    let mut changed = stdio("one", &[]);
    changed["env"] = json!({ "OMCP_MARK": "changed" });
    let before = pid(&cluster).await?;
    cluster.apply(&[changed]);
    // The replaced definition and its process are gone before the rest of the request comes.
    wait::until("the old process to end", async || {
        holds(!Path::new(&format!("/proc/{before}")).exists(), before)
    })
    .await;
    upload.write_all(late.as_bytes()).await?;
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("OMCP_MARK"), "{answer}");
    Ok(())
}

/// The process that serves modern clients of backend `one`.
async fn pid(cluster: &Cluster) -> Result<u32> {
    Ok(Modern::new(&cluster.nodes[0].endpoint("one")).tool("pid", json!({})).await?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_manifest_again_changes_nothing() {
    let cluster = Cluster::start(1);
    let backends = [stdio("one", &[]), stdio("two", &[])];
    cluster.apply(&backends);
    let before = cluster.omcp(&["get", "-o", "json"]).expect(0).stdout;
    cluster.apply(&backends);
    assert_eq!(cluster.omcp(&["get", "-o", "json"]).expect(0).stdout, before);
    let text = manifest(&backends);
    assert_eq!(cluster.omcp(&["diff", "-f", &write(&cluster, &text)]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_resolved_on_the_node_and_nowhere_else() -> Result<()> {
    let cluster = Cluster::start_with(1, &[("OMCP_TEST_SECRET", "hush-1234")]);
    let mut backend = stdio("one", &[]);
    backend["env"] = json!({ "TOKEN": "Bearer ${OMCP_TEST_SECRET}" });
    cluster.apply(&[backend]);
    let client = Legacy::connect(&cluster.nodes[0].endpoint("one")).await?;
    assert!(client.tool("env", json!({})).await?.contains("Bearer hush-1234"));
    let told = [
        cluster.omcp(&["export"]).expect(0).text(),
        cluster.omcp(&["status", "-o", "json"]).expect(0).text(),
        cluster.omcp(&["describe", "one"]).expect(0).text(),
        cluster.control_plane.output(),
        cluster.nodes[0].output(),
    ];
    assert!(told[0].contains("${OMCP_TEST_SECRET}"), "{}", told[0]);
    assert!(told.iter().all(|text| !text.contains("hush-1234")));
    Ok(())
}

fn write(cluster: &Cluster, manifest: &str) -> String {
    let path = cluster.folder().join("manifest.yaml");
    std::fs::write(&path, manifest).expect("a file can be written");
    path.display().to_string()
}
