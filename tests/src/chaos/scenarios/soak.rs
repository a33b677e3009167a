//! Half an hour of mixed load, with nothing done to anybody: what a node holds stays what it is.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use crate::chaos::checks;
use crate::chaos::look::{look, memory_kib, steady};
use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;

/// Growth of a node's memory, by the straight line that fits best.
const MEMORY_MAX: f64 = 2.0;
/// Growth of descriptors and tasks.
const COUNT_MAX: f64 = 4.0;

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let mut stage = Stage::start(plan, 1);
    stage.warm_up().await;
    let base = steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let (length, every) = plan.pick((5, 500), (30 * 60, 5_000));
    let (length, every) = (Duration::from_secs(length), Duration::from_millis(every));
    let mut samples: [Vec<(f64, f64)>; 3] = Default::default();
    let began = Instant::now();
    while began.elapsed() < length {
        sleep(every).await;
        // Caches fill in the first third.
        if began.elapsed() > length / 3 {
            let node = &stage.cluster.nodes[0];
            let (now, held) = (began.elapsed().as_secs_f64() / 3_600.0, look(node).await?);
            samples[0].push((now, memory_kib(node.pid())? as f64 / 1_024.0));
            samples[1].push((now, held.descriptors as f64));
            samples[2].push((now, held.tasks as f64));
        }
    }
    let outcome = load.stop().await;
    let p99 = outcome.quantile(0.99);
    let mut rows = vec![checks::calls(&outcome, |_| false, ""), checks::nonces(&outcome)];
    rows.push(checks::executions(&stage.ledger));
    for (samples, (what, unit, max)) in samples.iter().zip([
        ("memory of the node", "MiB", MEMORY_MAX),
        ("descriptors of the node", "", COUNT_MAX),
        ("tasks of the node", "", COUNT_MAX),
    ]) {
        let (first, last) =
            (samples.first().map_or(0.0, |one| one.1), samples.last().map_or(0.0, |one| one.1));
        let slope = slope(samples);
        rows.push(
            Row::judged(
                what,
                format!("{first:.1} to {last:.1} {unit}, {slope:+.2} {unit} an hour"),
                format!("{max:+} {unit} an hour"),
                slope <= max,
            )
            .when_long(plan.is_long),
        );
    }
    let figure = format!("{:.1} ms at {} calls/s", p99.as_secs_f64() * 1e3, plan.rate());
    rows.push(Row::shown("p99", figure));
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

/// Of the straight line with the least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|one| one.0), mean(|one| one.1));
    let over: f64 = samples.iter().map(|one| (one.0 - x) * (one.1 - y)).sum();
    let under: f64 = samples.iter().map(|one| (one.0 - x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn the_slope_of_a_line_is_its_slope() {
        assert!((slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) - 2.0).abs() < 1e-9);
        assert_eq!((slope(&[]), slope(&[(1.0, 5.0)])), (0.0, 0.0));
    }
}
