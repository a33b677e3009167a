//! The rows of the control plane: how fast a change arrives, and what many backends cost.

use anyhow::Result;

use super::Effort;
use super::table::Table;
use crate::gateway::Gateway;
use crate::histogram::Histogram;
use crate::process;
use crate::program::Program;
use crate::sync::{self, Changes, Cold, TEST_CORE};

/// Backends in the store.
const BACKENDS: usize = 10_000;
/// Changes per second: far from what the store can do, so that each is seen by itself.
const PER_SECOND: f64 = 50.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures the control plane.
///
/// # Errors
/// If a program does not start or a change does not arrive.
pub fn measure(gateway: &Gateway, effort: Effort, table: &mut Table) -> Result<()> {
    let backend = sync::bench_backend(&[])?;
    let control_plane = gateway.control_plane("fleet", TEST_CORE)?;
    sync::fill(&control_plane, &backend, BACKENDS)?;
    cold_rows(&sync::cold_start(gateway, &control_plane, BACKENDS)?, table);
    let changes = Changes { count: effort.changes, per_second: PER_SECOND, backends: BACKENDS };
    delay_rows("1 node", changes, &control_plane, 1, 5.0, table)?;
    delay_rows("100 nodes, the last", changes, &control_plane, 100, 25.0, table)?;
    let resident = process::resident_bytes(control_plane.pid())? as f64 / MIB;
    table.value("10,000 backends, control plane, 100 nodes", resident, "MiB", None);
    Ok(())
}

fn cold_rows(cold: &Cold, table: &mut Table) {
    let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    table.value("10,000 backends, node start to ready", millis(cold.ready), "ms", None);
    table.value("10,000 backends, node start to a call", millis(cold.served), "ms", Some(300.0));
    table.value("10,000 backends, control plane", cold.control_plane_bytes as f64 / MIB, "MiB", Some(150.0));
    table.value("10,000 backends, node", cold.node_bytes as f64 / MIB, "MiB", None);
}

/// The target is held against the time from sending the update: more than from the commit.
fn delay_rows(
    name: &str,
    changes: Changes,
    control_plane: &Program,
    nodes: usize,
    target: f64,
    table: &mut Table,
) -> Result<()> {
    let delays = changes.measure(control_plane, nodes)?;
    let at = |histogram: &Histogram, share: f64| histogram.quantile(share).as_secs_f64() * 1e3;
    table.value(&format!("update sent to applied, {name}, p50"), at(&delays.from_request, 0.5), "ms", None);
    table.value(
        &format!("update sent to applied, {name}, p99"),
        at(&delays.from_request, 0.99),
        "ms",
        Some(target),
    );
    table.value("  from the update's answer, p99", at(&delays.from_response, 0.99), "ms", None);
    table.value("  the update by itself, p99", at(&delays.update, 0.99), "ms", None);
    Ok(())
}
