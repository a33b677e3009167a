//! Configuration edits under load: new environments, which start new processes, and new names, which start none.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::Instant;

use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::{checks, fleet, look};
use crate::harness::manifest::manifest;

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let mut stage = Stage::start(plan, 3);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let (edits, mut rng) = (plan.pick(20, 200), plan.rng());
    for number in 0..edits {
        let chosen = rng.usize(..stage.backends.len());
        edit(&mut stage.backends[chosen], number);
        let applied = stage.cluster.try_apply_text(&manifest(&stage.backends[chosen..=chosen]), &[]);
        ensure!(applied.code == 0, "edit {number}: {}", applied.text());
    }
    let head = fleet::head(&stage.cluster)?;
    fleet::level(&stage.cluster.nodes, head, Instant::now()).await?;
    let outcome = load.stop().await;
    let mut rows = vec![
        Row::shown("edits of random backends", format!("{edits}, the last is revision {head}")),
        checks::calls(&outcome, |_| false, ""),
        checks::nonces(&outcome),
        checks::executions(&stage.ledger),
    ];
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

/// Every second edit is one of a name.
fn edit(backend: &mut Value, number: usize) {
    if number.is_multiple_of(2) {
        backend["display_name"] = json!(format!("Edit {number}"));
    } else {
        backend["env"]["OMCP_TEST_EDIT"] = json!(number.to_string());
    }
}
