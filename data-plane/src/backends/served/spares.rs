//! `min_idle`: processes that are started before the sessions that will use them.
//!
//! Nothing was said to a spare yet, so it is as good as new for any session. A task owns it until a session
//! takes it, and notices when it dies.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_core::lifecycle::Isolation;
use omcp_runtimes::backoff;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Served;
use crate::backends::slots::Opened;

/// First wait after a spare died or could not be started.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait: sessions start their own processes meanwhile.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The spares of one definition.
#[derive(Default)]
pub(super) struct Spares(Mutex<State>);

#[derive(Default)]
struct State {
    held: VecDeque<Spare>,
    /// On their way out.
    ending: Vec<JoinHandle<()>>,
    /// One is being started.
    filling: bool,
    strikes: u32,
    not_before: Option<Instant>,
}

struct Spare {
    take: oneshot::Sender<oneshot::Sender<Opened>>,
    pid: Option<u32>,
    born: Instant,
    keeper: JoinHandle<()>,
}

impl Spares {
    /// The oldest that lives.
    async fn take(&self) -> Option<Opened> {
        loop {
            let spare = self.lock().held.pop_front()?;
            let (taker, taken) = oneshot::channel();
            if spare.take.send(taker).is_ok()
                && let Ok(opened) = taken.await
            {
                self.lock().strikes = 0;
                return Some(opened);
            }
        }
    }

    fn hold(&self, opened: Opened) {
        let (take, taken) = oneshot::channel();
        let (pid, born) = (opened.connection.pid(), Instant::now());
        let keeper = tokio::spawn(keep(opened, taken));
        self.lock().held.push_back(Spare { take, pid, born, keeper });
    }

    /// Ends those that are too old, and those beyond `most`. Whether there are others now.
    fn trim(&self, most: usize, lifetime_max: Option<Duration>, now: Instant) -> bool {
        let mut state = self.lock();
        let before = state.held.len();
        state.ending.retain(|keeper| !keeper.is_finished());
        let held = std::mem::take(&mut state.held);
        for spare in held {
            let old = lifetime_max.is_some_and(|max| now.duration_since(spare.born) >= max);
            if spare.take.is_closed() {
                state.strike(now);
                state.ending.push(spare.keeper);
            } else if old || state.held.len() >= most {
                // Its keeper hears that nobody will ask for it.
                state.ending.push(spare.keeper);
            } else {
                state.held.push_back(spare);
            }
        }
        state.held.len() != before
    }

    /// Whether the caller is the one to start what `most` lacks.
    fn begin_fill(&self, most: usize, now: Instant) -> bool {
        let mut state = self.lock();
        let due = state.not_before.is_none_or(|at| at <= now);
        due && state.held.len() < most && !std::mem::replace(&mut state.filling, true)
    }

    fn end_fill(&self, failed: bool) {
        let mut state = self.lock();
        state.filling = false;
        if failed {
            state.strike(Instant::now());
        }
    }

    pub fn close(&self) {
        self.trim(0, None, Instant::now());
    }

    /// Waits until those that were ended are gone.
    pub async fn closed(&self) {
        let ending = std::mem::take(&mut self.lock().ending);
        for keeper in ending {
            // A panic of the runtime has been told.
            drop(keeper.await);
        }
    }

    pub fn pids(&self) -> Vec<u32> {
        self.lock()
            .held
            .iter()
            .filter(|spare| !spare.take.is_closed())
            .filter_map(|spare| spare.pid)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn strike(&mut self, now: Instant) {
        self.strikes = self.strikes.saturating_add(1);
        self.not_before = Some(now + backoff::full_jitter(self.strikes, BACKOFF_FIRST, BACKOFF_MAX));
    }
}

/// Owns a spare until it is taken, dies, or nobody can take it any more.
async fn keep(mut opened: Opened, mut take: oneshot::Receiver<oneshot::Sender<Opened>>) {
    loop {
        tokio::select! {
            taker = &mut take => {
                let Ok(taker) = taker else { break };
                match taker.send(opened) {
                    Ok(()) => return,
                    // Its session has given up.
                    Err(back) => opened = back,
                }
                break;
            }
            said = opened.connection.recv() => match said {
                // Nobody was asked: it concerns no session.
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            },
        }
    }
    drop(take);
    drop(opened.connection.close().await);
}

impl Served {
    /// A connection for one session: one that is there already, or a new one.
    ///
    /// # Errors
    /// As [`Served::open_connection`].
    pub async fn session_connection(&self) -> Result<Opened, GatewayError> {
        let Some(opened) = self.spares.take().await else { return self.open_connection().await };
        self.fill_spares(Instant::now());
        Ok(opened)
    }

    /// Ends spares that are old or not wanted any more, and starts those that are missing.
    pub fn look_after_spares(&self, now: Instant) {
        if self.spares.trim(self.spares_max(), self.lifecycle().lifetime_max, now) {
            self.changed();
        }
        self.fill_spares(now);
    }

    /// How many it may have. Only processes are worth it.
    fn spares_max(&self) -> usize {
        let lifecycle = self.lifecycle();
        let apart = lifecycle.isolation != Isolation::Shared && self.upstream.is_none();
        let of_use = apart && !self.retired() && self.starts.load(Ordering::Relaxed);
        if of_use { lifecycle.min_idle as usize } else { 0 }
    }

    /// One after the other, and none while the backend does not serve sessions or the node needs its room for
    /// those that are open.
    fn fill_spares(&self, now: Instant) {
        let serves = self.health.serves().is_some_and(|eras| eras.legacy);
        let room = self.shared.slots.has_room_to_spare();
        if !serves || !room || !self.spares.begin_fill(self.spares_max(), now) {
            return;
        }
        let this = self.this.clone();
        tokio::spawn(async move {
            let Some(served) = this.upgrade() else { return };
            let started = served.open_connection().await;
            let failed = started.as_ref().err().map(GatewayError::chain);
            if let Some(error) = &failed {
                tracing::debug!(backend = %served.name, error, "no process could be started ahead of its session");
            }
            started.into_iter().for_each(|opened| served.spares.hold(opened));
            served.spares.end_fill(failed.is_some());
            served.changed();
            // More may be missing, or none be wanted any more.
            served.look_after_spares(Instant::now());
        });
    }
}
