//! [`Kept`]: what a node keeps for its clients, each under a name of its own that nobody can guess.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_mcp::token::content::HandleId;
use tokio::time::Instant;

use crate::members::keys::random;

/// At most so many; the oldest give way.
pub struct Kept<T> {
    max: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    by_id: HashMap<HandleId, T>,
    by_age: VecDeque<(Instant, HandleId)>,
}

impl<T: Clone> Kept<T> {
    pub fn new(max: usize) -> Self {
        let entries = Entries { by_id: HashMap::new(), by_age: VecDeque::new() };
        Self { max, entries: Mutex::new(entries) }
    }

    /// Keeps something for so long.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn keep(&self, entry: T, lifetime: Duration) -> Result<HandleId, GatewayError> {
        let (id, now) = (random()?, Instant::now());
        let mut entries = self.lock();
        while entries.by_age.len() >= self.max
            || entries.by_age.front().is_some_and(|(until, _)| *until <= now)
        {
            let oldest = entries.by_age.pop_front();
            oldest.and_then(|(_, id)| entries.by_id.remove(&id));
        }
        entries.by_age.push_back((now + lifetime, id));
        entries.by_id.insert(id, entry);
        Ok(id)
    }

    pub fn get(&self, id: &HandleId) -> Option<T> {
        self.lock().by_id.get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_give_way() {
        let kept = Kept::new(2);
        let ids: Vec<HandleId> = (0..3).map(|n| kept.keep(n, Duration::from_secs(5)).unwrap()).collect();
        assert_eq!(ids.iter().map(|id| kept.get(id)).collect::<Vec<_>>(), [None, Some(1), Some(2)]);
        tokio::time::advance(Duration::from_secs(6)).await;
        let newest = kept.keep(3, Duration::from_secs(5)).unwrap();
        assert_eq!((kept.get(&ids[2]), kept.get(&newest)), (None, Some(3)));
    }
}
