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
/// Cold starts, each of a control plane of its own. One is shorter than a slow moment of the machine: their median
/// counts.
const COLD_STARTS: usize = 5;
/// Changes per second: far from what the store can do, so that each is seen by itself.
const PER_SECOND: f64 = 50.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures the control plane.
///
/// # Errors
/// If a program does not start or a change does not arrive.
pub fn measure(gateway: &Gateway, effort: Effort, table: &mut Table) -> Result<()> {
    let backend = sync::bench_backend(&[])?;
    let mut starts = Vec::with_capacity(COLD_STARTS);
    for number in 1..COLD_STARTS {
        starts.push(cold_start(gateway, &backend, number)?.0);
    }
    let (last, control_plane) = cold_start(gateway, &backend, 0)?;
    starts.push(last);
    starts.sort_by_key(|cold| cold.served);
    cold_rows(&starts[COLD_STARTS / 2], table);
    let changes = Changes { count: effort.changes, per_second: PER_SECOND, backends: BACKENDS };
    delay_rows("1 node", changes, &control_plane, 1, 5.0, table)?;
    delay_rows("100 nodes, the last", changes, &control_plane, 100, 25.0, table)?;
    let resident = process::resident_bytes(control_plane.pid())? as f64 / MIB;
    table.value("10,000 backends, control plane, 100 nodes", resident, "MiB", None);
    Ok(())
}

fn cold_start(gateway: &Gateway, backend: &Program, number: usize) -> Result<(Cold, Program)> {
    let control_plane = gateway.control_plane(&format!("fleet-{number}"), TEST_CORE)?;
    sync::fill(&control_plane, backend, BACKENDS)?;
    let cold = sync::cold_start(gateway, &format!("cold-{number}"), &control_plane, BACKENDS)?;
    Ok((cold, control_plane))
}

fn cold_rows(cold: &Cold, table: &mut Table) {
    let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    table.value("10,000 backends, node start to ready", millis(cold.ready), "ms", None);
    table.value("10,000 backends, node start to a call", millis(cold.served), "ms", Some(300.0));
    table.value("10,000 backends, control plane", cold.control_plane_bytes as f64 / MIB, "MiB", Some(150.0));
    table.value("10,000 backends, node", cold.node_bytes as f64 / MIB, "MiB", None);
}

/// The target is held against the time from sending the update: more than from the commit, by the way to it and its
/// write to disk.
fn delay_rows(
    name: &str,
    changes: Changes,
    control_plane: &Program,
    nodes: usize,
    target: f64,
    table: &mut Table,
) -> Result<()> {
    let rounds = changes.measure(control_plane, nodes)?;
    let delays = rounds.all();
    let at = |histogram: &Histogram, share: f64| histogram.quantile(share).as_secs_f64() * 1e3;
    table.value(&format!("update sent to applied, {name}, p50"), at(&delays.from_request, 0.5), "ms", None);
    table.value(
        &format!("update sent to applied, {name}, p99"),
        rounds.usual_from_request(0.99).as_secs_f64() * 1e3,
        "ms",
        Some(target),
    );
    table.value("  of all rounds together, p99", at(&delays.from_request, 0.99), "ms", None);
    table.value("  from the update's answer, p99", at(&delays.from_response, 0.99), "ms", None);
    table.value("  the update by itself, p99", at(&delays.update, 0.99), "ms", None);
    Ok(())
}
