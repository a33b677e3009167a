//! Mode X for modern clients: a backend that knows sessions only.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Response, StatusCode};
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::bridge::capabilities::ClientCapabilities;
use omcp_mcp::bridge::failure::Reason;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::state::Resume;
use omcp_mcp::envelope::Kind;
use omcp_mcp::token::content::NodeTag;
use omcp_mcp::{json, methods, sse};

use super::body::{Body, Events};
use super::headers::Accepts;
use super::request_states::{Opened, RequestStates};
use super::{Front, events, reply};
use crate::backends::Served;
use crate::backends::bridge::legacy_lane::{Exchanged, Heard, LegacyLane};
use crate::backends::bridge::principal::Principal;
use crate::failure;

/// What a client is called that does not say it.
const ANONYMOUS: &[u8] = br#"{"name":"unknown","version":"unknown"}"#;

/// A runtime's own error is short.
const SESSION_LOST_LEN_MAX: usize = 4 * 1024;

/// Hands a request or notification to the backend in its own words, and answers in the client's.
pub async fn relay(
    front: &Front,
    served: &Arc<Served>,
    principal: Principal,
    message: McpMessage,
    accepts: Accepts,
) -> Response<Body> {
    // A notification without a session has nobody it could concern.
    if message.envelope().kind() != Kind::Request {
        return reply::accepted();
    }
    let id = message.id().map(Bytes::copy_from_slice).unwrap_or_default();
    let endless = message.method() == Some(methods::SUBSCRIPTIONS_LISTEN);
    let mut attempt = 1;
    loop {
        let (lane, exchanged) = match begin(front, served, &principal, message.clone()).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(reason)) => return reply::json(reason.state_answer(&id)),
            // The lane ended between its look-up and the request.
            Err(error) if attempt == 1 && error.kind() == ErrorKind::Closed => {
                attempt += 1;
                continue;
            }
            Err(error) => {
                served.note_failure(&error);
                return reply::failure(&id, served.name().as_str(), &error);
            }
        };
        let backend = served.name().as_str().to_owned();
        let (id, principal) = (id.clone(), principal.clone());
        let mut call = Call { backend, id, principal, lane, exchanged, endless };
        let first = call.first(accepts, front).await;
        if attempt == 1 && first.as_ref().is_some_and(was_not_executed) {
            attempt += 1;
            call.lane.closed().await;
            continue;
        }
        if matches!(first, Some(Some(_))) {
            served.note_success();
        }
        return call.answer(first, accepts, front);
    }
}

/// Whether the request did certainly not run: its lane ended before it left, or the server has forgotten its
/// session.
fn was_not_executed(heard: &Option<Heard>) -> bool {
    matches!(heard, Some(Heard::Unsent)) || is_session_lost(heard)
}

/// Whether this is the runtime's word for a session that the server no longer knows.
fn is_session_lost(heard: &Option<Heard>) -> bool {
    let Some(Heard::Answer { message, .. }) = heard else {
        return false;
    };
    let lost = || serde_json::from_slice::<serde_json::Value>(message).ok();
    message.len() < SESSION_LOST_LEN_MAX
        && lost().is_some_and(|answer| answer["error"]["data"]["reason"] == "session_lost")
}

/// The node on which the call waits that a request goes on with, if that is another one.
pub fn owner(front: &Front, backend: &str, principal: &Principal, message: &McpMessage) -> Option<NodeTag> {
    let state = request_state(Message::new(message.bytes(), message.envelope()))?;
    match front.request_states.open(principal, backend, &state) {
        Ok(Opened::Elsewhere(owner)) => Some(owner),
        _ => None,
    }
}

/// What is said of a call whose node is gone.
pub fn lost(message: &McpMessage) -> Response<Body> {
    reply::json(Reason::InteractionLost.state_answer(message.id().unwrap_or(b"null")))
}

fn request_state(request: Message<'_>) -> Option<Cow<'_, str>> {
    let state = request.param("requestState").filter(|_| methods::is_multi_round_trip(request.method()))?;
    Some(json::text(state).unwrap_or_default())
}

/// Finds the lane and starts the request on it.
async fn begin(
    front: &Front,
    served: &Arc<Served>,
    principal: &Principal,
    message: McpMessage,
) -> Result<Result<(LegacyLane, Exchanged), Reason>, GatewayError> {
    let request = Message::new(message.bytes(), message.envelope());
    let interactive = methods::is_multi_round_trip(request.method());
    let state = request_state(request);
    let opened = state.map(|state| front.request_states.open(principal, served.name().as_str(), &state));
    let resume = match opened {
        None => Resume::First,
        Some(Ok(Opened::Again(state))) => Resume::With(state),
        Some(Ok(Opened::Waiting(lane, state))) => {
            let exchanged = lane.request(message, Resume::With(state), None)?;
            return Ok(Ok((lane, exchanged)));
        }
        // It was handed over already, by a node that knows no better.
        Some(Ok(Opened::Elsewhere(_))) => return Ok(Err(Reason::InteractionLost)),
        Some(Err(reason)) => return Ok(Err(reason)),
    };
    let capabilities = ClientCapabilities::of_modern(request);
    let info = message.envelope().client_info_range().map(|at| &message.bytes()[at]);
    let info = info.unwrap_or(ANONYMOUS);
    let (lane, claim) = served.legacy_lane(principal, capabilities, info, interactive).await?;
    let exchanged = lane.request(message, resume, claim)?;
    Ok(Ok((lane, exchanged)))
}

/// One request in flight. Dropping it cancels the call.
struct Call {
    backend: String,
    id: Bytes,
    principal: Principal,
    lane: LegacyLane,
    exchanged: Exchanged,
    /// A subscription: it lasts until somebody ends it.
    endless: bool,
}

impl Call {
    /// What comes first: a notification, the answer, the end of the lane, or (`None`) silence for too long.
    async fn first(&mut self, accepts: Accepts, front: &Front) -> Option<Option<Heard>> {
        if accepts.events {
            return tokio::time::timeout(front.config.stream_after, self.exchanged.next()).await.ok();
        }
        loop {
            match self.exchanged.next().await {
                Some(Heard::Message(_)) => {}
                last => return Some(last),
            }
        }
    }

    /// One JSON message if the answer is all there is, else a stream.
    fn answer(self, first: Option<Option<Heard>>, accepts: Accepts, front: &Front) -> Response<Body> {
        let last = match first {
            None => return self.stream(None, front),
            Some(Some(Heard::Message(message))) => return self.stream(Some(message), front),
            Some(last) => last,
        };
        let (status, message) = self.last_word(last, &front.request_states);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        if accepts.prefers_events && status == StatusCode::OK {
            let event = events::encode(&message);
            return reply::event_stream(Box::pin(stream::once(async { event })));
        }
        reply::json_with_status(status, message)
    }

    /// The answer and its status.
    fn last_word(&self, heard: Option<Heard>, states: &RequestStates) -> (u16, Bytes) {
        match heard {
            Some(Heard::Answer { status, message }) => (status, message),
            Some(Heard::Suspended(asked)) => {
                let sealed =
                    states.seal(&self.principal, &self.backend, self.lane.clone(), asked.state.clone());
                match sealed {
                    Ok(state) => (200, asked.answer(&state)),
                    Err(error) => (200, failure::message(&self.id, &self.backend, &error).into()),
                }
            }
            Some(Heard::Unsent) => {
                let error = GatewayError::unreachable("its connection ended before the call was sent");
                (200, failure::message(&self.id, &self.backend, &error).into())
            }
            Some(Heard::Message(_)) | None => {
                let error = GatewayError::closed("the connection to the backend has ended");
                (200, failure::message(&self.id, &self.backend, &error).into())
            }
        }
    }

    fn stream(self, first: Option<Bytes>, front: &Front) -> Response<Body> {
        let keep_alive = front.config.keep_alive;
        let states = front.request_states.clone();
        let endless = self.endless;
        let events: Events =
            Box::pin(stream::unfold((self, first, false), move |(mut call, first, ended)| {
                let states = states.clone();
                async move {
                    if ended {
                        return None;
                    }
                    if let Some(message) = first {
                        return Some((events::encode(&message), (call, None, false)));
                    }
                    match tokio::time::timeout(keep_alive, call.exchanged.next()).await {
                        Err(_) => Some((Bytes::from_static(sse::COMMENT_KEEPALIVE), (call, None, false))),
                        Ok(Some(Heard::Message(message))) => {
                            Some((events::encode(&message), (call, None, false)))
                        }
                        Ok(last) => {
                            let (_, message) = call.last_word(last, &states);
                            Some((events::encode(&message), (call, None, true)))
                        }
                    }
                }
            }));
        if !endless {
            return reply::event_stream(events);
        }
        let mut stopping = front.stopping.subscribe();
        let stop = Box::pin(async move { drop(stopping.wait_for(|stop| *stop).await) });
        reply::event_stream(Box::pin(events.take_until(stop)))
    }
}
