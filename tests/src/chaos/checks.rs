//! Rows that most scenarios have.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::ledger::Ledger;
use super::load::{Failure, Outcome};
use super::look::{Look, look};
use super::plan::Plan;
use super::row::Row;
use crate::harness::node::Node;

/// After which nothing may be left that was not there before.
const LEFT_LIMIT: Duration = Duration::from_secs(5);
/// For descriptors, tasks and threads: a pool closes what nobody uses after a while.
const HELD_LIMIT: Duration = Duration::from_secs(100);
/// Connections that a pool may hold more than at the start: it had more calls at once meanwhile.
const POOLED_MAX: usize = 16;
/// Each of them has a task or two.
const TASKS_MAX: usize = 2 * POOLED_MAX;
const POLL: Duration = Duration::from_millis(200);
/// Failures shown in full.
const SHOWN: usize = 5;

/// Calls that failed and may not have.
pub fn calls(outcome: &Outcome, may: impl Fn(&Failure) -> bool, allowed: &str) -> Row {
    let (excused, failed): (Vec<_>, Vec<_>) = outcome.failures.iter().partition(|failure| may(failure));
    for failure in failed.iter().take(SHOWN) {
        eprintln!("FAILED: {failure:?}");
    }
    let Outcome { calls, retried, reopened, .. } = outcome;
    let (excused, failed) = (excused.len(), failed.len());
    let mut figure = format!("{failed} failed of {calls}");
    for (count, what) in [(excused as u64, allowed), (*retried, "taken over"), (*reopened, "in new sessions")]
    {
        if count > 0 {
            figure += &format!(", {count} {what}");
        }
    }
    Row::judged("calls", figure, "0 failed", failed == 0)
}

/// Answers that belong to another call.
pub fn nonces(outcome: &Outcome) -> Row {
    let wrong = outcome.failures.iter().filter(|failure| failure.trouble.reason == "wrong").count();
    Row::judged("nonces", format!("{wrong} mismatches"), "0", wrong == 0)
}

/// Calls of a tool that must not run twice.
pub fn executions(ledger: &Ledger) -> Row {
    let balance = ledger.balance();
    let (excess, invented) = (balance.excess.len(), balance.invented.len());
    Row::judged(
        "executions of a tool that is not idempotent",
        format!(
            "{} of {} sends; {excess} more often than sent, {invented} answered and not executed",
            balance.executions, balance.sends
        ),
        "0 and 0",
        excess == 0 && invented == 0,
    )
}

/// What the nodes hold beyond `base`, once the load is over.
///
/// # Errors
/// A node does not answer.
pub async fn leftovers(plan: &Plan, nodes: &[Node], base: &[Look]) -> Result<Vec<Row>> {
    let began = Instant::now();
    let (limit, mut gone_after) = (plan.limit(LEFT_LIMIT), None);
    loop {
        let mut now = Vec::new();
        for node in nodes {
            now.push(look(node).await?);
        }
        let pairs = || now.iter().zip(base);
        let beyond: usize = pairs().map(|(now, base)| now.processes.saturating_sub(base.processes)).sum();
        let zombies: usize = now.iter().map(|look| look.zombies).sum();
        if beyond + zombies == 0 {
            gone_after.get_or_insert_with(|| began.elapsed());
        }
        let is_base = pairs().all(|(now, base)| {
            now.descriptors <= base.descriptors + POOLED_MAX && now.tasks <= base.tasks + TASKS_MAX
        });
        let given_up = began.elapsed() > limit && gone_after.is_none() || began.elapsed() > HELD_LIMIT;
        if gone_after.is_some() && is_base || given_up {
            let left = format!("{beyond} and {zombies} zombies");
            let left = match gone_after {
                Some(after) => format!("{left} after {:.1} s", after.as_secs_f64()),
                None => left,
            };
            let (before, after) = (sum(base), sum(&now));
            return Ok(vec![
                Row::judged(
                    "processes beyond base",
                    left,
                    format!("0 after {} s", limit.as_secs()),
                    gone_after.is_some_and(|after| after <= limit),
                ),
                Row::judged(
                    "what the nodes hold",
                    format!("before: {before}; after: {after}"),
                    format!("base, and {POOLED_MAX} pooled connections per node"),
                    is_base,
                ),
            ]);
        }
        sleep(POLL).await;
    }
}

fn sum(looks: &[Look]) -> Look {
    looks.iter().fold(Look::default(), |sum, look| Look {
        processes: sum.processes + look.processes,
        zombies: sum.zombies + look.zombies,
        descriptors: sum.descriptors + look.descriptors,
        tasks: sum.tasks + look.tasks,
        threads: sum.threads + look.threads,
    })
}
