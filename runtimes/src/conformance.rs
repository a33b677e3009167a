//! The conformance kit: one suite that every runtime passes, a stranger's as well as a built-in one.
//!
//! Give it a [`Subject`]: the runtime type, settings that reach a peer, and what its transport can do.
//! [`run`] then opens connections as a node does and checks what
//! [`BackendConnection`](omcp_core::BackendConnection) promises:
//!
//! ```no_run
//! # async fn test(subject: impl omcp_runtimes::conformance::Subject) {
//! let report = omcp_runtimes::conformance::run(&subject).await;
//! assert!(report.is_passed(), "{report}");
//! # }
//! ```
//!
//! In reading order:
//!
//! - [`Subject`], [`Peer`], [`Traits`]: what an author provides
//! - [`Report`]: what comes out; a check that cannot apply says why instead of passing
//! - [`peer`]: the other end, a state machine that misbehaves on request, for any transport
//! - `checks`: the suite
//! - `caller`: one connection, used as a node uses it

mod caller;
mod checks;
pub mod peer;
mod report;
mod subject;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::timeout;

pub use self::report::{Outcome, Report, Row};
pub use self::subject::{Applies, BadSettings, Death, Fault, Peer, Subject, Traits};

use self::checks::{Bench, Check};

/// A check that takes longer hangs: the slowest moves 32 MiB and starts a peer twice.
const CHECK_DEADLINE: Duration = Duration::from_secs(120);
/// A peer that takes longer to end is left behind.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Runs every check, each with a peer of its own. Needs a Tokio runtime with time and I/O; how many threads
/// it has does not matter.
pub async fn run(subject: &dyn Subject) -> Report {
    run_checks(subject, checks::all()).await
}

async fn run_checks(subject: &dyn Subject, checks: Vec<Check>) -> Report {
    let mut report = Report { subject: subject.label(), rows: Vec::new() };
    let traits = subject.traits();
    for check in checks {
        let start = Instant::now();
        let outcome = match (check.applies)(&traits) {
            Applies::Yes => guarded(subject, &traits, &check).await,
            Applies::No(reason) => Outcome::NotApplicable(reason),
        };
        report.rows.push(Row { check: check.name, outcome, took: start.elapsed() });
    }
    report
}

/// A runtime that panics or hangs fails the check and not the suite.
async fn guarded(subject: &dyn Subject, traits: &Traits, check: &Check) -> Outcome {
    let run = AssertUnwindSafe(Box::pin(one(subject, traits, check))).catch_unwind();
    match timeout(CHECK_DEADLINE, run).await {
        Ok(Ok(Ok(()))) => Outcome::Passed,
        Ok(Ok(Err(why))) => Outcome::Failed(why),
        Ok(Err(_)) => Outcome::Failed("it panicked".to_owned()),
        Err(_) => Outcome::Failed(format!("it did not end within {} s", CHECK_DEADLINE.as_secs())),
    }
}

async fn one(subject: &dyn Subject, traits: &Traits, check: &Check) -> Result<(), String> {
    let peer = subject.start().await.map_err(|error| format!("the peer did not start: {error}"))?;
    let mut bench = Bench { subject, traits, peer };
    let checked = (check.run)(&mut bench).await;
    let stopped = timeout(STOP_DEADLINE, bench.peer.stop()).await;
    checked?;
    match stopped {
        Ok(stopped) => stopped.map_err(|error| format!("the peer did not stop: {error}")),
        Err(_) => Err("the peer did not stop".to_owned()),
    }
}
