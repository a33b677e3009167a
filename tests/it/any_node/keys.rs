//! The keys: rotated under load, and there without a control plane.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use omcp_tests::harness::client::Legacy;
use omcp_tests::harness::wait::{self, holds};
use serde_json::json;

use super::{House, NODES};

/// The id of the key that sealed a token.
fn key_of(token: &str) -> String {
    token.split('.').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_noticed_by_nobody() -> Result<()> {
    let house = House::build().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for (seed, backend) in (0..6).zip(["stdio", "http", "modern-stdio"].into_iter().cycle()) {
        let (balancer, stop) = (house.balancer(backend, seed), stop.clone());
        let client = Legacy::connect(balancer.any()).await?;
        clients.push(tokio::spawn(async move {
            let mut calls = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let message = format!("call {calls}");
                let at = client.at(balancer.any());
                ensure!(at.tool("echo", json!({ "message": message })).await? == message);
                calls += 1;
            }
            Ok(calls)
        }));
    }
    for _ in 0..3 {
        let said = house.cluster.omcp(&["keyring", "rotate"]).expect(0).stdout;
        let coming = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
        for node in 0..NODES {
            wait::until("a node to seal with the new key", async || {
                let client = Legacy::connect(&house.endpoint(node, "http")).await?;
                let key = key_of(client.session());
                client.delete().await?;
                holds(key == coming, key).map_err(anyhow::Error::msg)
            })
            .await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let calls = client.await??;
        ensure!(calls > 10, "only {calls} calls");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_without_a_control_plane_and_knows_everybody() -> Result<()> {
    let mut house = House::build().await;
    let http = Legacy::connect(&house.endpoint(1, "http")).await?;
    let pipe = Legacy::connect(&house.endpoint(0, "stdio")).await?;
    wait::until("the last-good files", async || {
        let nodes = house.cluster.node_list();
        holds(nodes.iter().all(|node| node["persisted_revision"] == node["head_revision"]), nodes)
    })
    .await;
    house.cluster.control_plane.kill();
    house.cluster.nodes[1].kill();
    house.cluster.nodes[1].restart();
    wait::until("the restarted node to serve", async || {
        http.at(&house.endpoint(1, "http")).tool("echo", json!({ "message": "x" })).await
    })
    .await;
    assert_eq!(pipe.at(&house.endpoint(1, "stdio")).tool("counter", json!({})).await?, "1");
    let new = Legacy::connect(&house.endpoint(1, "stdio")).await?;
    for (node, count) in [(0, "1"), (2, "2"), (1, "3")] {
        assert_eq!(new.at(&house.endpoint(node, "stdio")).tool("counter", json!({})).await?, count);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_for_their_owner_and_in_no_log() -> Result<()> {
    let house = House::build().await;
    house.cluster.omcp(&["keyring", "rotate"]).expect(0);
    let session = Legacy::connect(&house.endpoint(0, "stdio")).await?;
    session.at(&house.endpoint(1, "stdio")).tool("echo", json!({ "message": "x" })).await?;
    let path = house.cluster.nodes[0].state().join("keyring");
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    let database = house.cluster.control_plane.database();
    assert_eq!(std::fs::metadata(database)?.permissions().mode() & 0o777, 0o600);
    let secrets = super::handles::secrets(&std::fs::read(&path)?)?;
    ensure!(!secrets.is_empty());
    let hex = |secret: &[u8]| secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let output: Vec<String> = house.cluster.nodes.iter().map(|node| node.output()).collect();
    let all = format!("{}{}", output.concat(), house.cluster.control_plane.output());
    for secret in &secrets {
        ensure!(!all.contains(&hex(secret)) && !all.contains(&format!("{secret:?}")));
    }
    Ok(())
}
