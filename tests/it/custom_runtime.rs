//! A node with a runtime type of its own, `examples/custom-runtime`, beside one without.

use std::process::Command;

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Legacy;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::process::{self, Process};
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

/// As people write it.
const MINE: &str = r#"
servers:
  - id: mine
    runtime: { type: my-custom-runtime, endpoint: "mcp.example.com:9999", auth_token: "${AUTH_TOKEN}", timeout_seconds: 60, options: { key: value } }
"#;
const TOKEN: (&str, &str) = ("AUTH_TOKEN", "hush-1234");

/// An MCP server that speaks newline JSON over TCP and insists on the token.
fn server() -> (Process, String) {
    let mut command = Command::new(process::program("omcp-kit-peer"));
    let mut server = Process::start("TCP server", command.args(["--tcp", "127.0.0.1:0", "--token", TOKEN.1]));
    let address = server.says("listening on ");
    (server, address)
}

fn mine(id: &str, address: &str) -> Value {
    json!({ "id": id, "runtime": {
        "type": "my-custom-runtime", "endpoint": address, "auth_token": "${AUTH_TOKEN}",
    }})
}

async fn until_offered(cluster: &Cluster, by: &str) {
    wait::until("the type to be offered", async || {
        let types = cluster.omcp(&["runtimes"]).expect(0).stdout;
        let offered = types.lines().any(|line| line.starts_with("my-custom-runtime") && line.ends_with(by));
        holds(offered, types)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_served_where_it_is_offered_and_looked_for_elsewhere() -> Result<()> {
    let (_server, address) = server();
    let mut cluster = Cluster::start(1);
    let strict = cluster.try_apply_text(MINE, &["--strict"]).expect(2);
    ensure!(strict.stderr.contains("known types are"), "{}", strict.stderr);
    let unverified = cluster.try_apply_text(MINE, &[]).expect(0);
    ensure!(unverified.stderr.contains("my-custom-runtime") && unverified.stderr.contains("local-process"));
    cluster.until_status("mine", |status| status["state"] == "rejected").await;
    let reason = |node: &str, cluster: &Cluster| {
        cluster.status("mine", node)["reason"].as_str().unwrap_or_default().to_owned()
    };
    let alone = reason("node-0", &cluster);
    ensure!(alone.contains("\"my-custom-runtime\" is not offered by this node"), "{alone}");
    ensure!(alone.ends_with("; no connected node offers it"), "{alone}");

    cluster.join("custom-node", "custom", &[TOKEN]);
    until_offered(&cluster, "custom").await;
    let beside = reason("node-0", &cluster);
    ensure!(beside.ends_with("; nodes with it: custom"), "{beside}");

    let applied = cluster.try_apply(&[mine("live", &address), stdio("healthy", &[])]).expect(8);
    ensure!(applied.text().contains("nodes with it: custom"), "{}", applied.text());
    ensure!(applied.stderr.contains("1 of 2 connected nodes do not offer"), "{}", applied.stderr);
    let client = Legacy::connect(&cluster.nodes[1].endpoint("live")).await?;
    assert_eq!(client.tool("echo", json!({ "message": "hello" })).await?, r#"{"message":"hello"}"#);
    for node in &cluster.nodes {
        let healthy = Legacy::connect(&node.endpoint("healthy")).await?;
        assert_eq!(healthy.tool("echo", json!({ "message": "hello" })).await?, "hello");
        ensure!(!node.output().contains(TOKEN.1), "{}", node.output());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn is_explained_and_checked_as_any_other() -> Result<()> {
    let mut cluster = Cluster::start(0);
    cluster.join("custom-node", "custom", &[TOKEN]);
    until_offered(&cluster, "custom").await;
    let page = cluster.omcp(&["explain", "my-custom-runtime"]).expect(0).stdout;
    for line in [
        "  custom 0.1.0, offered by custom",
        "  endpoint   text, required",
        "  auth_token   text",
        "  timeout_seconds   whole number, 1 to 3600, default 30",
        "  options   mapping to text, default {}",
    ] {
        ensure!(page.lines().any(|found| found == line), "no {line:?} in\n{page}");
    }
    let field = cluster.omcp(&["explain", "my-custom-runtime.timeout_seconds"]).expect(0).stdout;
    ensure!(field.contains("Time to connect, and for one call, seconds."), "{field}");
    let refused = cluster.try_apply_text(&MINE.replace("endpoint", "endpiont"), &[]).expect(2);
    ensure!(refused.stderr.contains("did you mean endpoint?"), "{}", refused.stderr);
    cluster.try_apply_text(MINE, &["--strict"]).expect(0);
    Ok(())
}
