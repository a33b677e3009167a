//! Sessions that end: by DELETE through any node, and with the node on which they live.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::client::{Legacy, Modern};
use serde_json::{Value, json};

use super::{House, NODES};

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_deleted_through_another_node_is_gone_on_all() -> Result<()> {
    let house = House::build().await;
    for backend in ["stdio", "http", "modern-stdio", "modern-http"] {
        let client = Legacy::connect(&house.endpoint(0, backend)).await?;
        assert_eq!(client.at(&house.endpoint(1, backend)).delete().await?.status, 200, "{backend}");
        for node in 0..NODES {
            let at = client.at(&house.endpoint(node, backend));
            assert_eq!(at.post(&ping()).await?.status, 404, "{backend} on node {node}");
            assert_eq!(at.delete().await?.status, 404, "{backend} on node {node}");
        }
    }
    Ok(())
}

/// An HTTP server's sessions go on at any other node. Those with a process went with it: 404, and the client
/// starts anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_node_ends_only_what_lived_there() -> Result<()> {
    let mut house = House::build().await;
    let connect = async |backend: &str| Legacy::connect(&house.endpoint(0, backend)).await;
    let (http, pipe, bridged) =
        (connect("http").await?, connect("stdio").await?, connect("modern-http").await?);
    let elsewhere = Legacy::connect(&house.endpoint(1, "stdio")).await?;
    for client in [&http, &pipe, &elsewhere] {
        assert_eq!(client.tool("counter", json!({})).await?, "1");
    }
    let asking = Modern::new(&house.endpoint(0, "legacy-stdio"));
    let mut params = json!({ "name": "test_elicitation", "arguments": { "message": "who?" } });
    let asked = asking.request("tools/call", params.clone()).await?;
    params["requestState"] = asked["requestState"].clone();
    params["inputResponses"] = json!({ "user_details": { "action": "decline" } });

    house.cluster.nodes[0].kill();
    for node in 1..NODES {
        let at = |client: &Legacy, backend: &str| client.at(&house.endpoint(node, backend));
        assert_eq!(at(&http, "http").tool("counter", json!({})).await?, (node + 1).to_string());
        assert_eq!(at(&elsewhere, "stdio").tool("counter", json!({})).await?, (node + 1).to_string());
        for (client, backend) in [(&pipe, "stdio"), (&bridged, "modern-http")] {
            let reply = at(client, backend).post(&ping()).await?;
            assert_eq!(reply.status, 404, "{backend} on node {node}");
            ensure!(reply.json().await?["error"]["code"] == -32600, "{backend} on node {node}");
        }
        let mut exchange =
            asking.at(&house.endpoint(node, "legacy-stdio")).open("tools/call", params.clone()).await?;
        assert_eq!(exchange.status, 200);
        let error = exchange.error().await?;
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32602), &json!("interaction_lost")));
    }
    let again = Legacy::connect(&house.endpoint(1, "stdio")).await?;
    assert_eq!(again.tool("counter", json!({})).await?, "1");

    house.cluster.nodes[0].restart();
    let reply = pipe.at(&house.endpoint(2, "stdio")).post(&ping()).await?;
    assert_eq!(reply.status, 404, "the node is back, and has forgotten");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_on_its_way_breaks_off_with_its_node() -> Result<()> {
    let mut house = House::build().await;
    let client = Legacy::connect(&house.endpoint(0, "stdio")).await?;
    let params = json!({ "name": "progress", "arguments": { "steps": 1000, "delay_ms": 20 },
        "_meta": { "progressToken": 7 } });
    let mut exchange = client.at(&house.endpoint(1, "stdio")).open("tools/call", params).await?;
    exchange.next().await?.context("a step")?;
    let waiting = client.at(&house.endpoint(2, "stdio"));
    let waiting = tokio::spawn(async move { waiting.tool("slow", json!({ "ms": 60_000 })).await });
    house.cluster.nodes[0].kill();
    let end = loop {
        match exchange.next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    ensure!(!matches!(end, Ok(Some(_))), "the stream has ended");
    ensure!(waiting.await?.is_err(), "nobody knows whether it ran");
    Ok(())
}
