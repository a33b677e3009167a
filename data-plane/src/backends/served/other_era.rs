//! Whether a modern backend has a handshake as well. It is asked on a connection of its own: when there is nothing
//! else to do, or at once when a client with a session comes first. One question is for all who wait.

use std::time::Duration;

use omcp_core::EraPin;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{START_DEADLINE, Served};
use crate::backends::eras::Eras;
use crate::backends::queue::Errand;

/// A question without an answer is not repeated for so long. Clients with sessions are bridged meanwhile: that
/// works for them, while a handshake might not.
const SILENCE_REST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unasked,
    /// A client waits, and no worker has taken it up yet.
    Wanted,
    Asking,
    Known(bool),
    /// There was no answer, at this time.
    Silent(Instant),
}

/// What is known of it.
#[derive(Debug)]
pub(super) struct OtherEra(watch::Sender<State>);

impl Default for OtherEra {
    fn default() -> Self {
        Self(watch::Sender::new(State::Unasked))
    }
}

impl OtherEra {
    fn known(&self) -> Option<bool> {
        match *self.0.borrow() {
            State::Known(known) => Some(known),
            _ => None,
        }
    }

    /// Whether the caller has to find somebody who asks.
    fn want(&self, now: Instant) -> bool {
        self.change(|state| match state {
            State::Unasked => Some(State::Wanted),
            State::Silent(since) if now.duration_since(since) >= SILENCE_REST => Some(State::Wanted),
            _ => None,
        })
    }

    /// Whether the caller is the one to ask. Without a client that waits it may be of no use.
    fn begin(&self, of_use: bool) -> bool {
        self.change(|state| match state {
            State::Wanted => Some(State::Asking),
            State::Unasked if of_use => Some(State::Asking),
            _ => None,
        })
    }

    fn end(&self, answer: Option<bool>, now: Instant) {
        self.change(|state| {
            let next = answer.map_or(State::Silent(now), State::Known);
            (state == State::Asking).then_some(next)
        });
    }

    fn forget(&self) {
        self.change(|state| matches!(state, State::Known(_) | State::Silent(_)).then_some(State::Unasked));
    }

    fn change(&self, next: impl Fn(State) -> Option<State>) -> bool {
        self.0.send_if_modified(|state| {
            let next = next(*state);
            *state = next.unwrap_or(*state);
            next.is_some()
        })
    }

    /// Waits for the end of the question; false if it has no answer.
    async fn answer(&self) -> bool {
        let mut told = self.0.subscribe();
        let settled = told.wait_for(|state| matches!(state, State::Known(_) | State::Silent(_)));
        settled.await.is_ok_and(|state| *state == State::Known(true))
    }
}

impl Served {
    /// Whether clients' handshakes are for it; `None` if a modern backend was not asked yet whether it has one.
    pub fn speaks_legacy(&self, eras: Eras) -> Option<bool> {
        if eras.modern && self.era_pin() == EraPin::Auto && self.runtime.only_answers() {
            return Some(false);
        }
        if eras.legacy || self.era_pin() != EraPin::Auto {
            return Some(eras.legacy);
        }
        self.other_era.known()
    }

    /// Whether its clients' own handshakes go to it. A modern backend that was not asked yet is asked first, so
    /// that no client hears its answer to a question it may not understand; one that does not answer has none.
    pub async fn shakes_hands(&self, eras: Eras) -> bool {
        match self.speaks_legacy(eras) {
            Some(known) => known,
            None => Box::pin(self.other_era_now()).await,
        }
    }

    async fn other_era_now(&self) -> bool {
        if self.other_era.want(Instant::now()) {
            self.shared.queue.push_urgent(self.this.clone(), Errand::OtherEra);
        }
        let answer = timeout(START_DEADLINE, self.other_era.answer());
        tokio::select! {
            answer = answer => answer.unwrap_or(false),
            () = self.life.closed() => false,
        }
    }

    /// Asks for the question when a worker has nothing else to do.
    pub(super) fn other_era_later(&self, eras: Eras) {
        if self.speaks_legacy(eras).is_none() {
            self.shared.queue.push_idle(self.this.clone(), Errand::OtherEra);
        }
    }

    /// Whether the caller is the one to ask a modern backend for a handshake.
    pub fn begin_other_era(&self) -> bool {
        self.other_era.begin(!self.retired() && self.eras().is_some())
    }

    /// Takes the answer, or that there is none. Only the first one after [`Served::begin_other_era`] counts.
    pub fn end_other_era(&self, answer: Option<bool>) {
        if answer == Some(true)
            && let Some(eras) = self.health.ready()
        {
            self.health.succeeded(Eras { legacy: true, ..eras }, None, Instant::now());
            self.changed();
        }
        self.other_era.end(answer, Instant::now());
    }

    /// What a probe found, and what was known before of the other era.
    pub(super) fn with_other_era(&self, eras: Eras) -> Eras {
        Eras { legacy: self.speaks_legacy(eras).unwrap_or(eras.legacy), ..eras }
    }

    /// It failed: what comes back may be another program.
    pub(super) fn forget_other_era(&self) {
        self.other_era.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_question_at_a_time_and_none_soon_after_silence() {
        let (era, now) = (OtherEra::default(), Instant::now());
        assert!(!era.begin(false), "nobody waits, and it is of no use");
        assert!(era.want(now) && !era.want(now), "one is enough");
        assert!(era.begin(false) && !era.begin(true));
        era.end(None, now);
        assert_eq!((era.known(), era.answer().await), (None, false));
        assert!(!era.want(now + SILENCE_REST / 2) && !era.begin(true));
        assert!(era.want(now + SILENCE_REST) && era.begin(true));
        era.end(Some(true), now);
        era.end(Some(false), now);
        assert_eq!((era.known(), era.answer().await), (Some(true), true));
        assert!(!era.want(now + SILENCE_REST));
        era.forget();
        assert!(era.known().is_none() && era.want(now));
        era.forget();
        assert!(era.begin(false), "a client that waits is not forgotten");
    }
}
