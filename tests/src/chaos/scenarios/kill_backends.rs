//! `kill -9` of a random backend process every second. Only what was in flight on it may fail.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::chaos::caller::Era;
use crate::chaos::load::{Failure, Outcome};
use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::{checks, look};
use crate::harness::processes;

const EVERY: Duration = Duration::from_secs(1);
const KILLS: u32 = 300;
const KILLS_SHORT: u32 = 12;
const POLL: Duration = Duration::from_millis(1);
/// What was sent so shortly after the death may have been written to the dead: the node had not seen it yet.
const UNSEEN: Duration = Duration::from_millis(100);
const UNSEEN_BUSY: Duration = Duration::from_secs(1);
/// Longest that a call waits for the news that its process is dead.
const NEWS_LIMIT: Duration = Duration::from_millis(100);

struct Kill {
    backend: String,
    at: Instant,
    dead: Instant,
}

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let mut stage = Stage::start(plan, 1);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let kills = kill(&stage, plan).await?;
    let outcome = load.stop().await;
    let unseen = plan.pick(UNSEEN_BUSY, UNSEEN);
    let deaths = Deaths::of(&outcome, &kills, unseen);
    let mut rows = vec![
        Row::judged(
            "kill -9 of backend processes",
            format!("{} killed", kills.len()),
            format!("at least {}", plan.pick(KILLS_SHORT / 3, KILLS - KILLS / 20)),
            kills.len() >= plan.pick(KILLS_SHORT / 3, KILLS - KILLS / 20) as usize,
        ),
        checks::calls(&outcome, |failure| deaths.excuse(failure), "in flight on a killed process"),
        deaths.row(),
        deaths.news(plan),
        checks::nonces(&outcome),
        checks::executions(&stage.ledger),
    ];
    stage.settle().await;
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

async fn kill(stage: &Stage, plan: Plan) -> Result<Vec<Kill>> {
    let (mut rng, mut kills) = (plan.rng(), Vec::new());
    let end = Instant::now() + plan.pick(KILLS_SHORT, KILLS) * EVERY;
    let mut next = Instant::now();
    while next < end {
        next += EVERY;
        let mut pipes = stage.pipes();
        pipes.sort_by(|one, other| one.1.cmp(&other.1));
        if pipes.is_empty() {
            eprintln!("no backend has a process");
        } else {
            let (pid, backend) = pipes.swap_remove(rng.usize(..pipes.len()));
            let at = Instant::now();
            // It may have ended by itself.
            if kill_process(Pid::from_raw(pid.cast_signed()).context("a process id")?, Signal::KILL).is_ok() {
                while processes::read(pid).is_some_and(|process| !process.is_zombie) {
                    sleep(POLL).await;
                }
                kills.push(Kill { backend, at, dead: Instant::now() });
            }
        }
        sleep(next.saturating_duration_since(Instant::now())).await;
    }
    Ok(kills)
}

/// Which failures belong to which kill.
struct Deaths {
    excused: HashSet<u64>,
    /// Kills to which calls of more clients belong than one process can have had.
    crowded: usize,
    slowest_news: Duration,
}

impl Deaths {
    fn of(outcome: &Outcome, kills: &[Kill], unseen: Duration) -> Self {
        let mut deaths = Self { excused: HashSet::new(), crowded: 0, slowest_news: Duration::ZERO };
        for kill in kills {
            let mut eras: Vec<Era> = Vec::new();
            let is_of_this = |failure: &&Failure| {
                in_flight(failure, kill, unseen)
                    && last_kill(failure, kills).is_some_and(|last| std::ptr::eq(last, kill))
            };
            for failure in outcome.failures.iter().filter(is_of_this) {
                deaths.excused.insert(failure.nonce);
                let news = failure.ended.saturating_duration_since(kill.dead.max(failure.sent));
                deaths.slowest_news = deaths.slowest_news.max(news);
                if !eras.contains(&failure.era) {
                    eras.push(failure.era);
                }
            }
            // The process of a modern server serves clients of both eras; any other those of one.
            let shared = Stage::only_era(&kill.backend) == Some(Era::Modern);
            deaths.crowded += usize::from(eras.len() > 1 && !shared);
        }
        deaths
    }

    fn excuse(&self, failure: &Failure) -> bool {
        self.excused.contains(&failure.nonce)
    }

    fn row(&self) -> Row {
        let Self { crowded, .. } = self;
        Row::judged("kills that cost calls of another process", crowded.to_string(), "0", *crowded == 0)
    }

    fn news(&self, plan: Plan) -> Row {
        let figure = format!("after {} ms at most", self.slowest_news.as_millis());
        let passed = self.slowest_news <= NEWS_LIMIT;
        Row::judged("answers to calls in flight", figure, "100 ms", passed).when_long(plan.is_long)
    }
}

/// Sent to the backend before its death could be seen, and told that the outcome is unknown.
fn in_flight(failure: &Failure, kill: &Kill, unseen: Duration) -> bool {
    failure.trouble.reason == "stream_lost" && failure.sent <= kill.dead + unseen
}

/// The last kill of a process of the backend before the call ended. A call may have outlived the kill of another
/// process, but not that of its own.
fn last_kill<'a>(failure: &Failure, kills: &'a [Kill]) -> Option<&'a Kill> {
    kills.iter().rfind(|kill| kill.backend == failure.backend && kill.at <= failure.ended)
}
