//! What a node and its processes hold at one moment.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use tokio::time::sleep;

use crate::harness::client::Http;
use crate::harness::node::Node;
use crate::harness::processes;

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);
/// Looks in a row that find the same: then nothing moves.
const STEADY: usize = 12;
/// For a node to become steady.
const STEADY_LIMIT: Duration = Duration::from_secs(20);

/// One node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Below the node, supervisors included.
    pub processes: usize,
    pub zombies: usize,
    pub descriptors: usize,
    pub tasks: usize,
    pub threads: usize,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, zombies, descriptors, tasks, threads } = self;
        write!(f, "{processes} processes, {descriptors} fds, {tasks} tasks, {threads} threads")?;
        if *zombies > 0 { write!(f, ", {zombies} zombies") } else { Ok(()) }
    }
}

/// # Errors
/// The node does not answer.
pub async fn look(node: &Node) -> Result<Look> {
    let below = processes::below(node.pid());
    let zombies = below.iter().filter(|process| process.is_zombie).count();
    let descriptors = processes::descriptors(node.pid());
    let threads = status(node.pid(), "Threads:")?;
    let tasks = metric(&node.admin, "omcp_tasks").await? as usize;
    Ok(Look { processes: below.len() - zombies, zombies, descriptors, tasks, threads: threads as usize })
}

/// Every node's, once nothing moves any more.
///
/// # Errors
/// A node does not answer.
pub async fn steady(nodes: &[Node]) -> Result<Vec<Look>> {
    let (mut last, mut same) = (Vec::new(), 0);
    let deadline = Instant::now() + STEADY_LIMIT;
    while same < STEADY && Instant::now() < deadline {
        let mut now = Vec::new();
        for node in nodes {
            now.push(look(node).await?);
        }
        same = if now == last { same + 1 } else { 0 };
        last = now;
        sleep(POLL).await;
    }
    Ok(last)
}

/// A sample of a node's metrics.
///
/// # Errors
/// It does not answer, or has no such metric.
pub async fn metric(admin: &str, name: &str) -> Result<f64> {
    let reply = Http::default().request(Method::GET, &format!("{admin}/metrics"), &[], b"").await?;
    let page = reply.bytes().await?;
    let page = String::from_utf8_lossy(&page).into_owned();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name}"))?.trim().parse().with_context(|| name.to_owned())
}

/// Resident memory of a process.
///
/// # Errors
/// It is gone.
pub fn memory_kib(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

fn status(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    let number = line.split_whitespace().next().context("an empty field")?;
    Ok(number.parse()?)
}
