//! A control plane and a node that serve the manifest in a file, until standard input ends.
//!
//! Prints `listening on NODE, managed at CONTROL_PLANE` once the node serves every backend: two URLs. A backend
//! is at `NODE/mcp/NAME`, and `omcp --server CONTROL_PLANE` manages them.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;

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
    let file = std::env::args().nth(1).context("usage: omcp-stage MANIFEST")?;
    let manifest = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let cluster = Cluster::start(1);
    let applied = cluster.try_apply_text(&manifest, &["--wait", "--wait-timeout", "120s"]);
    ensure!(applied.code == 0, "apply {file} ended with {}:\n{}", applied.code, applied.text());
    println!("listening on {}, managed at {}", cluster.nodes[0].mcp, cluster.control_plane.admin);
    std::io::stdin().read_to_end(&mut Vec::new()).context("wait for the end of the input")?;
    Ok(())
}
