//! Streams: opened at one node, resumed at another; and the clients whose stream is their session.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::client::{Legacy, Sse};
use omcp_tests::harness::wait::{self, holds};
use serde_json::json;

use super::House;

const ANY: [&str; 5] = ["stdio", "http", "sse", "modern-stdio", "modern-http"];

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_resumed_at_another_node() -> Result<()> {
    let house = House::build().await;
    for backend in ANY {
        let client = Legacy::connect(&house.endpoint(0, backend)).await?;
        let params = json!({ "name": "progress", "arguments": { "steps": 20, "delay_ms": 25 },
            "_meta": { "progressToken": 7 } });
        let mut exchange = client.at(&house.endpoint(1, backend)).open("tools/call", params).await?;
        for _ in 0..3 {
            exchange.next().await?;
        }
        let last = exchange.last_event_id.clone().context("events of a resumable stream have ids")?;
        drop(exchange);
        let mut events = client.at(&house.endpoint(2, backend)).stream(Some(&last)).await?;
        let mut steps = Vec::new();
        let answer = loop {
            let message = events.message().await?.context("the answer comes before the end")?;
            match message["params"]["progress"].as_u64() {
                Some(step) => steps.push(step),
                None => break message,
            }
        };
        assert_eq!(steps, (4..=20).collect::<Vec<u64>>(), "{backend}");
        assert_eq!(answer["result"]["content"][0]["text"], "20 steps", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_request_arrives_at_any_node() -> Result<()> {
    let house = House::build().await;
    for backend in ANY {
        let client = Legacy::connect(&house.endpoint(0, backend)).await?;
        let mut stream = client.at(&house.endpoint(1, backend)).stream(None).await?;
        let uri = json!({ "uri": "test://watched-resource" });
        client.at(&house.endpoint(2, backend)).request("resources/subscribe", uri.clone()).await?;
        client.at(&house.endpoint(2, backend)).tool("touch_resource", uri.clone()).await?;
        let message = stream.message().await?.context("an update")?;
        assert_eq!(message["method"], "notifications/resources/updated", "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_cancelled_through_another_node() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint(0, "stdio")).await?;
    let params = json!({ "name": "progress", "arguments": { "steps": 1000, "delay_ms": 20 },
        "_meta": { "progressToken": 7 } });
    let mut exchange =
        client.at(&house.endpoint(1, "stdio")).open_as(json!("long"), "tools/call", params).await?;
    exchange.next().await?;
    client
        .at(&house.endpoint(2, "stdio"))
        .notify("notifications/cancelled", json!({ "requestId": "long" }))
        .await?;
    let end = async {
        while let Some(message) = exchange.next().await? {
            ensure!(message["id"] != "long", "a cancelled call is not answered: {message}");
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(15), end).await.context("the stream ends")?
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_beside_a_stream_finds_it() -> Result<()> {
    let house = House::build().await;
    for backend in ["stdio", "http"] {
        let mut client = Sse::connect(&house.cluster.nodes[0].sse_endpoint(backend)).await?;
        client.message_url =
            client.message_url.replace(&house.cluster.nodes[0].mcp, &house.cluster.nodes[1].mcp);
        assert_eq!(client.tool("echo", json!({ "message": "far" })).await?, "far", "{backend}");
        client.message_url.push('x');
        let refused = client.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await;
        ensure!(refused.is_err_and(|error| error.to_string().contains("404")), "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_noticed_at_the_owner() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint(0, "stdio")).await?;
    let stream = client.at(&house.endpoint(1, "stdio")).stream(None).await?;
    drop(stream);
    // The owner would go on writing for a reader that is gone; this one is new, and gets what comes.
    let mut again = client.at(&house.endpoint(2, "stdio")).stream(None).await?;
    let uri = json!({ "uri": "test://watched-resource" });
    client.request("resources/subscribe", uri.clone()).await?;
    wait::until("the update at the new stream", async || {
        client.tool("touch_resource", uri.clone()).await?;
        let message = tokio::time::timeout(Duration::from_secs(1), again.message()).await??;
        let method = message.context("the stream goes on")?["method"].to_string();
        holds(method.contains("resources/updated"), method).map_err(anyhow::Error::msg)
    })
    .await;
    Ok(())
}
