//! A backend's answer on its way to a client of the aggregate, whole or as a stream: references get their
//! backend in front, and tasks their names.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};
use omcp_core::{BackendName, GatewayError};
use omcp_mcp::aggregate::message::Passage;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::envelope::{Envelope, ScanLimits};
use omcp_mcp::sse;

use crate::aggregate::Names;
use crate::front::body::{Body, Events};
use crate::front::{headers, reply};

/// Largest answer that is taken in whole, bytes; as large as a line of a pipe.
const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;

/// From whom, and in answer to what.
#[derive(Clone)]
pub struct Way {
    pub backend: BackendName,
    pub method: String,
    /// Of the client's request, as it spelled it.
    pub id: Bytes,
    pub names: Arc<Names>,
}

impl Way {
    /// A message in the words of the aggregate. What is no message stays as it is.
    pub fn translate(&self, message: Bytes) -> Bytes {
        let Ok(envelope) = Envelope::scan(&message, &ScanLimits::default()) else {
            return message;
        };
        let passage = Passage { backend: self.backend.as_str(), method: &self.method, tasks: &*self.names };
        passage.message(Message::new(&message, &envelope)).unwrap_or(message)
    }
}

/// The whole answer, translated.
pub async fn answer(response: Response<Body>, way: Way) -> Response<Body> {
    let (head, body) = response.into_parts();
    let body = match body {
        Body::Events(events) => return reply::event_stream(translated(events, way)),
        Body::Whole(pieces) => pieces.into_bytes(),
        Body::Upstream(passing) => match Limited::new(passing, ANSWER_LEN_MAX).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => return broken(&way, &*error),
        },
    };
    let kind = headers::value(&head.headers, &CONTENT_TYPE).unwrap_or("");
    if kind.starts_with("application/json") {
        return reply::json_with_status(head.status, way.translate(body));
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = head.status;
    response.headers_mut().extend(head.headers.get(CONTENT_TYPE).cloned().map(|kind| (CONTENT_TYPE, kind)));
    response
}

fn broken(way: &Way, error: &(dyn std::error::Error + Send + Sync)) -> Response<Body> {
    let context =
        format!("the backend's answer broke off, or is larger than {ANSWER_LEN_MAX} bytes: {error}");
    reply::failure(&way.id, way.backend.as_str(), &GatewayError::closed(context))
}

/// The messages in a stream of events.
pub fn messages(events: Events) -> impl Stream<Item = Bytes> {
    let state = (events, sse::Decoder::new(ANSWER_LEN_MAX));
    stream::unfold(state, |(mut events, mut decoder)| async move {
        loop {
            match decoder.next_event().ok()? {
                Some(event) if event.data.is_empty() => {}
                Some(event) => return Some((event.data, (events, decoder))),
                None => decoder.push(&events.next().await?),
            }
        }
    })
}

/// A stream of events, each translated. Comments keep the stream alive on this side as well.
pub fn translated(events: Events, way: Way) -> Events {
    let state = (events, sse::Decoder::new(ANSWER_LEN_MAX), way);
    Box::pin(stream::unfold(state, |(mut events, mut decoder, way)| async move {
        loop {
            let piece = events.next().await?;
            let comment = piece.first() == Some(&b':');
            decoder.push(&piece);
            let mut out = BytesMut::new();
            // An event beyond all bounds ends the stream: its call is lost.
            while let Some(event) = decoder.next_event().ok()? {
                if !event.data.is_empty() {
                    sse::encode(None, &way.translate(event.data), &mut out);
                }
            }
            if out.is_empty() && comment {
                out.extend_from_slice(sse::COMMENT_KEEPALIVE);
            }
            if !out.is_empty() {
                return Some((out.freeze(), (events, decoder, way)));
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use omcp_mcp::aggregate::tasks::OwnedTask;

    use super::*;
    use crate::aggregate::Selection;
    use crate::aggregate::handles::Handles;
    use crate::backends::bridge::principal::Principal;
    use crate::members::Members;

    fn way() -> Way {
        let members = Arc::new(Members::alone("here").unwrap());
        let names = Names::new(Handles::new(members, &Selection::default(), Principal::anonymous()));
        let id = Bytes::from_static(b"1");
        Way { backend: "b".parse().unwrap(), method: "tools/call".to_owned(), id, names: Arc::new(names) }
    }

    #[tokio::test]
    async fn events_are_translated_wherever_they_are_cut() {
        let link =
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"x://a"}]}}"#;
        let whole = format!(": c\n\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"n\"}}\n\ndata: {link}\n\n");
        let owned = link.replace("x://a", "b+x://a");
        let want = format!(
            "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"n\"}}\n\nevent: message\ndata: {owned}\n\n"
        );
        for len in [1, 7, 50, whole.len()] {
            let pieces: Vec<Bytes> = whole.as_bytes().chunks(len).map(Bytes::copy_from_slice).collect();
            let out: Vec<Bytes> = translated(Box::pin(stream::iter(pieces)), way()).collect().await;
            let said = out.concat();
            let said = String::from_utf8_lossy(&said).replace(":\n\n", "");
            assert_eq!(said, want, "in pieces of {len}");
        }
    }

    #[tokio::test]
    async fn comments_keep_the_stream_alive() {
        let pieces = [Bytes::from_static(sse::COMMENT_KEEPALIVE)];
        let out: Vec<Bytes> = translated(Box::pin(stream::iter(pieces)), way()).collect().await;
        assert_eq!(out, [sse::COMMENT_KEEPALIVE]);
    }

    #[tokio::test]
    async fn whole_answers_are_translated_and_keep_their_status() {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"taskId":"7"}}"#;
        let response =
            reply::json_with_status(http::StatusCode::ACCEPTED, Bytes::from_static(body.as_bytes()));
        let way = way();
        let answer = answer(response, way.clone()).await;
        assert_eq!(answer.status(), http::StatusCode::ACCEPTED);
        let Body::Whole(said) = answer.into_body() else { panic!("not whole") };
        let message: serde_json::Value = serde_json::from_slice(&said.into_bytes()).unwrap();
        let task = way.names.task(message["result"]["taskId"].as_str().unwrap());
        assert_eq!(task, Some(OwnedTask { backend: "b".to_owned(), id: "7".to_owned() }));
    }
}
