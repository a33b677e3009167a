//! What both machines promise, whatever their peers do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use bytes::Bytes;

use crate::bridge::message::Exchange;
use crate::envelope::{Envelope, ScanLimits};

/// Requests of a client: each gets one last message, and nothing after it.
#[derive(Default)]
pub(super) struct Exchanges {
    used: BTreeSet<Exchange>,
    open: BTreeSet<Exchange>,
}

impl Exchanges {
    /// False if the number was used before.
    pub fn begin(&mut self, exchange: Exchange) -> bool {
        let new = self.used.insert(exchange);
        if new {
            self.open.insert(exchange);
        }
        new
    }

    /// The client is gone. False if it was not there.
    pub fn leave(&mut self, exchange: Exchange) -> bool {
        self.open.remove(&exchange)
    }

    pub fn more(&self, exchange: Exchange) {
        assert!(self.open.contains(&exchange), "{exchange:?} is told something but does not wait");
    }

    pub fn last(&mut self, exchange: Exchange) {
        assert!(self.open.remove(&exchange), "{exchange:?} is answered but does not wait");
    }

    pub fn open(&self) -> &BTreeSet<Exchange> {
        &self.open
    }
}

/// Every message sent is one.
pub(super) fn message(bytes: &Bytes) -> &str {
    if let Err(error) = Envelope::scan(bytes, &ScanLimits::default()) {
        panic!("no message: {error}: {}", String::from_utf8_lossy(bytes));
    }
    std::str::from_utf8(bytes).expect("a scanned message is UTF-8")
}

/// Timers that are armed, in a time of their own.
pub(super) struct Timers<T> {
    now: u64,
    due: BTreeMap<T, u64>,
}

impl<T: Ord + Copy + Debug> Timers<T> {
    pub fn new() -> Self {
        Self { now: 0, due: BTreeMap::new() }
    }

    pub fn arm(&mut self, timer: T, after_ms: u64) {
        self.due.insert(timer, self.now + after_ms);
    }

    pub fn disarm(&mut self, timer: T) {
        self.due.remove(&timer);
    }

    /// The next one to run out.
    pub fn next(&mut self) -> Option<T> {
        let (timer, due) = self.due.iter().min_by_key(|(timer, due)| (**due, **timer))?;
        let (timer, due) = (*timer, *due);
        self.now = due;
        self.due.remove(&timer);
        Some(timer)
    }
}
