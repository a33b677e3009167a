//! The calls in flight on one lane, oldest first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::methods;
use tokio::time::Instant;

use super::event::{Event, Sink};

pub(super) struct Pending {
    calls: BTreeMap<u64, Call>,
    counters: Arc<Counters>,
}

struct Call {
    sink: Arc<dyn Sink>,
    traits: CallTraits,
    deadline: Option<Instant>,
}

/// What the owner of a lane has to know of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallTraits {
    /// Longest silence; none for calls that may last for ever.
    pub timeout: Option<Duration>,
    /// The protocol lets the peer ask something while it works on this call.
    pub interactive: bool,
    /// The client asked for log messages with this call (modern revisions).
    pub logs: bool,
}

/// Calls accepted and not ended: those that end by themselves, and those that may last for ever.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub finite: AtomicUsize,
    pub endless: AtomicUsize,
}

impl CallTraits {
    pub(super) fn counter(self, counters: &Counters) -> &AtomicUsize {
        if self.timeout.is_some() { &counters.finite } else { &counters.endless }
    }

    pub(super) fn is_endless(self) -> bool {
        self.timeout.is_none()
    }

    pub fn of(request: &McpMessage, timeout: Option<Duration>) -> Self {
        Self {
            timeout,
            interactive: request.method().is_some_and(methods::is_multi_round_trip),
            logs: request.envelope().log_level_range().is_some(),
        }
    }
}

impl Pending {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { calls: BTreeMap::new(), counters }
    }

    pub fn insert(&mut self, id: u64, sink: Arc<dyn Sink>, traits: CallTraits) {
        let deadline = traits.timeout.map(|timeout| Instant::now() + timeout);
        self.calls.insert(id, Call { sink, traits, deadline });
    }

    /// Ends a call. False if it is not in flight: the answer came too late.
    pub fn finish(&mut self, id: u64, event: Event) -> bool {
        let Some(call) = self.calls.remove(&id) else {
            return false;
        };
        call.traits.counter(&self.counters).fetch_sub(1, Ordering::Relaxed);
        call.sink.event(event);
        true
    }

    /// Hands a message to the call `id`. False if there is none, or if its caller does not listen.
    pub fn deliver(&mut self, id: u64, message: McpMessage) -> Delivery {
        let Some(call) = self.calls.get_mut(&id) else {
            return Delivery::NoSuchCall;
        };
        call.deadline = call.traits.timeout.map(|timeout| Instant::now() + timeout);
        if call.sink.event(Event::Message(message)) { Delivery::Done } else { Delivery::Refused }
    }

    /// The call that an unmarked message most likely belongs to: the oldest that may ask something.
    pub fn oldest(&self) -> Option<u64> {
        let interactive = self.calls.iter().find(|(_, call)| call.traits.interactive);
        interactive.or_else(|| self.calls.iter().next()).map(|(id, _)| *id)
    }

    /// The call that an unmarked log message certainly belongs to: the only one, if it asked for them.
    /// Nobody may read what another client's call made the backend say.
    pub fn only_with_logs(&self) -> Option<u64> {
        let mut finite = self.calls.iter().filter(|(_, call)| call.traits.timeout.is_some());
        match (finite.next(), finite.next()) {
            (Some((id, call)), None) if call.traits.logs => Some(*id),
            _ => None,
        }
    }

    /// Calls whose deadline has passed.
    pub fn expired(&self, now: Instant) -> Vec<u64> {
        let late = |call: &Call| call.deadline.is_some_and(|deadline| deadline <= now);
        self.calls.iter().filter(|(_, call)| late(call)).map(|(id, _)| *id).collect()
    }

    pub fn lose_all(&mut self, error: &Arc<GatewayError>) {
        while let Some((id, _)) = self.calls.first_key_value() {
            let id = *id;
            self.finish(id, Event::Lost(error.clone()));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Done,
    NoSuchCall,
    Refused,
}
