//! When a ready backend is asked whether it is still there, and what becomes of the answer.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_runtimes::backoff;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Served;
use crate::backends::dialogue::Dialogue;
use crate::backends::queue::Errand;

/// A backend whose last call or check failed is looked at so much sooner.
const SOONER: u32 = 6;
/// But not more often than this.
const SOONEST: Duration = Duration::from_secs(1);

/// The plan of one backend's checks.
#[derive(Debug, Default)]
pub(super) struct Plan {
    next: Option<Instant>,
    /// How many answers the shared lane had given at the last look.
    answers: u64,
    under_way: bool,
}

impl Served {
    /// Asks for a check if it is time and no call was heard since the last one.
    pub fn look_after_health(&self, now: Instant) {
        let every = self.shared.limits.check_every;
        if every.is_zero() || self.retired() || self.health.ready().is_none() {
            return;
        }
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let next = *plan.next.get_or_insert_with(|| now + backoff::random_below(every));
        if plan.under_way || now < next {
            return;
        }
        let answers = self.open_lane().map_or(0, |lane| lane.answers());
        let heard = self.heard.swap(false, Ordering::Relaxed) | (answers != plan.answers);
        let degraded = self.health.record().degraded.is_some();
        plan.answers = answers;
        plan.next = Some(now + if degraded { (every / SOONER).max(SOONEST) } else { every });
        if degraded || !heard {
            plan.under_way = true;
            self.shared.queue.push_idle(self.this.clone(), Errand::Check);
        }
    }

    /// A check has ended; `None` if there was nobody to ask.
    pub fn checked(&self, outcome: Option<Result<(), GatewayError>>) {
        let answers = self.open_lane().map_or(0, |lane| lane.answers());
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        // A check is no use.
        (plan.under_way, plan.answers) = (false, answers);
        drop(plan);
        match outcome {
            Some(Ok(())) => self.note_success(),
            Some(Err(error)) => self.note_bad_check(&error),
            None => {}
        }
    }

    fn note_bad_check(&self, error: &GatewayError) {
        let error = GatewayError::new(error.kind(), format!("a check failed: {}", error.chain()));
        self.note_unreached(&error);
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let sooner = (self.shared.limits.check_every / SOONER).max(SOONEST);
        plan.next = Some(Instant::now() + sooner);
    }

    /// The session that checks of a legacy server use.
    pub fn check_session(&self) -> &Mutex<Option<Dialogue>> {
        &self.check_session
    }

    /// Whether its connections are processes of this machine.
    pub fn starts_processes(&self) -> bool {
        self.starts.load(Ordering::Relaxed)
    }
}
