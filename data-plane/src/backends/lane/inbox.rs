//! [`Inbox`]: one caller's queue of events.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::event::{Event, Sink};

/// Events a slow caller may leave unread; then its call is cancelled, so that it delays nobody else.
const EVENTS_MAX: usize = 1024;

/// A bounded queue with one reader. Empty ones cost one small allocation.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
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

    pub fn poll_next(&self, waker: &Waker) -> Poll<Event> {
        let mut state = self.lock();
        match state.events.pop_front() {
            Some(event) => Poll::Ready(event),
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
            if state.events.len() >= EVENTS_MAX && !event.is_last() {
                return false;
            }
            state.events.push_back(event);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}
