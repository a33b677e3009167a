//! Calls by the clock: a late answer delays no call after it, and every call is judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use super::caller::{Ask, Caller, Era, Trouble};
use super::ledger::Ledger;

/// Calls without an answer at once. More of them is a gateway that has stopped, and each counts as failed.
const IN_FLIGHT_MAX: usize = 4_000;
/// Out of a hundred calls: the rest are lists.
const ECHO_SHARE: u32 = 55;
const TALLY_SHARE: u32 = 30;

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub backend: String,
    pub era: Era,
    pub ask: Ask,
    pub nonce: u64,
    pub sent: Instant,
    pub ended: Instant,
    pub trouble: Trouble,
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    pub calls: u64,
    pub failures: Vec<Failure>,
    /// Of every answered call, from the moment it was due, microseconds, ascending.
    pub latency_us: Vec<u32>,
    /// Calls that another node took over.
    pub retried: u64,
    /// Sessions that clients opened anew.
    pub reopened: u64,
}

impl Outcome {
    /// The time that this share of the answered calls did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let index = (self.latency_us.len() as f64 * share).ceil() as usize;
        let found = self.latency_us.get(index.saturating_sub(1)).copied().unwrap_or(0);
        Duration::from_micros(found.into())
    }
}

/// A load that runs until it is stopped.
pub struct Load {
    stop: watch::Sender<bool>,
    clock: JoinHandle<Outcome>,
    calls: Arc<AtomicU64>,
    callers: Vec<Arc<Caller>>,
}

struct Done {
    failure: Option<Failure>,
    took: Duration,
}

impl Load {
    /// Calls `callers` in random turn, so often a second. Nonces begin at `nonce`.
    pub fn start(callers: Vec<Arc<Caller>>, rate: u32, rng: Rng, nonce: u64, ledger: Arc<Ledger>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let calls = Arc::new(AtomicU64::new(nonce));
        let clock = tokio::spawn(run(callers.clone(), rate, rng, calls.clone(), ledger, stopped));
        Self { stop, clock, calls, callers }
    }

    /// The nonce of the next call.
    pub fn next_nonce(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// No new calls; waits for the answers to the last ones, and ends all sessions.
    ///
    /// # Panics
    /// The load did.
    pub async fn stop(self) -> Outcome {
        self.stop.send_replace(true);
        let mut outcome = self.clock.await.expect("the load does not panic");
        outcome.latency_us.sort_unstable();
        for caller in &self.callers {
            outcome.retried += caller.retried.load(Ordering::Relaxed);
            outcome.reopened += caller.reopened.load(Ordering::Relaxed);
            caller.leave().await;
        }
        outcome
    }
}

async fn run(
    callers: Vec<Arc<Caller>>,
    rate: u32,
    mut rng: Rng,
    calls: Arc<AtomicU64>,
    ledger: Arc<Ledger>,
    mut stopped: watch::Receiver<bool>,
) -> Outcome {
    let (mut outcome, mut running) = (Outcome::default(), JoinSet::new());
    let mut due = Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(done) = running.join_next() => outcome.take(done.expect("a call does not panic")),
            () = sleep_until(due.into()) => {
                let nonce = calls.fetch_add(1, Ordering::Relaxed);
                let caller = callers[rng.usize(..callers.len())].clone();
                outcome.calls += 1;
                if running.len() < IN_FLIGHT_MAX {
                    running.spawn(one(caller, ask(&mut rng), nonce, due, ledger.clone()));
                } else {
                    outcome.failures.push(overrun(&caller, nonce, due));
                }
                due += Duration::from_secs(1) / rate;
            }
        }
    }
    while let Some(done) = running.join_next().await {
        outcome.take(done.expect("a call does not panic"));
    }
    outcome
}

impl Outcome {
    fn take(&mut self, done: Done) {
        match done.failure {
            Some(failure) => self.failures.push(failure),
            None => self.latency_us.push(u32::try_from(done.took.as_micros()).unwrap_or(u32::MAX)),
        }
    }
}

fn ask(rng: &mut Rng) -> Ask {
    match rng.u32(..100) {
        share if share < ECHO_SHARE => Ask::Echo,
        share if share < ECHO_SHARE + TALLY_SHARE => Ask::Tally,
        _ => Ask::List,
    }
}

async fn one(caller: Arc<Caller>, ask: Ask, nonce: u64, due: Instant, ledger: Arc<Ledger>) -> Done {
    let sent = Instant::now();
    let called = caller.call(ask, nonce, &ledger).await;
    let ended = Instant::now();
    let failure = called.err().map(|trouble| Failure {
        backend: caller.backend.clone(),
        era: caller.era,
        ask,
        nonce,
        sent,
        ended,
        trouble,
    });
    Done { failure, took: ended - due }
}

fn overrun(caller: &Caller, nonce: u64, due: Instant) -> Failure {
    let text = format!("{IN_FLIGHT_MAX} calls had no answer");
    Failure {
        backend: caller.backend.clone(),
        era: caller.era,
        ask: Ask::Echo,
        nonce,
        sent: due,
        ended: due,
        trouble: Trouble { reason: "overrun".to_owned(), text, node: 0 },
    }
}
