//! `kill -9` of the control plane, at a random moment, under load and with a write just acknowledged.

use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use serde_json::json;
use tokio::time::sleep;

use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::{checks, fleet, look};

/// Nodes that are level again: after the control plane listens.
const LEVEL_LIMIT: Duration = Duration::from_secs(1);
/// Longest time that it is away, and between two deaths.
const AWAY_MS: u64 = 1_500;

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let mut stage = Stage::start(plan, 3);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let (mut rng, mut lost, mut slowest) = (plan.rng(), 0, Duration::ZERO);
    let kills = plan.pick(3, 50);
    for number in 0..kills {
        let (kept, level) = kill(&mut stage, number, &mut rng).await?;
        lost += usize::from(!kept);
        slowest = slowest.max(level);
    }
    let outcome = load.stop().await;
    let mut rows = vec![
        Row::shown("kill -9 of the control plane", format!("{kills} times")),
        checks::calls(&outcome, |_| false, ""),
        Row::judged("acknowledged writes lost", format!("{lost} of {kills}"), "0", lost == 0),
        Row::judged(
            "nodes level again",
            format!("after {} ms at most", slowest.as_millis()),
            "1 s after it listens",
            slowest <= LEVEL_LIMIT,
        )
        .when_long(plan.is_long),
        checks::nonces(&outcome),
        checks::executions(&stage.ledger),
    ];
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

/// Whether the write that was acknowledged just before survived, and when the nodes had it.
async fn kill(stage: &mut Stage, number: usize, rng: &mut Rng) -> Result<(bool, Duration)> {
    let tag = format!("kill-{number}");
    let mut edited = stage.backends[0].clone();
    edited["tags"] = json!([tag]);
    let written = stage.cluster.try_apply_text(&crate::harness::manifest::manifest(&[edited]), &[]);
    let (written, revision) = (written.code == 0, fleet::head(&stage.cluster)?);
    stage.cluster.control_plane.kill();
    sleep(Duration::from_millis(rng.u64(..AWAY_MS))).await;
    stage.cluster.control_plane.restart();
    let began = Instant::now();
    let level = fleet::level(&stage.cluster.nodes, revision, began).await?;
    let kept = stage.cluster.omcp(&["get", "pipe-0", "-o", "json"]).stdout.contains(&tag);
    sleep(Duration::from_millis(rng.u64(..AWAY_MS))).await;
    Ok((kept || !written, level))
}
