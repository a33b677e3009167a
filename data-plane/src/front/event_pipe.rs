//! [`EventPipe`]: a modern backend's event stream on its way to the client. Log messages that nobody asked for are
//! dropped, what clients carry is sealed, and an error that has an HTTP status of its own gets it. Nothing else is
//! decoded.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use memchr::{memmem, memrchr};
use omcp_core::McpMessage;
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::code;
use omcp_mcp::sse;
use tokio::time::Instant;

use super::body::Body;
use super::config::FrontConfig;
use super::owed::Owed;
use super::reply;
use super::server_handles::{ServerHandles, Sought};
use crate::upstream::Streamed;

/// Largest event held back until its end is seen, bytes; as large as a line of a pipe.
const EVENT_LEN_MAX: usize = 16 * 1024 * 1024;

/// Whole events of a backend's answer.
pub struct EventPipe {
    body: Streamed,
    held: BytesMut,
    /// Log messages pass: the client asked for them.
    logs: bool,
    /// The answer that is waited for; none for subscriptions, and once the stream ended.
    owed: Option<Owed>,
    /// What may be given to the client, and what for.
    carried: Option<(Sought, Box<ServerHandles>)>,
    /// The last piece that went out.
    last: Bytes,
}

impl EventPipe {
    pub fn new(
        body: Streamed,
        logs: bool,
        owed: Option<Owed>,
        carried: Option<(Sought, Box<ServerHandles>)>,
    ) -> Self {
        Self { body, held: BytesMut::new(), logs, owed, carried, last: Bytes::new() }
    }

    /// The next piece that consists of whole events; `None` at the end. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        match self.whole().await {
            Some(piece) => {
                self.last = piece.clone();
                Some(piece)
            }
            // A stream that breaks off without a response is a lost call, and has to say so.
            None => self.owed.take().filter(|_| !ends_with_response(&self.last)).map(|owed| owed.lost()),
        }
    }

    async fn whole(&mut self) -> Option<Bytes> {
        loop {
            let piece = self.piece().await?;
            let whole = self.whole_events(piece)?;
            let kept = self.sealed(if self.logs { whole } else { without_logs(whole) });
            if !kept.is_empty() {
                return Some(kept);
            }
        }
    }

    fn sealed(&self, events: Bytes) -> Bytes {
        let Some((sought, handles)) = &self.carried else { return events };
        if !sought.is_in(&events) {
            return events;
        }
        let Some(messages) = decode(&events) else { return events };
        let mut sealed = BytesMut::with_capacity(events.len());
        for message in messages.into_iter().filter_map(|message| handles.seal(message)) {
            sse::encode(None, message.bytes(), &mut sealed);
        }
        sealed.freeze()
    }

    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            let frame = std::future::poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            match frame?.ok()?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Some(data),
                Err(_) => {}
            }
        }
    }

    /// What of `held` and `piece` ends with an event's end. `None` if an event grows too large.
    fn whole_events(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.held.is_empty() && ends_event(&piece) {
            return Some(piece);
        }
        self.held.extend_from_slice(&piece);
        match last_event_end(&self.held) {
            Some(end) => Some(self.held.split_to(end).freeze()),
            None if self.held.len() > EVENT_LEN_MAX => None,
            None => Some(Bytes::new()),
        }
    }
}

/// Answers with the stream, or with its first event alone if that is an error with its own status.
pub async fn answer(mut pipe: EventPipe, mut headers: HeaderMap, config: &FrontConfig) -> Response<Body> {
    let first =
        tokio::time::timeout(config.stream_after, pipe.next()).await.unwrap_or_else(|_| Some(Bytes::new()));
    if let Some(alone) = first.as_deref().and_then(lone_error) {
        return alone;
    }
    let keep_alive = config.keep_alive;
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    let clock = Clock::new();
    let mut response = reply::event_stream(Box::pin(stream::unfold(
        (Some(first), Some(pipe), clock),
        move |(first, pipe, mut clock)| async move {
            let mut pipe = pipe?;
            let piece = match first {
                Some(first) => first?,
                None => match tokio::time::timeout(keep_alive, pipe.next()).await {
                    Ok(piece) => {
                        clock.heard = Instant::now();
                        piece?
                    }
                    Err(_) => match pipe.owed.take_if(|owed| clock.is_over(owed)) {
                        Some(owed) => return Some((owed.overdue(), (None, None, clock))),
                        None => Bytes::from_static(sse::COMMENT_KEEPALIVE),
                    },
                },
            };
            Some((piece, (None, Some(pipe), clock)))
        },
    )));
    response.headers_mut().extend(headers);
    response
}

/// When the call began, and when something was heard of it.
struct Clock {
    began: Instant,
    heard: Instant,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, heard: now }
    }

    fn is_over(&self, owed: &Owed) -> bool {
        self.heard.elapsed() >= owed.silence || self.began.elapsed() >= owed.max
    }
}

/// The answer to a stream that begins with an error for which the protocol has a status.
fn lone_error(events: &[u8]) -> Option<Response<Body>> {
    let message = decode(events)?.into_iter().next()?;
    if message.envelope().kind() != Kind::Error {
        return None;
    }
    let found = message.envelope().error_code()?;
    let status = match i32::try_from(found).ok()? {
        code::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        code::HEADER_MISMATCH | code::MISSING_CAPABILITY | code::UNSUPPORTED_VERSION => {
            StatusCode::BAD_REQUEST
        }
        _ => return None,
    };
    Some(reply::json_with_status(status, message.into_bytes()))
}

fn without_logs(events: Bytes) -> Bytes {
    // The method may be spelled with an escaped slash; decoding settles it.
    if memmem::find(&events, br#"/message""#).is_none() {
        return events;
    }
    let Some(messages) = decode(&events) else { return events };
    let mut kept = BytesMut::with_capacity(events.len());
    for message in messages.iter().filter(|message| message.method() != Some(methods::MESSAGE)) {
        sse::encode(None, message.bytes(), &mut kept);
    }
    kept.freeze()
}

fn ends_with_response(events: &[u8]) -> bool {
    let last = decode(events).and_then(|messages| messages.into_iter().next_back());
    last.is_some_and(|message| matches!(message.envelope().kind(), Kind::Response | Kind::Error))
}

/// The messages of whole events; `None` if one of them is none.
fn decode(events: &[u8]) -> Option<Vec<McpMessage>> {
    let mut decoder = sse::Decoder::new(EVENT_LEN_MAX);
    decoder.push(events);
    std::iter::from_fn(|| decoder.next_event().ok().flatten())
        .filter(|event| !event.data.is_empty())
        .map(|event| McpMessage::parse(event.data).ok())
        .collect()
}

fn ends_event(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n")
}

/// Where the last whole event ends.
fn last_event_end(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    while let Some(newline) = memrchr(b'\n', &bytes[..end]) {
        if ends_event(&bytes[..=newline]) {
            return Some(newline + 1);
        }
        end = newline;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ends() {
        for (bytes, want) in [
            (&b"data: a\n\n"[..], Some(9)),
            (b"data: a\n\ndata: b", Some(9)),
            (b"data: a\r\n\r\ndata: b\n", Some(11)),
            (b"data: a\n", None),
            (b"", None),
        ] {
            assert_eq!(last_event_end(bytes), want, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn only_log_messages_are_dropped() {
        let log = r#"data: {"jsonrpc":"2.0","method":"notifications\/message","params":{"level":"info"}}"#;
        let other = r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"x":"/message"}}"#;
        let both = format!("{log}\n\n{other}\n\n");
        assert_eq!(without_logs(both.into()), Bytes::from(format!("event: message\n{other}\n\n")));
        let strange = format!("{log}\n\ndata: not JSON\n\n");
        assert_eq!(
            without_logs(strange.clone().into()),
            Bytes::from(strange),
            "what is not understood passes"
        );
    }

    #[test]
    fn a_response_is_told_from_the_rest() {
        assert!(ends_with_response(b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"));
        assert!(!ends_with_response(b"data: {\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n\n: c\n\n"));
        assert!(!ends_with_response(b""));
    }
}
