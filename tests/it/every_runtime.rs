//! One manifest with every runtime type, built in, plugged in and somebody's own, on three different nodes.

/// What is behind the backends.
mod peers;
/// Peers die, one after the other, and come back.
mod recovery;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::legacy::NEWEST;
use omcp_tests::harness::client::{Http, Legacy};
use omcp_tests::harness::node::Node;
use omcp_tests::harness::process;
use omcp_tests::harness::wait;
use serde_json::json;

use self::peers::{Peers, SECRET};

/// Offered by one node through the plugin program of the examples.
const PLUGGED_IN: &str = "rust-lines";

/// Three nodes: one as it comes, one with a plugin's type, one with a type of its own.
fn cluster() -> Cluster {
    let mut cluster = Cluster::start(0);
    let plugin = format!("{PLUGGED_IN}={}", process::program("omcp-example-plugin").display());
    cluster.join("omcp-data-plane", "plain", &[SECRET]);
    cluster.join("omcp-data-plane", "plugged", &[SECRET, ("OMCP_PLUGINS", &plugin)]);
    cluster.join("custom-node", "custom", &[SECRET]);
    cluster
}

/// Which nodes can serve a backend; all that are not named here are served everywhere.
fn offers(node: &str, backend: &str) -> bool {
    match backend {
        "plugged-in" => node == "plugged",
        "mine" => node == "custom",
        _ => true,
    }
}

async fn echo(node: &Node, backend: &str) -> Result<()> {
    echo_with(Http::default(), node, backend).await
}

async fn echo_with(http: Http, node: &Node, backend: &str) -> Result<()> {
    let client = Legacy::connect_with(http, &node.endpoint(backend), NEWEST).await?;
    let answer = client.tool("echo", json!({ "message": backend })).await?;
    ensure!(answer.contains(backend), "{answer}");
    client.delete().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn is_served_where_it_can_be_and_explained_where_it_cannot() -> Result<()> {
    let peers = Peers::start().await;
    let cluster = cluster();
    wait::until("every type to be offered", async || {
        let types = cluster.omcp(&["runtimes"]).expect(0).stdout;
        let offered =
            |name: &str, node: &str| types.lines().any(|line| line.starts_with(name) && line.ends_with(node));
        wait::holds(offered(PLUGGED_IN, "plugged") && offered("my-custom-runtime", "custom"), types.clone())
    })
    .await;
    let backends = peers.manifest();
    let applied = cluster.try_apply(&backends).expect(8);
    for node in &cluster.nodes {
        for backend in &backends {
            let backend = backend["id"].as_str().context("a backend has an id")?;
            if offers(node.name(), backend) {
                wait::until(&format!("{backend} on {}", node.name()), async || echo(node, backend).await)
                    .await;
                continue;
            }
            let status = cluster.status(backend, node.name());
            assert_eq!(status["state"], "rejected", "{status}");
            let who = if backend == "mine" { "custom" } else { "plugged" };
            let why = "is not offered by this node; it offers";
            let reason = status["reason"].as_str().unwrap_or_default();
            ensure!(reason.contains(why) && reason.ends_with(&format!("; nodes with it: {who}")), "{status}");
            ensure!(applied.text().contains(&format!("nodes with it: {who}")), "{}", applied.text());
        }
        ensure!(!node.output().contains(SECRET.1), "{}", node.output());
    }
    Ok(())
}
