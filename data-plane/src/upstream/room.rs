//! [`Room`]: how many calls may be in flight to one backend, and how many wait for a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use omcp_core::{ErrorKind, GatewayError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a call waits: a client would rather try another node.
const WAIT: Duration = Duration::from_secs(2);

pub struct Room {
    places: Arc<Semaphore>,
    max: usize,
    waiting: AtomicUsize,
}

/// Held from before a call until the last byte of its answer.
pub type Place = OwnedSemaphorePermit;

impl Room {
    pub fn new(max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), max, waiting: AtomicUsize::new(0) }
    }

    /// # Errors
    /// `Limit` if twice as many calls wait already, or after [`WAIT`].
    pub async fn enter(&self) -> Result<Place, GatewayError> {
        match self.places.clone().try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => Box::pin(self.wait()).await,
        }
    }

    async fn wait(&self) -> Result<Place, GatewayError> {
        let waiting = Waiting::one_more(&self.waiting);
        if waiting.before >= self.max.saturating_mul(2) {
            return Err(self.full());
        }
        let place = timeout(WAIT, self.places.clone().acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| self.full())
    }

    fn full(&self) -> GatewayError {
        let context = format!(
            "the backend has {} calls in flight already (--calls-per-backend-max); try again later",
            self.max
        );
        GatewayError::new(ErrorKind::Limit, context)
    }
}

/// Counts a call that waits, also one whose client goes away.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        let before = count.fetch_add(1, Ordering::Relaxed);
        Self { count, before }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_a_little_and_a_crowd_is_refused_at_once() {
        let room = Room::new(1);
        let place = room.enter().await.unwrap();
        let began = Instant::now();
        let (one, two, three, freed) = tokio::join!(room.enter(), room.enter(), room.enter(), async {
            tokio::time::sleep(WAIT / 2).await;
            drop(place);
            Instant::now()
        });
        assert!(one.is_ok(), "the first in line gets the place that becomes free");
        assert_eq!(two.unwrap_err().kind(), ErrorKind::Limit);
        assert!(three.unwrap_err().to_string().contains("1 calls in flight"));
        assert_eq!((freed - began, began.elapsed()), (WAIT / 2, WAIT));
    }
}
