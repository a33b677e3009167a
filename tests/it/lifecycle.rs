//! Nothing is lost that need not be: calls outlive changes, drains and the death of others.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Http, Legacy, Modern};
use omcp_tests::harness::manifest::{http, stdio};
use omcp_tests::harness::server::Server;
use omcp_tests::harness::wait::{self, holds};
use omcp_tests::harness::{process, processes};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::timeout;

/// For what should come at once, on a machine that is busy compiling.
const SOON: Duration = Duration::from_secs(20);

fn with(mut backend: Value, lifecycle: Value) -> Value {
    backend["lifecycle"] = lifecycle;
    backend
}

fn slow(ms: u64) -> Value {
    json!({ "name": "slow", "arguments": { "ms": ms } })
}

/// A call that shows by progress when the server has it, and takes so long from then on.
fn shown(ms: u64) -> Value {
    json!({ "name": "progress", "arguments": { "steps": 1, "delay_ms": ms },
        "_meta": { "progressToken": "p" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_call_outlives_the_change_of_its_backend() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &[])]);
    let endpoint = cluster.nodes[0].endpoint("a");
    let (modern, legacy) = (Modern::new(&endpoint), Legacy::connect(&endpoint).await?);
    let old = modern.tool("pid", json!({})).await?;
    let mut calls = [
        modern.open("tools/call", shown(10_000)).await?.under_way().await?,
        legacy.open("tools/call", shown(10_000)).await?.under_way().await?,
    ];
    let mut changed = stdio("a", &[]);
    changed["env"] = json!({ "EDIT": "1" });
    cluster.apply(&[changed]);
    wait::until("the new definition to serve", async || {
        let pid = modern.tool("pid", json!({})).await.map_err(|error| format!("{error:#}"))?;
        holds(pid != old, pid)
    })
    .await;
    for call in &mut calls {
        timeout(SOON, call.result()).await.context("no answer")??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_names_and_lifecycle_restarts_nothing() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &[])]);
    let modern = Modern::new(&cluster.nodes[0].endpoint("a"));
    let old = modern.tool("pid", json!({})).await?;
    let mut changed = with(stdio("a", &[]), json!({ "idle_timeout_ms": 3_600_000, "retry": "idempotent" }));
    changed["display_name"] = json!("Another name");
    cluster.apply(&[changed]);
    assert_eq!(modern.tool("pid", json!({})).await?, old);
    let refused = cluster.try_apply(&[with(stdio("a", &[]), json!({ "isolation": "user" }))]).expect(2);
    ensure!(refused.stderr.contains("is not an isolation"), "{}", refused.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_on_a_killed_process_are_answered_and_the_next_one_works() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &[])]);
    let modern = Modern::new(&cluster.nodes[0].endpoint("a"));
    let pid = modern.tool("pid", json!({})).await?;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(modern.open("tools/call", shown(60_000)).await?.under_way().await?);
    }
    kill_process(Pid::from_raw(pid.parse()?).context("a process id")?, Signal::KILL)?;
    for mut call in calls {
        let error = timeout(SOON, call.error()).await.context("a call hangs")??;
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32603), &json!("stream_lost")));
    }
    let new = timeout(SOON, modern.tool("pid", json!({}))).await.context("no new process")??;
    ensure!(new != pid);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_call_that_only_reads_is_sent_again_where_that_was_asked_for() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[with(stdio("a", &[]), json!({ "retry": "idempotent" }))]);
    let modern = Modern::new(&cluster.nodes[0].endpoint("a"));
    let pid = modern.tool("pid", json!({})).await?;
    let call = tokio::spawn({
        let modern = modern.clone();
        async move { modern.open("tools/call", slow(8000)).await?.result().await }
    });
    wait::until("the call at the process", async || {
        let log = cluster.omcp(&["logs", "a"]).expect(0).stdout;
        holds(log.contains("slow: 8000 ms"), log)
    })
    .await;
    kill_process(Pid::from_raw(pid.parse()?).context("a process id")?, Signal::KILL)?;
    timeout(SOON, call).await.context("the call hangs")???;
    counted(&cluster, ["omcp_calls_repeated_total 1", "omcp_calls_lost_total 1"]).await?;
    // This one does not say that it may be called twice.
    let mut deadly = modern.open("tools/call", json!({ "name": "die" })).await?;
    let error = timeout(SOON, deadly.error()).await.context("the call hangs")??;
    assert_eq!(error["data"]["reason"], "stream_lost", "{error}");
    counted(&cluster, ["omcp_calls_repeated_total 1", "omcp_calls_lost_total 2"]).await
}

/// Whether the metrics of the only node hold these lines.
async fn counted(cluster: &Cluster, lines: [&str; 2]) -> Result<()> {
    let page = format!("{}/metrics", cluster.nodes[0].admin);
    let metrics = Http::default().request(Method::GET, &page, &[], b"").await?.bytes().await?;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    for line in lines {
        ensure!(metrics.lines().any(|got| got == line), "{line} is not in {metrics}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_process_ends_and_comes_back() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[with(stdio("a", &[]), json!({ "idle_timeout_ms": 1000 }))]);
    cluster.until_status("a", |status| status["state"] == "idle" && status["pids"] == json!([])).await;
    let modern = Modern::new(&cluster.nodes[0].endpoint("a"));
    assert_eq!(modern.tool("echo", json!({ "message": "x" })).await?, "x");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_process_of_a_bridge_ends_as_soon() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[with(stdio("a", &["--era", "legacy"]), json!({ "idle_timeout_ms": 1000 }))]);
    let modern = Modern::new(&cluster.nodes[0].endpoint("a"));
    for message in ["x", "y"] {
        assert_eq!(modern.tool("echo", json!({ "message": message })).await?, message);
        cluster.until_status("a", |status| status["pids"] == json!([])).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_may_share_a_process() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[
        with(stdio("shared", &["--era", "legacy"]), json!({ "isolation": "shared" })),
        stdio("own", &["--era", "legacy"]),
    ]);
    let mut pids = Vec::new();
    for backend in ["shared", "own"] {
        let endpoint = cluster.nodes[0].endpoint(backend);
        let (one, two) = (Legacy::connect(&endpoint).await?, Legacy::connect(&endpoint).await?);
        let pair = [one.tool("pid", json!({})).await?, two.tool("pid", json!({})).await?];
        one.delete().await?;
        assert_eq!(two.tool("echo", json!({ "message": "x" })).await?, "x", "{backend}");
        pids.push(pair);
    }
    assert_eq!(pids[0][0], pids[0][1]);
    assert_ne!(pids[1][0], pids[1][1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_says_so_and_serves_what_it_has() -> Result<()> {
    let mut cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &[])]);
    let client = Legacy::connect(&cluster.nodes[0].endpoint("a")).await?;
    for (verb, drained, status) in [("drain", true, 503), ("uncordon", false, 200)] {
        cluster.omcp(&["node", verb, "node-0"]).expect(0);
        wait::until("the node to confirm it", async || {
            let nodes = cluster.node_list();
            holds(nodes[0]["drained"] == drained, nodes)
        })
        .await;
        assert_eq!(readiness(&cluster.nodes[0].admin).await?, status);
        assert_eq!(client.tool("echo", json!({ "message": "x" })).await?, "x", "{verb}");
    }
    cluster.omcp(&["node", "drain", "node-0"]).expect(0);
    cluster.omcp(&["node", "drain", "nobody"]).expect(3);
    // The node knows it, not the control plane.
    cluster.control_plane.kill();
    cluster.control_plane.restart();
    wait::until("the node to tell the new control plane", async || {
        let nodes = cluster.node_list();
        holds(nodes.len() == 1 && nodes[0]["drained"] == true, nodes)
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_node_can_be_seen() -> Result<()> {
    let cluster = Cluster::start_with(1, &[("OMCP_PROCESSES_MAX", "3")]);
    wait::until("the node to be known", async || {
        let nodes = cluster.node_list();
        holds(nodes.len() == 1, nodes)
    })
    .await;
    let table = cluster.omcp(&["node", "config", "node-0"]).expect(0).stdout;
    for part in ["LIMIT", "write stall", "30 s", "processes", "1024"] {
        ensure!(table.contains(part), "{part} is not in {table}");
    }
    let found = cluster.omcp(&["node", "config", "node-0", "-o", "json"]).expect(0).json();
    let limits = found["limits"].as_array().context("a list")?;
    let processes = limits.iter().find(|limit| limit["name"] == "processes").context("no such limit")?;
    assert_eq!((&processes["value"], &processes["option"]), (&json!("3"), &json!("--processes-max")));
    cluster.apply(&[stdio("a", &[])]);
    let endpoint = cluster.nodes[0].endpoint("a");
    let mut sessions = Vec::new();
    let refused = loop {
        match Legacy::connect(&endpoint).await {
            Ok(session) if sessions.len() < 9 => sessions.push(session),
            Ok(_) => anyhow::bail!("ten processes instead of three"),
            Err(error) => break format!("{error:#}"),
        }
    };
    ensure!(refused.contains("--processes-max"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_tells_clients_of_bridges_that_their_session_is_gone() -> Result<()> {
    let server = Server::http(&["--era", "modern"]);
    let mut cluster = Cluster::start(1);
    cluster.apply(&[http("a", &server.url)]);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    for _ in 0..5 {
        let endpoint = cluster.nodes[0].endpoint("a");
        let client = wait::until("a session", async || Legacy::connect(&endpoint).await).await;
        assert_eq!(client.post(&call).await?.status, 200);
        cluster.until_persisted().await;
        cluster.nodes[0].kill();
        cluster.nodes[0].restart();
        // At once: what the backend speaks is not known again yet.
        let reply = client.post(&call).await?;
        let (status, said) = (reply.status, reply.json().await?);
        assert_eq!(status, 404, "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_whose_process_dies_in_the_handshake_asks_another() -> Result<()> {
    let cluster = Cluster::start(1);
    let trap = cluster.folder().join("trap");
    let (fixture, trap_path) = (process::program("omcp-fixture"), trap.display());
    let script = format!(
        "if rm '{trap_path}' 2>/dev/null; then read line; exit 1; fi; exec {} --era legacy stdio",
        fixture.display()
    );
    let mut backend = stdio("a", &[]);
    (backend["runtime"]["command"], backend["runtime"]["args"]) = (json!("sh"), json!(["-c", script]));
    cluster.apply(&[backend]);
    std::fs::write(&trap, "")?;
    let answer = Modern::new(&cluster.nodes[0].endpoint("a")).tool("echo", json!({ "message": "x" })).await?;
    assert_eq!(answer, "x");
    ensure!(!trap.exists(), "nothing stepped into the trap");
    Ok(())
}

/// A server without sessions remembers nothing, so the end of its process is none of the gateway's session.
#[tokio::test(flavor = "multi_thread")]
async fn a_bridged_session_outlives_the_process_of_its_server() -> Result<()> {
    let cluster = Cluster::start(1);
    let lifecycle = json!({ "min_idle": 0, "idle_timeout_ms": 1000 });
    cluster.apply(&[with(stdio("a", &["--era", "modern"]), lifecycle)]);
    let session = Legacy::connect(&cluster.nodes[0].endpoint("a")).await?;
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let pid: u32 = session.tool("pid", json!({})).await?.parse()?;
        ensure!(seen.insert(pid), "the process {pid} had ended");
        // It comes to rest by itself.
        wait::until("the process to end", async || holds(processes::read(pid).is_none(), pid)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_node_ends_its_streams_in_the_words_of_their_revision() -> Result<()> {
    // The call outlasts the usual drain of the tests.
    let mut cluster = Cluster::start_with(1, &[("OMCP_DRAIN_TIMEOUT_MS", "15000")]);
    cluster.apply(&[stdio("a", &[])]);
    let endpoint = cluster.nodes[0].endpoint("a");
    let (modern, legacy) = (Modern::new(&endpoint), Legacy::connect(&endpoint).await?);
    let mut stream = legacy.stream(None).await?;
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut listening = modern.open("subscriptions/listen", wanted).await?;
    let acknowledged = listening.next().await?.context("no acknowledgement")?;
    ensure!(acknowledged["method"] == "notifications/subscriptions/acknowledged", "{acknowledged}");
    let mut call = modern.open("tools/call", shown(3000)).await?.under_way().await?;
    let mut node = cluster.nodes.remove(0);
    let stopped = tokio::task::spawn_blocking(move || node.stop());
    let completed = timeout(SOON, listening.result()).await.context("the subscription is open")??;
    assert_eq!(completed["resultType"], "complete");
    timeout(SOON, call.result()).await.context("the call is cut")??;
    let mut words = Vec::new();
    while let Ok(piece) = stream.piece().await {
        words.extend_from_slice(&piece);
    }
    ensure!(String::from_utf8_lossy(&words).ends_with("retry: 1000\n\n"), "{words:?}");
    stopped.await?;
    Ok(())
}

/// The status of the readiness page.
async fn readiness(admin: &str) -> Result<u16> {
    let reply = Http::default().request(Method::GET, &format!("{admin}/readyz"), &[], b"").await?;
    Ok(reply.status.as_u16())
}
