//! Idle connections to one backend, the newest first, so that the others can grow old and close.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::dial::Link;

/// Idle connections kept: as many as calls may be in flight to one backend.
const IDLE_MAX: usize = 256;
/// Node.js servers, the most common ones, close idle connections after 5 s; a request must not meet
/// that moment.
const IDLE_FOR: Duration = Duration::from_secs(4);

#[derive(Default)]
pub struct Pool {
    idle: Mutex<Vec<(Link, Instant)>>,
}

impl Pool {
    /// A connection that is very likely usable.
    pub fn take(&self) -> Option<Link> {
        let mut idle = self.lock();
        while let Some((link, since)) = idle.pop() {
            if link.is_closed() {
                continue;
            }
            if link.is_http2() {
                if let Some(shared) = link.share() {
                    idle.push((link, Instant::now()));
                    return Some(shared);
                }
            } else if since.elapsed() < IDLE_FOR {
                return Some(link);
            } else {
                // What lies below is older still.
                idle.clear();
            }
        }
        None
    }

    pub fn put(&self, link: Link) {
        if link.is_closed() {
            return;
        }
        let mut idle = self.lock();
        let redundant =
            link.is_http2() && idle.iter().any(|(other, _)| other.is_http2() && !other.is_closed());
        if !redundant && idle.len() < IDLE_MAX {
            idle.push((link, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Link, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
