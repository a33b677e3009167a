//! [`EndedSessions`]: sessions that were deleted through one node and that another could open anew. There may be
//! many, they are of no use after a day, and losing them does little: so they are kept in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use omcp_proto::v1;
use omcp_proto::v1::sync_response::Body;
use tokio::sync::broadcast;

use crate::publish::frame;

/// Sessions that are kept for nodes that come later: a few megabytes.
const ENDED_MAX: usize = 100_000;
/// Longest life of a token.
const LEFT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a session's id.
const ID_LEN: usize = 16;
/// Messages that wait for one slow stream; it gets all that is kept when it has missed some.
const WAITING: usize = 256;

/// What ended, in the order in which it was told.
#[derive(Debug)]
pub struct EndedSessions {
    kept: Mutex<VecDeque<([u8; ID_LEN], Instant)>>,
    told: broadcast::Sender<Bytes>,
}

impl Default for EndedSessions {
    fn default() -> Self {
        Self { kept: Mutex::default(), told: broadcast::Sender::new(WAITING) }
    }
}

impl EndedSessions {
    /// A node says that these were deleted.
    pub fn tell(&self, ended: v1::EndedSessions) {
        let now = Instant::now();
        let mut kept = self.lock();
        kept.retain(|(_, until)| *until > now);
        for session in &ended.sessions {
            let Ok(id) = session.id.as_slice().try_into() else { continue };
            if kept.len() >= ENDED_MAX {
                kept.pop_front();
            }
            kept.push_back((id, now + Duration::from_secs(session.left_s.into()).min(LEFT_MAX)));
        }
        drop(kept);
        // Nobody may be listening.
        let _ = self.told.send(frame::message(Body::Ended(ended)));
    }

    /// What is told from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Bytes> {
        self.told.subscribe()
    }

    /// Everything that is kept, as a message; empty if that is nothing.
    pub fn all(&self) -> Bytes {
        let now = Instant::now();
        let left =
            |until: &Instant| u32::try_from(until.saturating_duration_since(now).as_secs()).unwrap_or(0);
        let kept = self.lock();
        let sessions: Vec<_> = kept
            .iter()
            .map(|(id, until)| v1::EndedSession { id: id.to_vec(), left_s: left(until) })
            .collect();
        drop(kept);
        if sessions.is_empty() {
            Bytes::new()
        } else {
            frame::message(Body::Ended(v1::EndedSessions { sessions }))
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<([u8; ID_LEN], Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
