//! Rest and renewal of the shared lane: what nobody uses ends, what is old is replaced.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Findings, Served};
use crate::backends::lane::Lane;
use crate::backends::queue::Errand;

/// How the shared lane was found at the last look.
#[derive(Debug, Default)]
pub(super) struct Look {
    disuse: Disuse,
    /// It is being replaced since.
    renewing: Option<Instant>,
}

/// How long a lane has not been used, as far as it was looked at.
#[derive(Debug, Default)]
pub(super) struct Disuse {
    /// How often it had been used at the last look.
    uses: u64,
    since: Option<Instant>,
}

impl Disuse {
    pub fn lasted(&mut self, lane: &Lane, now: Instant) -> Duration {
        let quiet = self.uses == lane.uses() && lane.in_flight() == 0 && lane.endless() == 0;
        self.uses = lane.uses();
        let since = self.since.get_or_insert(now);
        if !quiet {
            *since = now;
        }
        now.duration_since(*since)
    }
}

impl Served {
    /// Ends the shared process if nobody used it for long, or asks for a new one if it is old. Nothing here
    /// costs a call anything.
    pub fn look_after_lane(&self, now: Instant) {
        let Some(lane) = self.open_lane() else { return };
        if self.retired() {
            return;
        }
        let lifecycle = self.lifecycle();
        if lifecycle.lifetime_max.is_some_and(|max| now.duration_since(lane.born()) >= max) {
            self.ask_for_renewal(now);
        }
        let unused = self.look.lock().unwrap_or_else(PoisonError::into_inner).disuse.lasted(&lane, now);
        let rests =
            lifecycle.min_idle == 0 && lifecycle.idle_timeout.is_some_and(|timeout| unused >= timeout);
        // The next call of a principal with a lane of its own would wait until this one is back.
        if rests && self.open_principal_lanes().is_empty() {
            self.put_to_rest(now);
        }
    }

    fn put_to_rest(&self, now: Instant) {
        if self.health.rest(now) {
            tracing::debug!(backend = %self.name, "nobody uses the backend: its process is ended");
            // A call that has just looked the lane up goes through.
            if let Some(lane) = self.take_lane() {
                lane.close_when_quiet();
            }
            self.look.lock().unwrap_or_else(PoisonError::into_inner).disuse = Disuse::default();
            self.changed();
        }
    }

    /// Once per lane, and again if nothing came of it.
    fn ask_for_renewal(&self, now: Instant) {
        const AGAIN_AFTER: Duration = Duration::from_secs(60);
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        if look.renewing.is_none_or(|asked| now.duration_since(asked) >= AGAIN_AFTER) {
            look.renewing = Some(now);
            self.shared.queue.push_idle(self.this.clone(), Errand::Renewal);
        }
    }

    /// A new shared connection has been made: the old one ends when its calls have.
    pub fn renew(&self, findings: Findings) {
        let Some(opened) = findings.connection else { return };
        if self.life.is_closed() {
            return;
        }
        let old = self.replace_lane(opened);
        self.look.lock().unwrap_or_else(PoisonError::into_inner).renewing = None;
        self.changed();
        let Some(old) = old else { return };
        tracing::debug!(backend = %self.name, "the shared process is replaced: it was old");
        tokio::spawn(finish(Lane::clone(&old), self.shared.limits.drain_timeout));
    }
}

/// Lets the calls of a replaced lane end; what lasts longer is cut, and its clients begin anew.
pub(super) async fn finish(lane: Lane, drain_timeout: Duration) {
    lane.close_when_quiet();
    if timeout(drain_timeout, lane.closed()).await.is_err() {
        lane.close();
    }
}
