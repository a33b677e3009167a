//! [`CallCounts`]: what became of calls that did not simply end.

use std::sync::atomic::{AtomicU64, Ordering};

/// Since the start of the node, over all lanes.
#[derive(Debug, Default)]
pub struct CallCounts {
    /// Answers that nobody waited for any more.
    pub late: AtomicU64,
    /// Calls given up because the backend was silent, or because they lasted too long.
    pub timed_out: AtomicU64,
    /// Calls of which it is not known whether they were executed: the backend broke off.
    pub lost: AtomicU64,
    /// Calls sent again: nothing of them had left, or the backend allows it.
    pub repeated: AtomicU64,
}

impl CallCounts {
    pub fn add(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Ordering::Relaxed);
    }
}
