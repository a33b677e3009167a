//! Where nodes stand towards their control plane.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use super::look::metric;
use crate::harness::Cluster;
use crate::harness::node::Node;

const POLL: Duration = Duration::from_millis(10);
/// For what takes seconds at worst.
const PATIENCE: Duration = Duration::from_secs(60);

/// The newest revision of the store.
///
/// # Errors
/// No node is known.
pub fn head(cluster: &Cluster) -> Result<u64> {
    let nodes = cluster.node_list();
    let heads = nodes.iter().filter_map(|node| node["head_revision"].as_u64());
    heads.max().context("the control plane knows no node")
}

/// How long after `began` every node is connected and serves that revision.
///
/// # Errors
/// One does not.
pub async fn level(nodes: &[Node], revision: u64, began: Instant) -> Result<Duration> {
    for node in nodes {
        let deadline = Instant::now() + PATIENCE;
        while !(is_connected(node).await? && at(node).await? >= revision) {
            if Instant::now() > deadline {
                bail!("{} is not level after {PATIENCE:?}:\n{}", node.name(), node.output());
            }
            sleep(POLL).await;
        }
    }
    Ok(began.elapsed())
}

/// How long after `began` no node believes to be connected any more.
///
/// # Errors
/// One does.
pub async fn parted(nodes: &[Node], began: Instant) -> Result<Duration> {
    for node in nodes {
        let deadline = Instant::now() + PATIENCE;
        while is_connected(node).await? {
            if Instant::now() > deadline {
                bail!("{} has not noticed within {PATIENCE:?}", node.name());
            }
            sleep(POLL).await;
        }
    }
    Ok(began.elapsed())
}

async fn is_connected(node: &Node) -> Result<bool> {
    Ok(metric(&node.admin, "omcp_control_plane_connected").await? > 0.0)
}

async fn at(node: &Node) -> Result<u64> {
    Ok(metric(&node.admin, "omcp_config_revision").await? as u64)
}
