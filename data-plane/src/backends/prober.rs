//! The workers that probe: few, so that a start with thousands of backends does not start thousands of
//! processes at once. A probe that waits for a silent backend gives its place to the next.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use omcp_core::{ErrorKind, GatewayError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queue::{Errand, Job};
use super::served::{Served, Shared};
use super::{check, probe};

/// Probes at once on a node: as many as connections may be opened at once.
pub const PROBES_MAX: usize = 8;
/// A backend that has not answered after so long is waited for beside the others.
const PLACE_TIME: Duration = Duration::from_secs(2);
/// Backends that one worker waits for beside its place; with more, it waits.
const SLOW_MAX: usize = 64;

/// Starts the workers; each tells `done` whom it has probed. They end when the set is dropped.
pub fn start(shared: &Arc<Shared>, done: &mpsc::Sender<Weak<Served>>) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    for _ in 0..PROBES_MAX {
        workers.spawn(work(shared.clone(), done.clone()));
    }
    workers
}

async fn work(shared: Arc<Shared>, done: mpsc::Sender<Weak<Served>>) {
    let mut slow = FuturesUnordered::new();
    loop {
        let job = tokio::select! {
            job = shared.queue.next(), if slow.len() < SLOW_MAX => job,
            Some(()) = slow.next() => continue,
        };
        let mut errand = Box::pin(run(job, done.clone()));
        let mut place = pin!(tokio::time::sleep(PLACE_TIME));
        loop {
            tokio::select! {
                () = &mut errand => break,
                Some(()) = slow.next() => {}
                () = &mut place => {
                    slow.push(errand);
                    break;
                }
            }
        }
    }
}

async fn run(job: Job<Served>, done: mpsc::Sender<Weak<Served>>) {
    let Job { subject, errand } = job;
    let Some(served) = subject.upgrade() else { return };
    match errand {
        Errand::Verdict if served.begin_probe(Instant::now()) => {
            served.end_probe(guarded(&served).await);
            // The set is gone only when the node stops.
            drop(done.send(subject).await);
        }
        Errand::Verdict => {}
        Errand::OtherEra => other_era(&served).await,
        Errand::Check if served.retired() => {}
        Errand::Check => {
            let checked = AssertUnwindSafe(check::run(&served)).catch_unwind().await;
            served.checked(checked.unwrap_or(None));
        }
        Errand::Listing => {
            let listed = AssertUnwindSafe(probe::relist(&served)).catch_unwind().await;
            served.end_listing(listed.unwrap_or_else(|_| {
                Err(GatewayError::new(
                    ErrorKind::Internal,
                    "the runtime panicked while its lists were asked for",
                ))
            }));
        }
        Errand::Renewal if served.retired() => {}
        Errand::Renewal => match guarded(&served).await {
            Ok(findings) => served.renew(findings),
            Err(error) => {
                tracing::info!(backend = %served.name(), error = %error.chain(), "the old process goes on: a new one cannot be had");
            }
        },
    }
}

/// A probe that runs foreign code: a panic in it is one backend's failure. It ends with its definition, and what
/// it has started ends with it.
async fn guarded(served: &Served) -> Result<super::served::Findings, GatewayError> {
    let probed = tokio::select! {
        probed = AssertUnwindSafe(probe::run(served)).catch_unwind() => probed,
        () = served.wait_closed() => Ok(Err(GatewayError::closed("its definition has ended"))),
    };
    probed.unwrap_or_else(|_| {
        let context = format!("the runtime of backend {} panicked while it was probed", served.name());
        Err(GatewayError::new(ErrorKind::Internal, context))
    })
}

/// Whoever waits for the answer does not wait for the end of the connection that it came by.
async fn other_era(served: &Served) {
    if !served.begin_other_era() {
        return;
    }
    let asked = async {
        let Ok(mut dialogue) = probe::dial(served).await else { return };
        served.end_other_era(probe::speaks_legacy(&mut dialogue).await);
        dialogue.close(probe::CLOSE_DEADLINE).await;
    };
    tokio::select! {
        // A panic of the runtime is no answer.
        asked = AssertUnwindSafe(asked).catch_unwind() => drop(asked),
        () = served.wait_closed() => {}
    }
    served.end_other_era(None);
}
