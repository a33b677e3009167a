//! [`Ended`]: sessions that were deleted and could be opened anew by another node: it has to know better.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omcp_mcp::token::content::HandleId;
use omcp_proto::v1;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::session::LIFETIME;

/// Sessions that are remembered, 50 bytes each; more are forgotten at once.
const ENDED_MAX: usize = 100_000;
/// Sessions whose end the control plane has not been told yet: it may be away.
const UNTOLD_MAX: usize = 10_000;

/// What ended, here and elsewhere.
#[derive(Default)]
pub struct Ended {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    until: HashMap<HandleId, Instant>,
    untold: Vec<HandleId>,
}

impl Ended {
    /// A session was deleted here.
    pub fn end(&self, id: HandleId) {
        let mut state = self.lock();
        state.add(id, LIFETIME);
        if state.untold.len() < UNTOLD_MAX {
            state.untold.push(id);
        }
        drop(state);
        self.news.notify_one();
    }

    /// Sessions were deleted elsewhere.
    pub fn take(&self, ended: &v1::EndedSessions) {
        let mut state = self.lock();
        for session in &ended.sessions {
            if let Ok(id) = HandleId::try_from(session.id.as_slice()) {
                state.add(id, Duration::from_secs(session.left_s.into()).min(LIFETIME));
            }
        }
    }

    pub fn has(&self, id: &HandleId) -> bool {
        self.lock().until.get(id).is_some_and(|until| *until > Instant::now())
    }

    /// Sessions that are remembered.
    pub fn count(&self) -> usize {
        self.lock().until.len()
    }

    /// Waits until there is something to tell. Loses nothing when it is dropped.
    pub async fn any(&self) {
        loop {
            let news = self.news.notified();
            if !self.lock().untold.is_empty() {
                return;
            }
            news.await;
        }
    }

    /// What is to be told to the others.
    pub fn tell(&self) -> v1::EndedSessions {
        let untold = std::mem::take(&mut self.lock().untold);
        let left_s = u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX);
        let session = |id: HandleId| v1::EndedSession { id: id.to_vec(), left_s };
        v1::EndedSessions { sessions: untold.into_iter().map(session).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, id: HandleId, left: Duration) {
        let now = Instant::now();
        if self.until.len() >= ENDED_MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() < ENDED_MAX {
            self.until.insert(id, now + left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_ended_is_told_once_and_remembered_for_its_lifetime() {
        let (here, elsewhere) = (Ended::default(), Ended::default());
        here.end([1; 16]);
        here.any().await;
        let told = here.tell();
        assert_eq!((told.sessions.len(), here.tell().sessions.len()), (1, 0));
        elsewhere.take(&told);
        assert!(here.has(&[1; 16]) && elsewhere.has(&[1; 16]) && !elsewhere.has(&[2; 16]));
        tokio::time::advance(LIFETIME).await;
        assert!(!here.has(&[1; 16]) && !elsewhere.has(&[1; 16]));
        let odd = vec![v1::EndedSession { id: vec![1], left_s: u32::MAX }];
        elsewhere.take(&v1::EndedSessions { sessions: odd });
    }
}
