//! The workers that probe: few, so that a start with thousands of backends does not start thousands of
//! processes at once.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use omcp_core::{ErrorKind, GatewayError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::probe;
use super::queue::{Errand, Job};
use super::served::{Served, Shared};

/// Probes at once on a node: as many as connections may be opened at once.
pub const PROBES_MAX: usize = 8;

/// Starts the workers; each tells `done` whom it has probed. They end when the set is dropped.
pub fn start(shared: &Arc<Shared>, done: &mpsc::Sender<Weak<Served>>) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    for _ in 0..PROBES_MAX {
        workers.spawn(work(shared.clone(), done.clone()));
    }
    workers
}

async fn work(shared: Arc<Shared>, done: mpsc::Sender<Weak<Served>>) {
    loop {
        let Job { subject, errand } = shared.queue.next().await;
        let Some(served) = subject.upgrade() else { continue };
        match errand {
            Errand::Verdict if served.begin_probe(Instant::now()) => {
                served.end_probe(guarded(&served).await);
                // The set is gone only when the node stops.
                drop(done.send(subject).await);
            }
            Errand::Verdict => {}
            Errand::OtherEra => other_era(&served).await,
        }
    }
}

/// A probe that runs foreign code: a panic in it is one backend's failure.
async fn guarded(served: &Served) -> Result<super::served::Findings, GatewayError> {
    AssertUnwindSafe(probe::run(served)).catch_unwind().await.unwrap_or_else(|_| {
        let context = format!("the runtime of backend {} panicked while it was probed", served.name());
        Err(GatewayError::new(ErrorKind::Internal, context))
    })
}

async fn other_era(served: &Served) {
    if served.retired() || served.eras().is_none() {
        return;
    }
    match AssertUnwindSafe(probe::speaks_legacy(served)).catch_unwind().await {
        Ok(Some(true)) => served.found_legacy(),
        Ok(Some(false)) => served.refused_legacy(),
        Ok(None) | Err(_) => {}
    }
}
