//! Event streams that this node writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use omcp_core::GatewayError;
use omcp_mcp::revision::Revision;
use omcp_mcp::sse;
use tokio::sync::watch;

use super::body::Events;
use crate::backends::lane::{Event, Inbox};
use crate::failure;
use crate::session::event_id::{EventId, StreamId};
use crate::session::stream_log::{Read, StreamLog};

/// How long a client waits before it resumes a broken stream: a restarted node is back by then.
const RETRY_MS: u32 = 1_000;
/// The last words of a legacy stream when the node stops: come back after [`RETRY_MS`].
pub const COME_BACK: Bytes = Bytes::from_static(b"retry: 1000\n\n");
/// Events written in one piece at most.
const BURST: usize = 32;

/// One event without an id, as it goes over the wire.
pub fn encode(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 32);
    sse::encode(None, message, &mut out);
    out.freeze()
}

/// What a live call says, translated for its client by `translate`; comments while it is silent.
/// `first` has been taken already. Dropping the stream drops `guard`, which cancels the call.
pub fn live<G: Send + 'static>(
    inbox: Arc<Inbox>,
    first: Option<Event>,
    keep_alive: Duration,
    guard: G,
    translate: impl Fn(Event) -> Option<Bytes> + Send + 'static,
) -> Events {
    let state = (inbox, first, false, guard, translate);
    Box::pin(stream::unfold(state, move |(inbox, mut first, ended, guard, translate)| async move {
        if ended {
            return None;
        }
        loop {
            let event = match first.take() {
                Some(event) => event,
                None => match tokio::time::timeout(keep_alive, inbox.next()).await {
                    Ok(event) => event,
                    Err(_) => {
                        let comment = Bytes::from_static(sse::COMMENT_KEEPALIVE);
                        return Some((comment, (inbox, None, false, guard, translate)));
                    }
                },
            };
            let last = event.is_last();
            if let Some(message) = translate(event) {
                return Some((encode(&message), (inbox, None, last, guard, translate)));
            }
            if last {
                return None;
            }
        }
    }))
}

/// A stream that would last for ever, ended with `last` when the node stops.
pub fn until_stopped(events: Events, stopping: watch::Receiver<bool>, last: Bytes) -> Events {
    Box::pin(stream::unfold(Some((events, stopping, last)), |state| async move {
        let (mut events, mut stopping, last) = state?;
        let stop = async { drop(stopping.wait_for(|stop| *stop).await) };
        tokio::select! {
            piece = events.next() => piece.map(|piece| (piece, Some((events, stopping, last)))),
            () = stop => Some((last, None)),
        }
    }))
}

/// The answer that completes a subscription in good order (2026-07-28, `subscriptions/listen`).
pub fn subscription_completed(id: &[u8]) -> Bytes {
    let key = omcp_mcp::envelope::META_SUBSCRIPTION_ID;
    let before = br#"{"jsonrpc":"2.0","id":"#;
    let between = format!(r#","result":{{"resultType":"complete","_meta":{{"{key}":"#);
    encode(&[&before[..], id, between.as_bytes(), id, b"}}}"].concat())
}

/// How a log is read.
pub enum Follow {
    /// Everything after this number: the answer to a request, or its resumption.
    From(u64),
    /// What no other stream of the session has taken.
    Shared,
    /// What other streams have taken after this number, then what none has.
    Again(u64),
}

/// A resumable stream of a legacy session.
pub fn resumable(
    log: Arc<StreamLog>,
    stream: StreamId,
    follow: Follow,
    revision: Revision,
    keep_alive: Duration,
) -> Events {
    let position = match follow {
        Follow::From(number) | Follow::Again(number) => number,
        Follow::Shared => log.delivered(),
    };
    let place = EventId { stream, number: position };
    let prime = (revision >= Revision::V2025_11_25).then(|| priming(&place));
    let state = (Presence::of(log), place, follow, prime, false);
    Box::pin(stream::unfold(state, move |(reader, mut place, mut follow, prime, ended)| async move {
        if ended {
            return None;
        }
        if let Some(prime) = prime {
            return Some((prime, (reader, place, follow, None, false)));
        }
        let (bytes, ended) = reader.next(&mut place, &mut follow, keep_alive).await?;
        Some((bytes, (reader, place, follow, None, ended)))
    }))
}

/// What is left of a stream that is gone: the news that its request is lost.
pub fn lost(gone: &StreamId, backend: &str) -> Events {
    let error = GatewayError::closed("the stream of this request is gone: its answer is lost");
    let event = gone.request_id().map(|id| encode(&failure::message(&id, backend, &error)));
    Box::pin(stream::iter(event))
}

/// An event with an id and no data: a client that loses the stream early can resume it
/// (Streamable HTTP since 2025-11-25).
fn priming(id: &EventId) -> Bytes {
    Bytes::from(format!("id: {id}\nretry: {RETRY_MS}\ndata: \n\n"))
}

/// Somebody is there to read a log.
pub struct Presence(Arc<StreamLog>);

impl Presence {
    pub fn of(log: Arc<StreamLog>) -> Self {
        log.reader_came();
        Self(log)
    }

    /// The next burst of events and whether it was the last one, or a comment after `keep_alive`.
    async fn next(
        &self,
        place: &mut EventId,
        follow: &mut Follow,
        keep_alive: Duration,
    ) -> Option<(Bytes, bool)> {
        let mut out = BytesMut::new();
        loop {
            let grown = self.0.grown();
            let mut grown = std::pin::pin!(grown);
            grown.as_mut().enable();
            match self.burst(place, follow, &mut out) {
                Burst::Ended if out.is_empty() => return None,
                Burst::Ended => return Some((out.freeze(), true)),
                Burst::Open if !out.is_empty() => return Some((out.freeze(), false)),
                Burst::Open => {}
            }
            if tokio::time::timeout(keep_alive, grown).await.is_err() {
                return Some((Bytes::from_static(sse::COMMENT_KEEPALIVE), false));
            }
        }
    }

    fn burst(&self, place: &mut EventId, follow: &mut Follow, out: &mut BytesMut) -> Burst {
        for _ in 0..BURST {
            if matches!(follow, Follow::Again(position) if *position >= self.0.delivered()) {
                *follow = Follow::Shared;
            }
            let read = match follow {
                Follow::From(position) | Follow::Again(position) => self.0.read_after(*position),
                Follow::Shared => self.0.take_next(),
            };
            match read {
                Read::Wait => return Burst::Open,
                Read::End => return Burst::Ended,
                Read::Event(number, message) => {
                    if let Follow::From(position) | Follow::Again(position) = follow {
                        *position = number;
                    }
                    place.number = number;
                    sse::encode(Some(&place.to_string()), &message, out);
                }
            }
        }
        Burst::Open
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.reader_left();
    }
}

enum Burst {
    Open,
    Ended,
}
