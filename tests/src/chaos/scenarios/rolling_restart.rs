//! Three nodes are restarted in turn, politely, under load and with many open streams.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::kill_nodes::ready;
use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::streams::Streams;
use crate::chaos::{checks, look};
use crate::harness::wait::{self, holds};

/// A backend whose server serves both eras.
const BACKEND: &str = "http-9";
/// All three nodes serve meanwhile.
const QUIET: Duration = Duration::from_secs(1);

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let mut stage = Stage::start(plan, 3);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let each = plan.pick(10, 100);
    let urls: Vec<_> = ["pipe-0", BACKEND]
        .iter()
        .flat_map(|backend| stage.cluster.nodes.iter().map(|node| node.endpoint(backend)))
        .collect();
    let streams = Streams::open(&urls, each);
    open(&streams, 2 * each as u64).await;
    for number in 0..3 {
        let node = &mut stage.cluster.nodes[number];
        node.stop();
        node.restart();
        ready(&node.admin).await;
        open(&streams, 2 * each as u64).await;
        sleep(QUIET).await;
    }
    let outcome = load.stop().await;
    let (parted, broken) = streams.stop().await;
    broken.iter().take(5).for_each(|failure| eprintln!("FAILED: {failure}"));
    let mut rows = vec![
        Row::judged(
            "streams that a restart ended",
            format!("{parted} in the words of their revision, {} otherwise; {} open", broken.len(), 2 * each),
            "0 otherwise",
            broken.is_empty() && parted >= 2 * each as u64,
        ),
        checks::calls(&outcome, |_| false, ""),
        checks::nonces(&outcome),
        checks::executions(&stage.ledger),
    ];
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

async fn open(streams: &Streams, count: u64) {
    wait::until("all streams to be open", async || holds(streams.count() >= count, streams.count())).await;
}
