//! `kill -9` of one of three nodes; clients try again on another.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use serde_json::json;
use tokio::time::sleep;

use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::{checks, look};
use crate::harness::manifest::manifest;
use crate::harness::processes;
use crate::harness::wait::{self, holds};

const LEFT_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// Longest time that all three live.
const QUIET_MS: u64 = 1_000;

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let mut stage = Stage::start(plan, 3);
    // One that nobody calls, kept warm.
    let mut stubborn = stage.stubborn("stubborn");
    stubborn["lifecycle"] = json!({ "min_idle": 1 });
    stage.cluster.try_apply_text(&manifest(&[stubborn]), &["--wait"]).expect(0);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let (mut rng, mut slowest, mut left) = (plan.rng(), Duration::ZERO, 0);
    let kills = plan.pick(3, 50);
    for _ in 0..kills {
        let (after, count) = kill(&mut stage, plan, &mut rng).await;
        (slowest, left) = (slowest.max(after), left + count);
    }
    let outcome = load.stop().await;
    let mut rows = vec![
        Row::shown("kill -9 of one of three nodes", format!("{kills} times")),
        Row::judged(
            "processes of the killed node",
            format!("{left} left, gone after {:.1} s at most", slowest.as_secs_f64()),
            format!("0 after {} s", plan.limit(LEFT_LIMIT).as_secs()),
            left == 0,
        ),
        checks::calls(&outcome, |_| false, ""),
        checks::nonces(&outcome),
        checks::executions(&stage.ledger),
    ];
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

/// When the last process of a killed node was gone, and how many never went. Starts the node again.
async fn kill(stage: &mut Stage, plan: Plan, rng: &mut Rng) -> (Duration, usize) {
    let node = &mut stage.cluster.nodes[rng.usize(..3)];
    let below: BTreeSet<_> = processes::below(node.pid()).iter().map(|process| process.pid).collect();
    node.kill();
    let began = Instant::now();
    let alive = || {
        let found = below.iter().filter_map(|pid| processes::read(*pid));
        found.filter(|process| !process.is_zombie).count()
    };
    let mut left = alive();
    while left > 0 && began.elapsed() < plan.limit(LEFT_LIMIT) {
        sleep(POLL).await;
        left = alive();
    }
    let after = began.elapsed();
    node.restart();
    ready(&node.admin).await;
    sleep(Duration::from_millis(rng.u64(..QUIET_MS))).await;
    (after, left)
}

/// Waits until a node serves what it held.
pub async fn ready(admin: &str) {
    wait::until("the node to be ready", async || {
        let page = format!("{admin}/readyz");
        let reply = crate::harness::client::Http::default().request(http::Method::GET, &page, &[], b"").await;
        let status = reply.map(|reply| reply.status.as_u16()).map_err(|error| format!("{error:#}"))?;
        holds(status == 200, status.to_string())
    })
    .await;
}
