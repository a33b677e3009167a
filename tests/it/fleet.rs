//! One control plane, three nodes, twenty backends of three types.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use omcp_proto::v1::backend_service_client::BackendServiceClient;
use omcp_proto::v1::{Backend, BackendSpec, UpdateBackendRequest};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern};
use omcp_tests::harness::load::Load;
use omcp_tests::harness::manifest::{http, manifest, sse, stdio};
use omcp_tests::harness::node::Node;
use omcp_tests::harness::server::Server;
use omcp_tests::harness::wait::{self, holds};
use prost_types::FieldMask;
use serde_json::{Value, json};
use tokio::time::sleep;

const NODES: usize = 3;
const EDITS: usize = 200;

/// Twenty backends: eight processes, six HTTP servers, six HTTP+SSE servers.
fn twenty(http_server: &Server, sse_server: &Server) -> Vec<Value> {
    let backend = |number: usize| match number {
        0..8 => stdio(&format!("pipe-{number}"), &[]),
        8..14 => http(&format!("http-{number}"), &http_server.url),
        _ => sse(&format!("sse-{number}"), &sse_server.url),
    };
    (0..20).map(backend).collect()
}

async fn serves(node: &Node, backends: &[Value]) -> Result<()> {
    for backend in backends {
        let name = backend["id"].as_str().expect("a backend has an id");
        let call = async {
            let client = Legacy::connect(&node.endpoint(name)).await?;
            ensure!(client.tool("echo", json!({ "message": name })).await? == name);
            client.delete().await
        };
        call.await.with_context(|| format!("{name} on {}", node.name()))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_with_and_without_its_control_plane() -> Result<()> {
    let (http_server, sse_server) = (Server::http(&[]), Server::sse(&[]));
    let mut cluster = Cluster::start(NODES);
    let backends = twenty(&http_server, &sse_server);
    cluster.apply(&backends);
    for node in &cluster.nodes {
        serves(node, &backends).await?;
    }
    cluster.until_persisted().await;
    let mut load = Load::default();
    for (node, backend) in [(0, "pipe-0"), (0, "http-8"), (1, "pipe-1"), (1, "http-9")] {
        load.add(&cluster.nodes[node].endpoint(backend)).await;
    }
    sleep(Duration::from_millis(300)).await;
    cluster.control_plane.kill();
    cluster.nodes[2].kill();
    cluster.nodes[2].restart();
    wait::until("the restarted node to serve everything", async || {
        serves(&cluster.nodes[2], &backends).await
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    cluster.control_plane.restart();
    wait::until("the nodes to come back", async || {
        let nodes = cluster.node_list();
        holds(nodes.len() == NODES && nodes.iter().all(|node| node["state"] == "in-sync"), nodes)
    })
    .await;
    for (node, source) in cluster.node_list().iter().zip(["memory", "memory", "disk"]) {
        assert_eq!((&node["snapshot_bytes"], &node["resume_source"]), (&json!(0), &json!(source)), "{node}");
    }
    let (calls, failures) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls");
    ensure!(calls > 100, "only {calls} calls");
    for node in &cluster.nodes {
        serves(node, &backends).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_backend_blocks_only_itself() -> Result<()> {
    let (http_server, sse_server) = (Server::http(&[]), Server::sse(&[]));
    let cluster = Cluster::start(NODES);
    let mut backends = twenty(&http_server, &sse_server);
    let unknown = json!({ "id": "typo", "runtime": { "type": "local-process", "command": "x", "agrs": [] } });
    let refused = cluster.try_apply(std::slice::from_ref(&unknown)).expect(2);
    for part in ["agrs", "args", "typo"] {
        ensure!(refused.stderr.contains(part), "{part} is not in {}", refused.stderr);
    }
    assert_eq!(cluster.omcp(&["get", "-o", "name"]).expect(0).stdout.trim(), "");
    let missing =
        json!({ "id": "missing", "runtime": { "type": "local-process", "command": "/no/such/program" } });
    let stranger = json!({ "id": "stranger", "runtime": { "type": "carrier-pigeon", "loft": "north" } });
    backends.extend([unknown, missing, stranger]);
    let text = manifest(&backends);
    let applied = cluster.try_apply_text(&text, &["--wait", "--validate=warn"]).expect(8);
    ensure!(applied.text().contains("/no/such/program"), "{}", applied.text());
    for node in &cluster.nodes {
        for (backend, reason) in
            [("typo", "agrs"), ("missing", "/no/such/program"), ("stranger", "carrier-pigeon")]
        {
            let status = cluster.status(backend, node.name());
            assert_eq!(status["state"], "rejected", "{status}");
            ensure!(status["reason"].as_str().is_some_and(|text| text.contains(reason)), "{status}");
        }
        serves(node, &backends[..20]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_edits_under_load() -> Result<()> {
    let http_server = Server::http(&[]);
    let cluster = Cluster::start(NODES);
    let untouched = ["still-0", "still-1"];
    cluster.apply(&[
        stdio("still-0", &[]),
        stdio("still-1", &[]),
        stdio("edited-pipe", &[]),
        http("edited-http", &http_server.url),
    ]);
    let before = pids(&cluster, &untouched).await?;
    let mut load = Load::default();
    for node in &cluster.nodes {
        for backend in ["still-0", "edited-pipe", "edited-http"] {
            load.add(&node.endpoint(backend)).await;
        }
    }
    let last = edit(&cluster, &["edited-pipe", "edited-http"]).await?;
    wait::until("the last edit on every node", async || {
        let nodes = cluster.node_list();
        holds(nodes.iter().all(|node| node["applied_revision"].as_u64() >= Some(last)), nodes)
    })
    .await;
    let (calls, failures) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls");
    ensure!(calls > 100, "only {calls} calls");
    assert_eq!(pids(&cluster, &untouched).await?, before);
    for node in &cluster.nodes {
        let environment = Modern::new(&node.endpoint("edited-pipe")).tool("env", json!({})).await?;
        ensure!(environment.contains(&format!("\"EDIT\":\"{}\"", EDITS - 2)), "{environment}");
    }
    Ok(())
}

/// The processes that serve stateless calls, by node and backend.
async fn pids(cluster: &Cluster, backends: &[&str]) -> Result<Vec<String>> {
    let mut pids = Vec::new();
    for node in &cluster.nodes {
        for backend in backends {
            pids.push(Modern::new(&node.endpoint(backend)).tool("pid", json!({})).await?);
        }
    }
    Ok(pids)
}

/// Changes the backends in turn, [`EDITS`] times in all; returns the last revision.
async fn edit(cluster: &Cluster, backends: &[&str]) -> Result<u64> {
    let mut client = BackendServiceClient::connect(cluster.control_plane.admin.clone()).await?;
    let mut revision = 0;
    for number in 0..EDITS {
        let spec =
            BackendSpec { env: [("EDIT".to_owned(), number.to_string())].into(), ..BackendSpec::default() };
        let backend = Backend {
            name: backends[number % backends.len()].to_owned(),
            spec: Some(spec),
            ..Backend::default()
        };
        let request = UpdateBackendRequest {
            backend: Some(backend),
            update_mask: Some(FieldMask { paths: vec!["spec.env".to_owned()] }),
            ..UpdateBackendRequest::default()
        };
        revision = client.update_backend(request).await?.into_inner().revision;
        sleep(Duration::from_millis(10)).await;
    }
    Ok(revision)
}
