//! [`Inbox`]: one caller's queue of events.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use omcp_core::{GatewayError, McpMessage};

use super::event::{Event, Sink};

/// Events a slow caller may leave unread; then its call is cancelled, so that it delays nobody else.
const EVENTS_MAX: usize = 1024;
/// Bytes of these; a single message may be larger. A slow caller holds no more of the node's memory.
const UNREAD_LEN_MAX: usize = 4 * 1024 * 1024;

/// A bounded queue with one reader. Empty ones cost one small allocation.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    /// Bytes of the messages in them.
    unread_len: usize,
    reader: Option<Waker>,
}

impl Inbox {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The next event; waits for ever after the last one.
    pub async fn next(&self) -> Event {
        std::future::poll_fn(|context| self.poll_next(context.waker())).await
    }

    /// The response, whatever comes before it.
    ///
    /// # Errors
    /// There is none: the call was lost or cancelled.
    pub async fn response(&self) -> Result<McpMessage, GatewayError> {
        loop {
            match self.next().await {
                Event::Final(message) => return Ok(message),
                Event::Lost(error) | Event::Unsent(error) => {
                    return Err(GatewayError::new(error.kind(), error.chain()));
                }
                Event::Cancelled => return Err(GatewayError::closed("the call was cancelled")),
                Event::Message(_) => {}
            }
        }
    }

    pub fn poll_next(&self, waker: &Waker) -> Poll<Event> {
        let mut state = self.lock();
        match state.events.pop_front() {
            Some(event) => {
                state.unread_len -= len(&event);
                Poll::Ready(event)
            }
            None => {
                if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(waker)) {
                    state.reader = Some(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    /// The reader has gone: further events are refused.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Inbox {
    fn event(&self, event: Event) -> bool {
        if self.abandoned.load(Ordering::Acquire) {
            return false;
        }
        let reader = {
            let mut state = self.lock();
            let unread_len = state.unread_len + len(&event);
            let full =
                state.events.len() >= EVENTS_MAX || (unread_len > UNREAD_LEN_MAX && !state.events.is_empty());
            if full && !event.is_last() {
                return false;
            }
            state.unread_len = unread_len;
            state.events.push_back(event);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}

fn len(event: &Event) -> usize {
    match event {
        Event::Message(message) | Event::Final(message) => message.bytes().len(),
        Event::Lost(_) | Event::Unsent(_) | Event::Cancelled => 0,
    }
}
