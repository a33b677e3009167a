//! Who shares a process, and which stand ready for the next sessions.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Sse};
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::processes;
use omcp_tests::harness::wait::{self, holds};
use omcp_tests::kit::program::kill;
use serde_json::{Value, json};

fn with(mut backend: Value, lifecycle: Value) -> Value {
    backend["lifecycle"] = lifecycle;
    backend
}

/// The processes of a backend on the only node.
fn pids(cluster: &Cluster, backend: &str) -> BTreeSet<u64> {
    let status = cluster.status(backend, "node-0");
    status["pids"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn is_alive(pid: u64) -> bool {
    u32::try_from(pid).ok().and_then(processes::read).is_some_and(|process| !process.is_zombie)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_transports_share_one_process_where_they_may() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[
        with(stdio("shared", &["--era", "legacy"]), json!({ "isolation": "shared" })),
        stdio("own", &["--era", "legacy"]),
    ]);
    let node = &cluster.nodes[0];
    let mut seen = Vec::new();
    for backend in ["shared", "own"] {
        let url = node.sse_endpoint(backend);
        let (mut one, mut two) = (Sse::connect(&url).await?, Sse::connect(&url).await?);
        let three = Legacy::connect(&node.endpoint(backend)).await?;
        let pids = [
            one.tool("pid", json!({})).await?,
            two.tool("pid", json!({})).await?,
            three.tool("pid", json!({})).await?,
        ];
        // What the server never asked is nothing to it.
        one.post(&json!({ "jsonrpc": "2.0", "id": "x", "result": {} })).await?;
        // One that hangs up in the middle of a call leaves the others alone.
        let slow = json!({ "name": "slow", "arguments": { "ms": 3_000_000 } });
        one.post(&json!({ "jsonrpc": "2.0", "id": "s", "method": "tools/call", "params": slow })).await?;
        drop(one);
        wait::until("the end of the first", async || {
            let sessions = cluster.status(backend, "node-0")["sessions"].clone();
            holds(sessions == 2, sessions)
        })
        .await;
        let arguments = json!({ "message": "still here" });
        assert_eq!(two.tool("echo", arguments.clone()).await?, "still here", "{backend}");
        assert_eq!(three.tool("echo", arguments).await?, "still here", "{backend}");
        seen.push(BTreeSet::from(pids).len());
    }
    assert_eq!(seen, [1, 3]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_shared_process_reaches_every_client() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[with(stdio("shared", &["--era", "legacy"]), json!({ "isolation": "shared" }))]);
    let url = cluster.nodes[0].sse_endpoint("shared");
    let (mut one, mut two) = (Sse::connect(&url).await?, Sse::connect(&url).await?);
    one.tool("test_trigger_tool_change", json!({})).await?;
    for client in [&mut one, &mut two] {
        if client.others.is_empty() {
            let message = client.next().await?;
            client.others.push(message);
        }
        assert_eq!(client.others[0]["method"], "notifications/tools/list_changed");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_a_process_that_was_started_before_it() -> Result<()> {
    const READY: u64 = 2;
    let cluster = Cluster::start(1);
    let backend = |min_idle: u64| with(stdio("warm", &["--era", "legacy"]), json!({ "min_idle": min_idle }));
    cluster.apply(&[backend(READY)]);
    // A status may be older than the end of a process in it.
    let until = async |count: u64| {
        wait::until(&format!("{count} processes"), async || {
            let pids = pids(&cluster, "warm");
            let live = pids.iter().all(|pid| is_alive(*pid));
            if live && pids.len() as u64 == count { Ok(pids) } else { Err(pids) }
        })
        .await
    };
    let node = &cluster.nodes[0];
    let before = until(READY).await;
    let session = Legacy::connect(&node.endpoint("warm")).await?;
    let pid = session.tool("pid", json!({})).await?;
    ensure!(before.contains(&pid.parse()?), "{pid} is none of {before:?}");
    let during = until(READY + 1).await;
    ensure!(during.is_superset(&before), "{during:?} after {before:?}");
    session.delete().await?;

    let before = until(READY).await;
    let mut client = Sse::connect(&node.sse_endpoint("warm")).await?;
    let pid: u64 = client.tool("pid", json!({})).await?.parse()?;
    ensure!(before.contains(&pid), "{pid} is none of {before:?}");
    drop(client);
    // A status may be older than this client, too, and its process is not ready for others.
    wait::until("the end of its process", async || holds(!is_alive(pid), pid)).await;

    // One that dies is replaced.
    let before = until(READY).await;
    let victim = *before.first().context("there are some")?;
    kill(u32::try_from(victim)?).map_err(|error| anyhow::anyhow!(error))?;
    wait::until("another process", async || {
        let now = pids(&cluster, "warm");
        holds(now.len() as u64 == READY && !now.contains(&victim), now)
    })
    .await;
    // Fewer are wanted: an edit of the lifecycle restarts nothing.
    cluster.apply(&[backend(1)]);
    until(1).await;
    cluster.apply(&[backend(0)]);
    until(0).await;
    let refused = cluster.try_apply(&[backend(17)]).expect(2);
    ensure!(refused.stderr.contains("lifecycle.min_idle"), "{}", refused.stderr);
    Ok(())
}
