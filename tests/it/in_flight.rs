//! Calls in flight when their backend dies: answered at once, whatever comes after.
//!
//! What starts the backend again stands before a gate, which opens when every call has been answered.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Exchange, Legacy, Modern};
use omcp_tests::harness::process;
use omcp_tests::harness::processes;
use omcp_tests::harness::wait;
use omcp_tests::kit::program::{Listening, kill};
use serde_json::{Value, json};
use tokio::time::timeout;

const CALLS: usize = 8;
/// For what should come at once, on a machine that is busy compiling.
const SOON: Duration = Duration::from_secs(20);
/// Longer than any test.
const CALL_MS: u64 = 3_000_000;
const PLUGIN: &str = "omcp-example-plugin";

/// A program that starts another one when it may.
struct Gate(PathBuf);

impl Gate {
    fn build(folder: &Path) -> Result<Self> {
        let gate = folder.join("gate");
        fs::write(&gate, "#!/bin/sh\nwhile [ -e \"$0.closed\" ]; do sleep 0.05; done\nexec \"$@\"\n")?;
        fs::set_permissions(&gate, Permissions::from_mode(0o755))?;
        Ok(Self(gate))
    }

    fn closed(&self) -> PathBuf {
        self.0.with_extension("closed")
    }

    fn close(&self) -> Result<()> {
        File::create(self.closed())?;
        Ok(())
    }

    fn open(&self) -> Result<()> {
        Ok(fs::remove_file(self.closed())?)
    }
}

/// Waits until every call has been answered that its backend is gone.
async fn all_lost(what: &str, calls: Vec<Exchange>, died: Instant) -> Result<()> {
    for mut call in calls {
        let error = timeout(SOON, call.error()).await.context("a call hangs")??;
        let told = (&error["code"], &error["data"]["reason"]);
        assert_eq!(told, (&json!(-32603), &json!("stream_lost")), "{what}: {error}");
    }
    println!("{what}: all calls were answered {} ms after the death", died.elapsed().as_millis());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_process_that_is_killed() -> Result<()> {
    let cluster = Cluster::start(1);
    let gate = Gate::build(cluster.folder())?;
    // The second one leaves children that hold its pipes open.
    let cases: [(&str, &[&str]); 2] = [("plain", &[]), ("parent", &["--behave", "brood"])];
    for (name, quirks) in cases {
        let fixture = process::program("omcp-fixture").display().to_string();
        let arguments = [&[fixture.as_str()][..], quirks, &["stdio"][..]].concat();
        let runtime = json!({ "type": "local-process", "command": gate.0, "args": arguments });
        cluster.apply(&[json!({ "id": name, "runtime": runtime })]);
        let endpoint = cluster.nodes[0].endpoint(name);
        let (modern, legacy) = (Modern::new(&endpoint), Legacy::connect(&endpoint).await?);
        let pids = [modern.tool("pid", json!({})).await?, legacy.tool("pid", json!({})).await?];
        let asked = json!({ "name": "progress", "arguments": { "steps": 2, "delay_ms": CALL_MS },
            "_meta": { "progressToken": "p" } });
        let mut calls = Vec::new();
        for _ in 0..CALLS {
            calls.push(modern.open("tools/call", asked.clone()).await?.under_way().await?);
            calls.push(legacy.open("tools/call", asked.clone()).await?.under_way().await?);
        }
        gate.close()?;
        let died = Instant::now();
        for pid in &pids {
            kill(pid.parse()?).map_err(|error| anyhow!(error))?;
        }
        all_lost(name, calls, died).await?;
        gate.open()?;
        let new = timeout(SOON, modern.tool("pid", json!({}))).await.context("no new process")??;
        assert!(!pids.contains(&new), "{new} is dead");
    }
    Ok(())
}

/// Calls on the kit's peer, over one session.
async fn kit_calls(endpoint: &str) -> Result<Vec<Exchange>> {
    let client = wait::until("a session", async || Legacy::connect(endpoint).await).await;
    let mut calls = Vec::new();
    for number in 0..CALLS {
        let asked = json!({ "count": 1, "_meta": { "progressToken": number } });
        calls.push(client.open("kit/progress", asked).await?.under_way().await?);
    }
    Ok(calls)
}

async fn echoes(endpoint: &str) -> Result<String> {
    Legacy::connect(endpoint).await?.tool("echo", json!({ "message": "again" })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_server_behind_tcp_that_is_killed() -> Result<()> {
    let cluster = Cluster::start(1);
    let mut server = Listening::start(&["--tcp", "127.0.0.1:0"]).await.map_err(|error| anyhow!(error))?;
    let runtime = json!({ "type": "tcp", "endpoint": server.address() });
    cluster.apply(&[json!({ "id": "far", "runtime": runtime })]);
    let endpoint = cluster.nodes[0].endpoint("far");
    let calls = kit_calls(&endpoint).await?;
    let died = Instant::now();
    server.kill().await.map_err(|error| anyhow!(error))?;
    all_lost("tcp", calls, died).await?;
    server.restart().await.map_err(|error| anyhow!(error))?;
    wait::until("a call after the restart", async || echoes(&endpoint).await).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_plugin_that_is_killed() -> Result<()> {
    let cluster = Cluster::start(1);
    let gate = Gate::build(cluster.folder())?;
    let server = Listening::start(&["--tcp", "127.0.0.1:0"]).await.map_err(|error| anyhow!(error))?;
    let settings = json!({ "endpoint": server.address() });
    let runtime: Value = json!({ "type": "plugin", "command": gate.0, "args": [process::program(PLUGIN)],
        "runtime": "rust-lines", "settings": settings });
    cluster.apply(&[json!({ "id": "far", "runtime": runtime })]);
    let node = &cluster.nodes[0];
    let endpoint = node.endpoint("far");
    let calls = kit_calls(&endpoint).await?;
    let is_plugin =
        |process: &processes::Process| PLUGIN.starts_with(&process.name) && !process.name.is_empty();
    let plugins: Vec<_> = processes::below(node.pid()).into_iter().filter(is_plugin).collect();
    let [plugin] = &plugins[..] else { panic!("one program serves all connections, not {plugins:?}") };
    gate.close()?;
    let died = Instant::now();
    kill(plugin.pid).map_err(|error| anyhow!(error))?;
    all_lost("plugin", calls, died).await?;
    gate.open()?;
    wait::until("a call after the restart", async || echoes(&endpoint).await).await;
    Ok(())
}
