//! A control plane and its nodes that serve the manifest in a file, until standard input ends.
//!
//! `omcp-stage MANIFEST [NODES]` prints `listening on NODE, managed at CONTROL_PLANE` once every node serves every
//! backend: two URLs. A backend is at `NODE/mcp/NAME`, and `omcp --server CONTROL_PLANE` manages them. Of several
//! nodes, NODE is the address of a balancer that hands every request to any of them.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use omcp_tests::harness::{Balancer, Cluster, door};
use tokio::runtime::Runtime;

/// Of the order in which nodes are picked.
const SEED: u64 = 1;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("omcp-stage: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (file, nodes) = match &arguments[..] {
        [file] => (file, 1),
        [file, nodes] => (file, nodes.parse().context("NODES has to be a number")?),
        _ => bail!("usage: omcp-stage MANIFEST [NODES]"),
    };
    let manifest = std::fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    let cluster = Cluster::start(nodes);
    let applied = cluster.try_apply_text(&manifest, &["--wait", "--wait-timeout", "120s"]);
    ensure!(applied.code == 0, "apply {file} ended with {}:\n{}", applied.code, applied.text());
    let runtime = Runtime::new().context("start a runtime")?;
    let mcp = if nodes == 1 { cluster.nodes[0].mcp.clone() } else { runtime.block_on(balanced(&cluster))? };
    println!("listening on {mcp}, managed at {}", cluster.control_plane.admin);
    std::io::stdin().read_to_end(&mut Vec::new()).context("wait for the end of the input")?;
    Ok(())
}

async fn balanced(cluster: &Cluster) -> Result<String> {
    cluster.until_acquainted().await;
    door::open(Balancer::of_nodes(cluster, SEED)).await.context("open a door")
}
