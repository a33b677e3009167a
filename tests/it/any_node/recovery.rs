//! Sessions that are opened anew, where their backend allows that.

use anyhow::{Result, ensure};
use omcp_tests::harness::client::Legacy;
use omcp_tests::harness::wait::{self, holds};
use serde_json::json;

use super::{House, NODES};

const BACKENDS: [&str; 2] = ["lasting", "lasting-modern"];

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_opened_anew_on_one_other_node() -> Result<()> {
    let mut house = House::build().await;
    let mut clients = Vec::new();
    for backend in BACKENDS {
        let client = Legacy::connect(&house.endpoint(0, backend)).await?;
        assert_eq!(client.tool("echo", json!({ "message": "first" })).await?, "first", "{backend}");
        clients.push((backend, client));
    }
    let counting = clients[0].1.clone();
    assert_eq!(counting.tool("counter", json!({})).await?, "1");
    house.cluster.nodes[0].kill();
    for (backend, client) in &clients {
        for node in [1, 2, 1] {
            let at = client.at(&house.endpoint(node, backend));
            assert_eq!(at.tool("echo", json!({ "message": "again" })).await?, "again", "{backend}");
        }
    }
    // What it had counted is lost; from now on one node counts, whichever is asked.
    for (node, count) in [(1, "1"), (2, "2"), (2, "3"), (1, "4")] {
        assert_eq!(counting.at(&house.endpoint(node, "lasting")).tool("counter", json!({})).await?, count);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_its_process() -> Result<()> {
    let house = House::build().await;
    let client = Legacy::connect(&house.endpoint(0, "lasting")).await?;
    assert_eq!(client.tool("counter", json!({})).await?, "1");
    ensure!(client.at(&house.endpoint(1, "lasting")).tool("die", json!({})).await.is_err());
    wait::until("a process of its own again", async || {
        let count = client.at(&house.endpoint(1, "lasting")).tool("counter", json!({})).await?;
        holds(count == "1", count).map_err(anyhow::Error::msg)
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_opened_anew_by_nobody() -> Result<()> {
    let mut house = House::build().await;
    let client = Legacy::connect(&house.endpoint(0, "lasting")).await?;
    assert_eq!(client.at(&house.endpoint(1, "lasting")).delete().await?.status, 200);
    for node in &house.cluster.nodes {
        wait::until("all nodes to know of its end", async || {
            let ended = node.metric("omcp_ended_sessions").await;
            holds(ended == 1, ended)
        })
        .await;
    }
    house.cluster.nodes[0].kill();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    for node in 1..NODES {
        assert_eq!(client.at(&house.endpoint(node, "lasting")).post(&ping).await?.status, 404, "node {node}");
    }
    // Nor by one that was not there when it ended.
    house.cluster.nodes[0].restart();
    wait::until("the restarted node to know of its end", async || {
        let ended = house.cluster.nodes[0].metric("omcp_ended_sessions").await;
        holds(ended == 1, ended)
    })
    .await;
    assert_eq!(client.at(&house.endpoint(2, "lasting")).post(&ping).await?.status, 404);
    Ok(())
}
