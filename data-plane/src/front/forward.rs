//! A request whose session, or suspended call, lives on another node: handed over, and its answer passed on.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version};
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::token::content::NodeTag;

use super::body::Body;
use super::passing::{self, Passing, Silence};
use super::{Front, events, headers, reply};
use crate::backends::bridge::principal::Principal;
use crate::members::forward::{Failed, Handover};
use crate::upstream::Streamed;

/// Beyond what the other node may think before the head of its answer.
const MARGIN: Duration = Duration::from_secs(15);
/// Keep-alive comments of the other node that may be late: after that it is gone.
const COMMENTS_LATE: u32 = 3;

/// What is told between two nodes alone.
const OF_THE_HOP: [HeaderName; 2] = [CONNECTION, TRANSFER_ENCODING];
const EVENTS: &str = "text/event-stream";

/// A client's request, as it came.
pub struct Forward<'a> {
    pub front: &'a Front,
    pub backend: &'a str,
    pub principal: &'a Principal,
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// How long a call may take that is answered in one piece.
    pub call_max: Duration,
}

impl Forward<'_> {
    /// The answer of the node `to`; `None` if it is not there.
    pub async fn to(&self, to: NodeTag) -> Option<Response<Body>> {
        let Self { front, principal, method, uri, headers, body, call_max, .. } = *self;
        // Who takes events gets a stream once the answer takes time.
        let in_one_piece = *method == Method::POST && !headers::Accepts::of(headers).events;
        let timeout = if in_one_piece { call_max } else { front.config.stream_after } + MARGIN;
        let (method, uri, headers, body) = (method.clone(), uri.clone(), headers.clone(), body.clone());
        let handover = Handover { method, uri, headers, body, principal, timeout };
        match front.members.forward(to, handover).await {
            Ok(answer) => Some(pass(answer, || self.end(), front)),
            Err(Failed::Gone) => None,
            Err(Failed::Broken(error)) => Some(self.failed(&error)),
        }
    }

    /// How the answer ends when this node stops, if it would go on for ever.
    fn end(&self) -> Option<Bytes> {
        if *self.method == Method::GET {
            return Some(events::COME_BACK);
        }
        let message = McpMessage::parse(self.body.clone()).ok()?;
        let listens = message.is_method(methods::SUBSCRIPTIONS_LISTEN);
        message.id().filter(|_| listens).map(events::subscription_completed)
    }

    /// A JSON-RPC error for a request. Other messages are taken, as clients end their session when one is not;
    /// a stream cannot be.
    pub fn failed(&self, error: &GatewayError) -> Response<Body> {
        tracing::debug!(backend = self.backend, error = %error.chain(), "a request could not be handed over");
        if *self.method != Method::POST {
            return reply::unavailable(error);
        }
        let message = McpMessage::parse(self.body.clone()).ok();
        let request = message.as_ref().filter(|message| message.envelope().kind() == Kind::Request);
        match request.and_then(McpMessage::id) {
            Some(id) => reply::failure(id, self.backend, error),
            None => reply::accepted(),
        }
    }
}

/// The answer; `end` finds the last words of one that goes on for ever.
fn pass(answer: Response<Streamed>, end: impl FnOnce() -> Option<Bytes>, front: &Front) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    for name in OF_THE_HOP {
        head.headers.remove(name);
    }
    head.version = Version::HTTP_11;
    let passing = Passing::new(body, Silence::GiveUp(front.config.keep_alive * COMMENTS_LATE));
    let is_stream = headers::value(&head.headers, &CONTENT_TYPE).is_some_and(|kind| kind.starts_with(EVENTS));
    let streams_on = is_stream && head.status == StatusCode::OK;
    if let Some(end) = streams_on.then(end).flatten() {
        head.headers.remove(CONTENT_LENGTH);
        let events = passing::until_stopped(passing, front.stopping.subscribe(), end);
        return Response::from_parts(head, Body::Events(events));
    }
    Response::from_parts(head, Body::Upstream(passing.into()))
}
