//! Sessions that end in every way but the polite one, with a server whose children hide.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::chaos::impolite::{self, Manner};
use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::{checks, look};
use crate::harness::Cluster;
use crate::harness::control_plane::address;
use crate::harness::manifest::manifest;

const NAME: &str = "stubborn";
/// A session that nobody uses for so long ends, instead of half an hour.
const IDLE: &str = "1000";
/// Sessions at once: each is a server, its supervisor, and a brood of several processes.
const WAVE: usize = 20;
/// From the last sign of a client to the end of its processes: idle time, sweep and stop ladder.
const WAVE_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let cluster = Cluster::start_with(1, &[("OMCP_SESSION_IDLE_MS", IDLE)]);
    let mut stage = Stage::around(plan, cluster);
    let stubborn = stage.stubborn(NAME);
    stage.cluster.try_apply_text(&manifest(&[stubborn]), &["--wait"]).expect(0);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let count = plan.pick(60, 1_000);
    let (dropped, slowest) = waves(&stage, count).await?;
    let outcome = load.stop().await;
    let mut rows = vec![
        Row::judged(
            "sessions dropped impolitely",
            format!("{dropped} in {} manners, a wave gone after {:.1} s at most", Manner::ALL.len(), slowest),
            count.to_string(),
            dropped == count,
        ),
        checks::calls(&outcome, |_| false, ""),
        checks::nonces(&outcome),
        checks::executions(&stage.ledger),
    ];
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

/// How many sessions were opened and dropped, and how long the processes of the slowest wave lived, seconds.
async fn waves(stage: &Stage, count: usize) -> Result<(usize, f64)> {
    let node = &stage.cluster.nodes[0];
    let to: SocketAddr = address(&node.mcp).parse().context("the address of a node")?;
    let path = format!("/mcp/{NAME}");
    let (mut dropped, mut slowest) = (0, 0.0_f64);
    while dropped < count {
        let wave = WAVE.min(count - dropped);
        let sessions = (dropped..dropped + wave)
            .map(|number| impolite::session(to, &path, Manner::ALL[number % Manner::ALL.len()]));
        // Those that keep their connection and are silent end with this list.
        let silent: Vec<_> = join_all(sessions).await.into_iter().collect::<Result<_>>()?;
        dropped += wave;
        let began = Instant::now();
        while stage.processes_of(NAME) > 0 && began.elapsed() < WAVE_LIMIT {
            sleep(POLL).await;
        }
        slowest = slowest.max(began.elapsed().as_secs_f64());
        drop(silent);
    }
    Ok((dropped, slowest))
}
