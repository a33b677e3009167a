//! A server that misbehaves harms nobody but itself, and can be seen to.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern};
use omcp_tests::harness::load::Load;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::node::Node;
use omcp_tests::harness::processes;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

/// Longest that a client waits for the answer that its backend is broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// A node with a handful of processes, in a debug build.
const MEMORY_LIMIT_MIB: u64 = 96;

/// A server with one quirk, and deadlines that suit a test.
fn quirky(quirk: &str) -> Value {
    let mut backend = stdio(&name(quirk), &["--behave", quirk]);
    backend["runtime"]["start_timeout_ms"] = json!(1500);
    backend["runtime"]["call_timeout_ms"] = json!(3000);
    backend
}

fn name(quirk: &str) -> String {
    format!("bad-{}", quirk.replace('=', "-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_never_work_are_bounded_visible_and_alone() -> Result<()> {
    let cluster = Cluster::start(1);
    let quirks = ["exit-at-once", "hang-handshake", "half-line"];
    cluster.apply(&[stdio("healthy", &[])]);
    let node = &cluster.nodes[0];
    let mut load = Load::default();
    load.add(&node.endpoint("healthy")).await;
    let backends: Vec<_> = quirks.map(quirky).to_vec();
    cluster.try_apply(&backends).expect(8);
    for quirk in quirks {
        let name = name(quirk);
        cluster
            .until_status(&name, |status| {
                ["failing", "crash-loop"].iter().any(|state| status["state"] == *state)
                    && status["failures"].as_u64() >= Some(1)
                    && status["last_error"].as_str().is_some_and(|text| !text.is_empty())
            })
            .await;
        fails_clearly(node, &name).await?;
    }
    let (calls, failures) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls");
    ensure!(memory_mib(node) < MEMORY_LIMIT_MIB, "{} MiB", memory_mib(node));
    // The healthy server has one process for stateless calls and one for the session of the load.
    wait::until("the processes of the others to be gone", async || {
        let count =
            processes::below(node.pid()).iter().filter(|process| process.name == "omcp-fixture").count();
        holds(count == 2, count)
    })
    .await;
    Ok(())
}

/// Both eras get an error that names the backend, soon.
async fn fails_clearly(node: &Node, backend: &str) -> Result<()> {
    let start = Instant::now();
    let modern = Modern::new(&node.endpoint(backend)).tool("echo", json!({ "message": "x" })).await;
    let legacy = Legacy::connect(&node.endpoint(backend)).await.map(|_| ());
    for error in [modern.err(), legacy.err()] {
        let text = format!("{:#}", error.unwrap_or_else(|| panic!("{backend} works")));
        ensure!(text.contains(backend), "{backend} is not in {text}");
    }
    ensure!(start.elapsed() < 2 * ANSWER_LIMIT, "{backend} took {:?}", start.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_no_reason_to_fail() -> Result<()> {
    let cluster = Cluster::start(1);
    let quirks = ["garbage", "flood-stderr"];
    let backends: Vec<_> = quirks.map(quirky).to_vec();
    cluster.apply(&backends);
    let node = &cluster.nodes[0];
    for quirk in quirks {
        let backend = name(quirk);
        for message in ["a", "b", "c"] {
            let answer =
                Modern::new(&node.endpoint(&backend)).tool("echo", json!({ "message": message })).await?;
            assert_eq!(answer, message, "{backend}");
            let client = Legacy::connect(&node.endpoint(&backend)).await?;
            assert_eq!(client.tool("echo", json!({ "message": message })).await?, message, "{backend}");
        }
    }
    ensure!(memory_mib(node) < MEMORY_LIMIT_MIB, "{} MiB", memory_mib(node));
    let logs = cluster.omcp(&["logs", &name("flood-stderr")]).expect(0);
    ensure!(!logs.stdout.is_empty() && logs.stdout.len() < 1 << 20, "{} bytes of logs", logs.stdout.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_a_call_is_started_again() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[quirky("die-on=slow"), stdio("healthy", &[])]);
    let node = &cluster.nodes[0];
    let mut load = Load::default();
    load.add(&node.endpoint("healthy")).await;
    let backend = name("die-on=slow");
    let modern = Modern::new(&node.endpoint(&backend));
    let old = modern.tool("pid", json!({})).await?;
    for _ in 0..3 {
        let mut exchange =
            modern.open("tools/call", json!({ "name": "slow", "arguments": { "ms": 1 } })).await?;
        assert_eq!(exchange.status, 200);
        let error = exchange.error().await?;
        assert_eq!(error["code"], -32603, "{error}");
        wait::until("the server to be back", async || modern.tool("pid", json!({})).await).await;
    }
    let new = modern.tool("pid", json!({})).await?;
    ensure!(new != old, "the same process {old}");
    let (calls, failures) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn words_on_stderr_reach_the_status_and_the_log() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("talker", &[])]);
    let client = Modern::new(&cluster.nodes[0].endpoint("talker"));
    client.tool("log_stderr", json!({ "line": "the disk is made of cheese" })).await?;
    wait::until("the line in the log", async || {
        let logs = cluster.omcp(&["logs", "talker"]).expect(0).stdout;
        holds(logs.contains("the disk is made of cheese"), logs)
    })
    .await;
    Ok(())
}

/// Resident memory of the node.
fn memory_mib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") / 1024
}
