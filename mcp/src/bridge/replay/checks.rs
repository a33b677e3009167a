//! What both machines promise, whatever their peers do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use bytes::Bytes;

use crate::bridge::message::{Exchange, Message, Owned};
use crate::envelope::{Envelope, Kind, ScanLimits};

/// Requests of a client: each gets one last message, under its own id, and nothing after it.
#[derive(Default)]
pub(super) struct Exchanges {
    used: BTreeSet<Exchange>,
    open: BTreeMap<Exchange, Owned>,
}

impl Exchanges {
    /// False if the number was used before.
    pub fn begin(&mut self, exchange: Exchange, request: Message<'_>) -> bool {
        let new = self.used.insert(exchange);
        if new {
            self.open.insert(exchange, request.into());
        }
        new
    }

    /// The client is gone. False if it was not there.
    pub fn leave(&mut self, exchange: Exchange) -> bool {
        self.open.remove(&exchange).is_some()
    }

    pub fn more(&self, exchange: Exchange) {
        assert!(self.open.contains_key(&exchange), "{exchange:?} is told something but does not wait");
    }

    /// Progress is told by the token that the request gave.
    pub fn progress(&self, exchange: Exchange, told: &Bytes) {
        let told = scan(told);
        let token = self.open.get(&exchange).and_then(|request| request.lend().progress_token());
        let spoken = told.lend().progress_token();
        assert!(spoken.is_none() || spoken == token, "{exchange:?} is told of progress it did not ask for");
    }

    pub fn last(&mut self, exchange: Exchange, answer: &Bytes) {
        let request = self.dropped(exchange);
        assert_eq!(scan(answer).lend().id(), request.lend().id(), "{exchange:?} is answered as another");
    }

    /// Nobody wants an answer any more.
    pub fn dropped(&mut self, exchange: Exchange) -> Owned {
        let request = self.open.remove(&exchange);
        request.unwrap_or_else(|| panic!("{exchange:?} is answered but does not wait"))
    }

    pub fn open(&self) -> impl Iterator<Item = &Exchange> {
        self.open.keys()
    }
}

/// What a peer is told: no two requests have one id, and each of its own gets one answer at most.
#[derive(Default)]
pub(super) struct Peer {
    told: BTreeSet<Bytes>,
    asks: BTreeMap<Bytes, usize>,
}

impl Peer {
    pub fn asks(&mut self, request: Message<'_>) {
        *self.asks.entry(request.id()).or_default() += 1;
    }

    pub fn told(&mut self, sent: &Bytes) {
        let sent = scan(sent);
        let id = sent.lend().id();
        match sent.lend().kind() {
            Kind::Request => assert!(self.told.insert(id), "an id is used twice"),
            Kind::Notification => {}
            Kind::Response | Kind::Error => {
                let open = self.asks.get_mut(&id).filter(|open| **open > 0);
                *open.unwrap_or_else(|| panic!("{id:?} is answered but was not asked")) -= 1;
            }
        }
    }
}

fn scan(message: &Bytes) -> Owned {
    Owned::scan(message.clone()).expect("what is sent is a message")
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
