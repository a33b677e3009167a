//! Mode X for modern clients: a backend that knows sessions only.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Response, StatusCode};
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::bridge::capabilities::ClientCapabilities;
use omcp_mcp::bridge::failure::{self as bridge_failure, Reason};
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::state::Resume;
use omcp_mcp::envelope::Kind;
use omcp_mcp::token::content::NodeTag;
use omcp_mcp::{json, methods, sse};

use super::body::{Body, Events};
use super::cursors::Paging;
use super::headers::Accepts;
use super::request_states::{Opened, RequestStates};
use super::task_ids::{self, TaskIds};
use super::task_listens::{Listening, Named};
use super::{Front, events, reply};
use crate::backends::Served;
use crate::backends::bridge::legacy_lane::{Heard, LegacyLane};
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
    if let Some(refused) = task_ids::refuse(&message) {
        return refused;
    }
    let request = Message::new(message.bytes(), message.envelope());
    let paging = Paging::of(&front.members, served, &principal, request);
    let message = match paging.as_ref().map(|paging| paging.open(message.clone())).transpose() {
        Ok(opened) => opened.unwrap_or(message),
        Err(refused) => return reply::json(refused),
    };
    let id = message.id().map(Bytes::copy_from_slice).unwrap_or_default();
    let endless = message.is_method(methods::SUBSCRIPTIONS_LISTEN);
    let mut attempt = 1;
    loop {
        let (lane, exchanged) = match begin(front, served, &principal, message.clone()).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(refused)) => return reply::json(refused.answer(&id)),
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
        let (id, principal, paging) = (id.clone(), principal.clone(), paging.clone());
        let seals = Seals { states: front.request_states.clone(), tasks: front.task_ids.clone() };
        let mut call = Call { backend, id, principal, seals, lane, exchanged, paging, endless };
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

/// The node on which the call waits that a request goes on with, or the tasks that it is about, if that is
/// another one.
pub fn owner(front: &Front, backend: &str, principal: &Principal, message: &McpMessage) -> Option<NodeTag> {
    let request = Message::new(message.bytes(), message.envelope());
    if methods::is_about_task(request.method()) {
        return match front.task_ids.open(principal, backend, &task_id(request)) {
            Some(task_ids::Opened::Elsewhere(owner)) => Some(owner),
            _ => None,
        };
    }
    if request.method() == methods::SUBSCRIPTIONS_LISTEN {
        return Named::of(request, &front.task_ids, principal, backend).owner();
    }
    let state = request_state(request)?;
    match front.request_states.open(principal, backend, &state) {
        Ok(Opened::Elsewhere(owner)) => Some(owner),
        _ => None,
    }
}

/// What is said of a call, or a task, whose node is gone. None if the request can be answered without.
pub fn lost(message: &McpMessage) -> Option<Response<Body>> {
    if message.is_method(methods::SUBSCRIPTIONS_LISTEN) {
        return None;
    }
    let about_task = methods::is_about_task(message.method().unwrap_or_default());
    let refused = if about_task { Refused::Task } else { Refused::State(Reason::InteractionLost) };
    Some(reply::json(refused.answer(message.id().unwrap_or(b"null"))))
}

/// Why a request names nothing that is here.
enum Refused {
    State(Reason),
    Task,
}

impl Refused {
    fn answer(&self, id: &[u8]) -> Bytes {
        match self {
            Self::State(reason) => reason.state_answer(id),
            Self::Task => bridge_failure::unknown_task(id),
        }
    }
}

fn task_id(request: Message<'_>) -> Cow<'_, str> {
    request.param("taskId").and_then(json::text).unwrap_or_default()
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
) -> Result<Result<(LegacyLane, Listening), Refused>, GatewayError> {
    let request = Message::new(message.bytes(), message.envelope());
    if methods::is_about_task(request.method()) {
        let opened = front.task_ids.open(principal, served.name().as_str(), &task_id(request));
        let Some(task_ids::Opened::Here(lane, task)) = opened else {
            return Ok(Err(Refused::Task));
        };
        let exchanged = lane.request(message, Resume::Task(task), None)?;
        return Ok(Ok((lane, exchanged.into())));
    }
    if request.method() == methods::SUBSCRIPTIONS_LISTEN {
        let named = Named::of(request, &front.task_ids, principal, served.name().as_str());
        if let Some(begun) = named.listen(&message)? {
            return Ok(Ok(begun));
        }
    }
    let interactive = methods::is_multi_round_trip(request.method());
    let state = request_state(request);
    let opened = state.map(|state| front.request_states.open(principal, served.name().as_str(), &state));
    let resume = match opened {
        None => Resume::First,
        Some(Ok(Opened::Again(state))) => Resume::With(state),
        Some(Ok(Opened::Waiting(lane, state))) => {
            let exchanged = lane.request(message, Resume::With(state), None)?;
            return Ok(Ok((lane, exchanged.into())));
        }
        // It was handed over already, by a node that knows no better.
        Some(Ok(Opened::Elsewhere(_))) => return Ok(Err(Refused::State(Reason::InteractionLost))),
        Some(Err(reason)) => return Ok(Err(Refused::State(reason))),
    };
    let capabilities = ClientCapabilities::of_modern(request);
    let info = message.envelope().client_info_range().map(|at| &message.bytes()[at]);
    let info = info.unwrap_or(ANONYMOUS);
    let (lane, claim) = served.legacy_lane(principal, capabilities, info, interactive).await?;
    let exchanged = lane.request(message, resume, claim)?;
    Ok(Ok((lane, exchanged.into())))
}

/// What makes answers of what clients carry.
struct Seals {
    states: RequestStates,
    tasks: TaskIds,
}

/// One request in flight. Dropping it cancels the call.
struct Call {
    backend: String,
    id: Bytes,
    principal: Principal,
    seals: Seals,
    lane: LegacyLane,
    exchanged: Listening,
    /// It is for a page of a list.
    paging: Option<Paging>,
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
        let (status, message) = self.last_word(last);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        if accepts.prefers_events && status == StatusCode::OK {
            let event = events::encode(&message);
            return reply::event_stream(Box::pin(stream::once(async { event })));
        }
        reply::json_with_status(status, message)
    }

    /// The answer and its status.
    fn last_word(&self, heard: Option<Heard>) -> (u16, Bytes) {
        match heard {
            Some(Heard::Answer { status, message }) => match &self.paging {
                None => (status, message),
                Some(paging) => (status, self.or_failure(paging.seal(message))),
            },
            Some(Heard::Suspended(asked)) => {
                let (lane, state) = (self.lane.clone(), asked.state.clone());
                let sealed = self.seals.states.seal(&self.principal, &self.backend, lane, state);
                (200, self.sealed(sealed, |state| asked.answer(state)))
            }
            Some(Heard::Created(created)) => {
                let lane = self.lane.clone();
                let sealed = self.seals.tasks.seal(&self.principal, &self.backend, lane, &created);
                (200, self.sealed(sealed, |task| created.answer(task)))
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

    fn sealed(&self, sealed: Result<String, GatewayError>, answer: impl FnOnce(&str) -> Bytes) -> Bytes {
        self.or_failure(sealed.map(|sealed| answer(&sealed)))
    }

    fn or_failure(&self, answer: Result<Bytes, GatewayError>) -> Bytes {
        answer.unwrap_or_else(|error| failure::message(&self.id, &self.backend, &error).into())
    }

    fn stream(self, first: Option<Bytes>, front: &Front) -> Response<Body> {
        let keep_alive = front.config.keep_alive;
        let endless = self.endless;
        let events: Events =
            Box::pin(stream::unfold((self, first, false), move |(mut call, first, ended)| async move {
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
                        let (_, message) = call.last_word(last);
                        Some((events::encode(&message), (call, None, true)))
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
