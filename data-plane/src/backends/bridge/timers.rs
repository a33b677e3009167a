//! [`Timers`]: the named timers of a machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// Each name has one timer at most.
#[derive(Debug)]
pub struct Timers<T> {
    by_name: BTreeMap<T, Instant>,
    by_time: BTreeSet<(Instant, T)>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<T: Copy + Ord> Timers<T> {
    pub fn arm(&mut self, timer: T, after_ms: u64) {
        self.disarm(timer);
        let due = Instant::now() + Duration::from_millis(after_ms);
        self.by_name.insert(timer, due);
        self.by_time.insert((due, timer));
    }

    pub fn disarm(&mut self, timer: T) {
        if let Some(due) = self.by_name.remove(&timer) {
            self.by_time.remove(&(due, timer));
        }
    }

    /// The next timer that runs out; waits for ever while there is none. Cancel safe: until it is taken
    /// here, it stays armed.
    pub async fn next(&mut self) -> T {
        let Some((due, timer)) = self.by_time.first().copied() else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(due).await;
        self.disarm(timer);
        timer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn timers_run_out_in_order_and_once() {
        let mut timers = Timers::default();
        timers.arm('a', 300);
        timers.arm('b', 100);
        timers.arm('c', 200);
        timers.arm('a', 50);
        timers.disarm('c');
        assert_eq!((timers.next().await, timers.next().await), ('a', 'b'));
        assert!(tokio::time::timeout(Duration::from_secs(9), timers.next()).await.is_err());
    }
}
