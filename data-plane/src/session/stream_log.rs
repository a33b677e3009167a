//! [`StreamLog`]: the events of one stream to a legacy client, kept so that it can be resumed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backends::lane::{Event, Labels, Sink};
use crate::failure;

/// Events kept for a client that reconnects.
pub const EVENTS_MAX: usize = 256;
/// Bytes kept for it.
pub const BYTES_MAX: usize = 1024 * 1024;

/// A numbered, bounded list of messages to one client. Readers hold positions in it.
pub struct StreamLog {
    backend: String,
    /// Of the request this stream answers; none for the stream a client opens with GET.
    labels: Option<Labels>,
    state: Mutex<State>,
    grown: Notify,
}

struct State {
    events: VecDeque<Bytes>,
    /// Number of the first event kept; numbers start at 1.
    first: u64,
    bytes: usize,
    ended: bool,
    /// The last event is the response.
    answered: bool,
    /// What the next reader of a shared stream has not seen yet.
    delivered: u64,
    readers: usize,
    unread_since: Instant,
}

/// What a reader finds at its position.
pub enum Read {
    /// Number and message.
    Event(u64, Bytes),
    /// Nothing more will come.
    End,
    /// Nothing yet.
    Wait,
}

impl StreamLog {
    pub fn new(backend: &str, labels: Option<Labels>) -> Self {
        let state = State {
            events: VecDeque::new(),
            first: 1,
            bytes: 0,
            ended: false,
            answered: false,
            delivered: 0,
            readers: 0,
            unread_since: Instant::now(),
        };
        Self { backend: backend.to_owned(), labels, state: Mutex::new(state), grown: Notify::new() }
    }

    /// The event after `position`. Events that fell out of the log are skipped.
    pub fn read_after(&self, position: u64) -> Read {
        let state = self.lock();
        let number = position.saturating_add(1).max(state.first);
        match state.events.get((number - state.first) as usize) {
            Some(event) => Read::Event(number, event.clone()),
            None if state.ended => Read::End,
            None => Read::Wait,
        }
    }

    /// The next event that no reader has taken: each goes to exactly one of several streams.
    pub fn take_next(&self) -> Read {
        let mut state = self.lock();
        let number = (state.delivered + 1).max(state.first);
        match state.events.get((number - state.first) as usize).cloned() {
            Some(event) => {
                state.delivered = number;
                Read::Event(number, event)
            }
            None if state.ended => Read::End,
            None => Read::Wait,
        }
    }

    /// Resolves after the next event; call before reading.
    pub fn grown(&self) -> tokio::sync::futures::Notified<'_> {
        self.grown.notified()
    }

    pub fn reader_came(&self) {
        self.lock().readers += 1;
    }

    pub fn reader_left(&self) {
        let mut state = self.lock();
        state.readers = state.readers.saturating_sub(1);
        state.unread_since = Instant::now();
    }

    /// Since when nobody reads it, if nobody does.
    pub fn unread_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.readers == 0).then_some(state.unread_since)
    }

    /// It has ended and nobody is reading it.
    pub fn is_finished(&self) -> bool {
        let state = self.lock();
        state.ended && state.readers == 0
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Number of the newest event that some stream has taken.
    pub fn delivered(&self) -> u64 {
        self.lock().delivered
    }

    /// Waits until there is something to read, or never will be.
    pub async fn not_empty(&self) {
        self.wait(|state| state.ended || !state.events.is_empty()).await;
    }

    pub async fn ended(&self) {
        self.wait(|state| state.ended).await;
    }

    async fn wait(&self, until: impl Fn(&State) -> bool) {
        loop {
            let mut grown = std::pin::pin!(self.grown.notified());
            grown.as_mut().enable();
            if until(&self.lock()) {
                return;
            }
            grown.await;
        }
    }

    /// The response, if it came before anything else; with `only_last`, whatever came before it.
    pub fn answer(&self, only_last: bool) -> Option<Bytes> {
        let state = self.lock();
        let alone = state.events.len() == 1 && state.first == 1;
        (state.answered && (alone || only_last)).then(|| state.events.back().cloned()).flatten()
    }

    /// It ended without a response, because the client wished so.
    pub fn is_cancelled(&self) -> bool {
        let state = self.lock();
        state.ended && !state.answered
    }

    /// No more events; readers end after those that are there.
    pub fn end(&self) {
        self.lock().ended = true;
        self.grown.notify_waiters();
    }

    fn push(&self, message: Bytes, last: bool) {
        let mut state = self.lock();
        state.bytes += message.len();
        state.events.push_back(message);
        state.ended |= last;
        state.answered |= last;
        while state.events.len() > EVENTS_MAX || (state.bytes > BYTES_MAX && state.events.len() > 1) {
            let dropped = state.events.pop_front().map_or(0, |event| event.len());
            state.bytes -= dropped;
            state.first += 1;
        }
        drop(state);
        self.grown.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for StreamLog {
    fn event(&self, event: Event) -> bool {
        match (event, &self.labels) {
            (Event::Message(message), Some(labels)) => {
                self.push(labels.restore_notification(&message), false)
            }
            (Event::Message(message), None) => self.push(message.into_bytes(), false),
            (Event::Final(message), Some(labels)) => self.push(labels.restore_response(&message), true),
            (Event::Lost(error) | Event::Unsent(error), Some(labels)) => {
                self.push(failure::message(labels.id(), &self.backend, &error).into(), true);
            }
            (Event::Cancelled, _) | (Event::Lost(_) | Event::Unsent(_), None) => self.end(),
            (Event::Final(_), None) => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use omcp_core::{GatewayError, McpMessage};

    use super::*;

    fn log() -> StreamLog {
        let request = McpMessage::parse(r#"{"jsonrpc":"2.0","id":"c","method":"a"}"#.into()).unwrap();
        StreamLog::new("b", Labels::of(&request))
    }

    fn notification(n: usize) -> Event {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"n","params":{{"n":{n}}}}}"#);
        Event::Message(McpMessage::parse(text.into()).unwrap())
    }

    fn answer() -> Event {
        Event::Final(McpMessage::parse(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.into()).unwrap())
    }

    fn number(read: Read) -> Option<u64> {
        match read {
            Read::Event(number, _) => Some(number),
            Read::End | Read::Wait => None,
        }
    }

    #[test]
    fn an_answer_alone_needs_no_stream() {
        let alone = log();
        alone.event(answer());
        assert_eq!(alone.answer(false).as_deref(), Some(&br#"{"jsonrpc":"2.0","id":"c","result":{}}"#[..]));
        let after_something = log();
        after_something.event(notification(1));
        after_something.event(answer());
        assert_eq!(after_something.answer(false), None);
        assert!(after_something.answer(true).is_some());
        assert!(matches!(after_something.read_after(2), Read::End));
    }

    #[test]
    fn a_full_log_drops_its_oldest_events() {
        let log = log();
        (0..EVENTS_MAX + 10).for_each(|n| assert!(log.event(notification(n))));
        assert_eq!(number(log.read_after(0)), Some(11));
        assert_eq!(number(log.read_after(100)), Some(101));
        assert!(matches!(log.read_after((EVENTS_MAX + 10) as u64), Read::Wait));
    }

    #[test]
    fn a_shared_stream_gives_each_event_once() {
        let general = StreamLog::new("b", None);
        (0..3).for_each(|n| assert!(general.event(notification(n))));
        let taken: Vec<_> = std::iter::from_fn(|| number(general.take_next())).collect();
        assert_eq!(taken, [1, 2, 3]);
        assert_eq!(number(general.read_after(1)), Some(2), "what was taken can be replayed");
    }

    #[test]
    fn a_lost_call_is_an_error_and_a_cancelled_one_is_silence() {
        let lost = log();
        lost.event(Event::Lost(std::sync::Arc::new(GatewayError::closed("gone"))));
        let error: serde_json::Value = serde_json::from_slice(&lost.answer(false).unwrap()).unwrap();
        assert_eq!(
            (error["id"].as_str(), error["error"]["data"]["reason"].as_str()),
            (Some("c"), Some("stream_lost"))
        );
        let cancelled = log();
        cancelled.event(Event::Cancelled);
        assert!(matches!(cancelled.read_after(0), Read::End));
        assert_eq!(cancelled.answer(true), None);
    }
}
