//! A call that its client does not want any more is cancelled at the backend, whoever the client is.
//!
//! The backend is the peer of the conformance kit: it tells which of its waiting calls were cancelled.

use std::time::Duration;

use anyhow::{Result, anyhow};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern, Sse};
use omcp_tests::harness::process;
use omcp_tests::harness::wait::{self, holds};
use omcp_tests::kit::program::Listening;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Time for a request to get through before its client hangs up; if it was not enough, there is a next one.
const THROUGH: Duration = Duration::from_millis(300);

fn any(told: &Value) -> Result<(), String> {
    let cancelled = told["ids"].as_array().is_some_and(|ids| !ids.is_empty());
    holds(cancelled, told.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn reaches_the_backend_from_every_kind_of_client() -> Result<()> {
    let server = Listening::start(&["--tcp", "127.0.0.1:0"]).await.map_err(|error| anyhow!(error))?;
    let cluster = Cluster::start(1);
    let settings = json!({ "endpoint": server.address() });
    cluster.apply(&[
        json!({ "id": "tcp", "runtime": { "type": "tcp", "endpoint": server.address() } }),
        json!({ "id": "plugin", "runtime": { "type": "plugin", "settings": settings,
            "command": process::program("omcp-example-plugin") } }),
    ]);
    let node = &cluster.nodes[0];
    for backend in ["tcp", "plugin"] {
        by_hanging_up(&node.endpoint(backend)).await;
        by_a_notification(&node.endpoint(backend)).await?;
        beside_a_stream(&node.sse_endpoint(backend)).await?;
    }
    Ok(())
}

async fn by_hanging_up(endpoint: &str) {
    let client = Modern::new(endpoint);
    wait::until("the cancellation of a stateless call", async || {
        let waits = Modern::new(endpoint);
        assert!(timeout(THROUGH, waits.open("kit/wait", json!({}))).await.is_err(), "it never answers");
        let told = client.request("kit/cancelled", json!({})).await;
        any(&told.map_err(|error| format!("{error:#}"))?)
    })
    .await;
}

async fn by_a_notification(endpoint: &str) -> Result<()> {
    let client = Legacy::connect(endpoint).await?;
    let waits = tokio::spawn({
        let client = client.clone();
        async move { client.open_as(json!("w"), "kit/wait", json!({})).await.map(drop) }
    });
    wait::until("the cancellation of a call in a session", async || {
        // Harmless while the call is not there yet.
        let cancelled = client.notify("notifications/cancelled", json!({ "requestId": "w" })).await;
        cancelled.map_err(|error| format!("{error:#}"))?;
        let told = client.request("kit/cancelled", json!({})).await;
        any(&told.map_err(|error| format!("{error:#}"))?)
    })
    .await;
    waits.await?
}

async fn beside_a_stream(endpoint: &str) -> Result<()> {
    let mut client = Sse::connect(endpoint).await?;
    client.post(&json!({ "jsonrpc": "2.0", "id": "w", "method": "kit/wait", "params": {} })).await?;
    let params = json!({ "requestId": "w" });
    client.post(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await?;
    // What was posted first has arrived first.
    any(&client.request("kit/cancelled", json!({})).await?).map_err(|told| anyhow!(told))
}
