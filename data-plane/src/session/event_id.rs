//! SSE event ids: `<stream>-<number>[-<request>]`, unique within a session and naming their stream
//! (Streamable HTTP: Resumability and Redelivery).
//!
//! The request that a stream answers is part of the id, so that a client that comes back for a stream
//! which is gone can be told that this request of it is lost.
//!
//! They are not sealed. An id comes with the session's own, which is good for one endpoint and one principal, and
//! names streams of that session only: one of another session, or made up, finds what its client may read anyway, or
//! nothing.

use std::fmt;
use std::num::ParseIntError;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The stream that a client opens with GET.
pub const GENERAL: u64 = 0;
/// Longest request id (as the client spells it, bytes) that is told from an event id: real ones are
/// numbers and UUIDs, and each event carries it.
const REQUEST_ID_LEN_MAX: usize = 128;

/// A stream of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamId {
    pub number: u64,
    /// base64url of the request's id; empty for the stream opened with GET, and for ids too long.
    request: String,
}

impl StreamId {
    /// The stream that a client opens with GET.
    pub fn general() -> Self {
        Self { number: GENERAL, request: String::new() }
    }

    /// The stream that answers the request with this id (JSON, as the client spells it).
    pub fn answering(number: u64, request_id: &[u8]) -> Self {
        let told = request_id.len() <= REQUEST_ID_LEN_MAX;
        let request = if told { URL_SAFE_NO_PAD.encode(request_id) } else { String::new() };
        Self { number, request }
    }

    /// The id of the request that it answers: a JSON string or number.
    pub fn request_id(&self) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.request).ok()?;
        let id: Value = serde_json::from_slice(&bytes).ok()?;
        (id.is_string() || id.is_number()).then_some(bytes)
    }
}

/// A place in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    pub stream: StreamId,
    pub number: u64,
}

impl EventId {
    /// `None` if this is no id of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let mut number = || -> Option<Result<u64, ParseIntError>> { parts.next().map(str::parse) };
        let (stream, number) = (number()?.ok()?, number()?.ok()?);
        let stream = StreamId { number: stream, request: parts.next().unwrap_or_default().to_owned() };
        let whole = stream.request.is_empty() || stream.request_id().is_some();
        whole.then_some(Self { stream, number })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream.number, self.number)?;
        if !self.stream.request.is_empty() {
            write!(f, "-{}", self.stream.request)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_stream_place_and_request() {
        for request in [&b"7"[..], br#""a-b""#, "\"\u{e4}\"".as_bytes(), b"-1.5"] {
            let id = EventId { stream: StreamId::answering(3, request), number: 12 };
            let text = id.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert_eq!(EventId::parse(&text), Some(id.clone()));
            assert_eq!(id.stream.request_id().as_deref(), Some(request));
        }
        let general = EventId { stream: StreamId::general(), number: 4 };
        assert_eq!(general.to_string(), "0-4");
        assert_eq!(EventId::parse("0-4"), Some(general));
        assert_eq!(StreamId::answering(1, &[b'1'; REQUEST_ID_LEN_MAX + 1]).request_id(), None);
    }

    #[test]
    fn other_ids_are_none_of_ours() {
        for text in ["", "1", "a-1", "1-", "1-1-!", "1-1-e30", "1-1-bnVsbA", "1-1-MSwy", "-1-1", "1-1-MQ-"] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }
}
