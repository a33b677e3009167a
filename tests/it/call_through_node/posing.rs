//! Servers without sessions that answer a handshake as if they had some.

use std::time::Duration;

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::legacy::NEWEST;
use omcp_tests::harness::client::{Http, Legacy, Modern, Sse};
use omcp_tests::harness::manifest::{http, stdio};
use omcp_tests::harness::server::Server;
use serde_json::json;

/// Long enough for every client here to come before the answer.
const POSE: &[&str] = &["--era", "modern", "--behave", "pose-ms=15000"];
/// For the answer that waits for that.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

async fn bridged(endpoint: String, tool: String) -> Result<()> {
    let client = Legacy::connect_with(Http::patient(ANSWER_LIMIT), &endpoint, NEWEST).await?;
    assert_eq!(client.version(), "2025-11-25", "{endpoint}");
    ensure!(!client.session().is_empty(), "{endpoint}: no session");
    assert_eq!(client.tool(&tool, json!({ "message": "hello" })).await?, "hello", "{endpoint} {tool}");
    Ok(())
}

async fn bridged_over_sse(endpoint: String) -> Result<()> {
    let said = Sse::connect(&endpoint).await?.tool("echo", json!({ "message": "hello" })).await?;
    assert_eq!(said, "hello", "{endpoint}");
    Ok(())
}

async fn first_clients(cluster: &Cluster, backend: &str) -> Result<()> {
    let node = &cluster.nodes[0];
    let stateless = Modern::new(&node.endpoint(backend));
    stateless.request("server/discover", json!({})).await?;
    let sessions = [
        tokio::spawn(bridged(node.endpoint(backend), "echo".to_owned())),
        tokio::spawn(bridged(node.endpoint(backend), "echo".to_owned())),
        tokio::spawn(bridged(format!("{}/mcp", node.mcp), format!("{backend}__echo"))),
        tokio::spawn(bridged_over_sse(node.sse_endpoint(backend))),
    ];
    stateless.request("tools/list", json!({})).await?;
    ensure!(
        !sessions.iter().any(|session| session.is_finished()),
        "{backend}: who has no session does not wait"
    );
    for session in sessions {
        session.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_mislead_the_first_clients_with_sessions() -> Result<()> {
    let server = Server::http(POSE);
    let cluster = Cluster::start(1);
    cluster.apply(&[http("http", &server.url), stdio("stdio", POSE)]);
    tokio::try_join!(first_clients(&cluster, "http"), first_clients(&cluster, "stdio"))?;
    Ok(())
}
