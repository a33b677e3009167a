//! The calls in flight on one lane, oldest first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::methods;
use tokio::time::Instant;

use super::event::{Event, Sink};

pub(super) struct Pending {
    calls: BTreeMap<u64, Call>,
    counters: Arc<Counters>,
    call_max: Duration,
}

struct Call {
    sink: Arc<dyn Sink>,
    traits: CallTraits,
    deadline: Option<Instant>,
    began: Instant,
}

/// Why a call is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing was heard of it for so long.
    Silent(Duration),
    /// It has lasted so long.
    Long(Duration),
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
    /// A call of the gateway's own.
    pub own: bool,
}

/// Calls accepted and not ended: those that end by themselves, those that may last for ever, and the
/// gateway's own.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub finite: AtomicUsize,
    pub endless: AtomicUsize,
    pub own: AtomicUsize,
    /// Answers to calls of clients so far.
    pub answered: AtomicU64,
}

impl CallTraits {
    pub(super) fn counter(self, counters: &Counters) -> &AtomicUsize {
        match self.timeout {
            _ if self.own => &counters.own,
            Some(_) => &counters.finite,
            None => &counters.endless,
        }
    }

    pub(super) fn is_endless(self) -> bool {
        self.timeout.is_none()
    }

    pub fn of(request: &McpMessage, timeout: Option<Duration>) -> Self {
        Self {
            timeout,
            interactive: request.method().is_some_and(methods::is_multi_round_trip),
            logs: request.envelope().log_level_range().is_some(),
            own: false,
        }
    }
}

impl Pending {
    pub fn new(counters: Arc<Counters>, call_max: Duration) -> Self {
        Self { calls: BTreeMap::new(), counters, call_max }
    }

    pub fn insert(&mut self, id: u64, sink: Arc<dyn Sink>, traits: CallTraits) {
        let began = Instant::now();
        let deadline = traits.timeout.map(|timeout| began + timeout);
        self.calls.insert(id, Call { sink, traits, deadline, began });
    }

    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Ends a call. False if it is not in flight: the answer came too late.
    pub fn finish(&mut self, id: u64, event: Event) -> bool {
        let Some(call) = self.calls.remove(&id) else {
            return false;
        };
        call.traits.counter(&self.counters).fetch_sub(1, Ordering::Relaxed);
        if matches!(event, Event::Final(_)) && !call.traits.own {
            self.counters.answered.fetch_add(1, Ordering::Relaxed);
        }
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
        let finite = |call: &Call| call.traits.timeout.is_some() && !call.traits.own;
        let mut finite = self.calls.iter().filter(|(_, call)| finite(call));
        match (finite.next(), finite.next()) {
            (Some((id, call)), None) if call.traits.logs => Some(*id),
            _ => None,
        }
    }

    /// Calls that are silent or last for too long.
    pub fn expired(&self, now: Instant) -> Vec<(u64, Overdue)> {
        let late = |(id, call): (&u64, &Call)| {
            let timeout = call.traits.timeout?;
            if call.deadline.is_some_and(|deadline| deadline <= now) {
                return Some((*id, Overdue::Silent(timeout)));
            }
            (now.duration_since(call.began) >= self.call_max).then_some((*id, Overdue::Long(self.call_max)))
        };
        self.calls.iter().filter_map(late).collect()
    }

    /// Ends all calls; returns how many there were.
    pub fn lose_all(&mut self, error: &Arc<GatewayError>) -> usize {
        let count = self.calls.len();
        while let Some((id, _)) = self.calls.first_key_value() {
            let id = *id;
            self.finish(id, Event::Lost(error.clone()));
        }
        count
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Done,
    NoSuchCall,
    Refused,
}
