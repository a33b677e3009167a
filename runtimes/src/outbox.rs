//! [`Outbox`]: which message may be POSTed when.
//!
//! Requests travel side by side, as each may take minutes. Notifications and responses travel one by
//! one, in order, and a request waits for those handed over before it: a server has to have seen
//! `notifications/initialized` before the first call, and an answer before what builds on it.

use std::collections::VecDeque;

use omcp_core::McpMessage;
use omcp_mcp::envelope::Kind;

/// POSTs of requests under way at the same time, per connection.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 64;
/// Messages that wait for their turn, per connection; `send` waits when there are more.
pub const WAITING_MAX: usize = 64;

/// Messages handed over and not yet POSTed. Does no I/O.
pub struct Outbox {
    in_flight_max: usize,
    waiting_max: usize,
    one_ways: VecDeque<McpMessage>,
    /// With each request, how many one-way messages have to be through before it.
    requests: VecDeque<(u64, McpMessage)>,
    one_ways_taken_in: u64,
    one_ways_done: u64,
    one_way_in_flight: bool,
    requests_in_flight: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::with_bounds(REQUESTS_IN_FLIGHT_MAX, WAITING_MAX)
    }
}

impl Outbox {
    /// With bounds other than [`REQUESTS_IN_FLIGHT_MAX`] and [`WAITING_MAX`].
    pub fn with_bounds(in_flight_max: usize, waiting_max: usize) -> Self {
        Self {
            in_flight_max,
            waiting_max,
            one_ways: VecDeque::new(),
            requests: VecDeque::new(),
            one_ways_taken_in: 0,
            one_ways_done: 0,
            one_way_in_flight: false,
            requests_in_flight: 0,
        }
    }

    pub fn has_room(&self) -> bool {
        self.one_ways.len() + self.requests.len() < self.waiting_max
    }

    pub fn push(&mut self, message: McpMessage) {
        if is_request(&message) {
            self.requests.push_back((self.one_ways_taken_in, message));
        } else {
            self.one_ways_taken_in += 1;
            self.one_ways.push_back(message);
        }
    }

    /// The next message to POST now. Each one has to be reported to [`Outbox::done`].
    pub fn take(&mut self) -> Option<McpMessage> {
        if !self.one_way_in_flight
            && let Some(message) = self.one_ways.pop_front()
        {
            self.one_way_in_flight = true;
            return Some(message);
        }
        let ready = |(after, _): &mut (u64, McpMessage)| *after <= self.one_ways_done;
        if self.requests_in_flight == self.in_flight_max {
            return None;
        }
        let (_, message) = self.requests.pop_front_if(ready)?;
        self.requests_in_flight += 1;
        Some(message)
    }

    /// The POST of a message is through, whatever came of it.
    pub fn done(&mut self, was_request: bool) {
        if was_request {
            self.requests_in_flight -= 1;
        } else {
            self.one_way_in_flight = false;
            self.one_ways_done += 1;
        }
    }

    /// Takes back any request that was not POSTed.
    pub fn unsent(&mut self) -> Option<McpMessage> {
        self.requests.pop_front().map(|(_, request)| request)
    }

    /// Takes back the request with this id, if it was not POSTed yet.
    pub fn withdraw(&mut self, id: &[u8]) -> bool {
        let before = self.requests.len();
        self.requests.retain(|(_, request)| request.id() != Some(id));
        self.requests.len() < before
    }
}

/// Whether an answer will come.
pub fn is_request(message: &McpMessage) -> bool {
    message.envelope().kind() == Kind::Request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u64) -> McpMessage {
        McpMessage::trusted(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#).into())
    }

    fn notification(method: &str) -> McpMessage {
        McpMessage::trusted(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#).into())
    }

    /// Ids and methods of all that may leave now.
    fn leaving(outbox: &mut Outbox) -> Vec<String> {
        let name = |message: McpMessage| match message.id() {
            Some(id) => String::from_utf8_lossy(id).into_owned(),
            None => message.method().unwrap().to_owned(),
        };
        std::iter::from_fn(|| outbox.take()).map(name).collect()
    }

    #[test]
    fn requests_wait_for_earlier_notifications_and_not_for_later_ones() {
        let mut outbox = Outbox::default();
        outbox.push(request(1));
        outbox.push(notification("a"));
        outbox.push(notification("b"));
        outbox.push(request(2));
        assert_eq!(leaving(&mut outbox), ["a", "1"]);
        outbox.done(false);
        outbox.push(notification("c"));
        assert_eq!(leaving(&mut outbox), ["b"]);
        outbox.done(false);
        assert_eq!(leaving(&mut outbox), ["c", "2"]);
    }

    #[test]
    fn both_bounds_hold() {
        let mut outbox = Outbox::default();
        for id in 0..WAITING_MAX as u64 {
            assert!(outbox.has_room());
            outbox.push(request(id));
        }
        assert!(!outbox.has_room());
        assert_eq!(leaving(&mut outbox).len(), REQUESTS_IN_FLIGHT_MAX);
        outbox.push(request(1000));
        assert!(leaving(&mut outbox).is_empty());
        outbox.done(true);
        assert_eq!(leaving(&mut outbox), ["1000"]);
    }

    #[test]
    fn a_waiting_request_can_be_withdrawn() {
        let mut outbox = Outbox::default();
        outbox.push(notification("a"));
        outbox.push(request(1));
        outbox.push(request(2));
        assert!(outbox.withdraw(b"1"));
        assert!(!outbox.withdraw(b"1"));
        assert_eq!(leaving(&mut outbox), ["a"]);
        outbox.done(false);
        assert_eq!(leaving(&mut outbox), ["2"]);
        outbox.push(request(3));
        assert_eq!(outbox.unsent().unwrap().id(), Some(&b"3"[..]));
        assert!(outbox.unsent().is_none() && leaving(&mut outbox).is_empty());
    }
}
