//! Mode R for legacy clients: a session with a lane of its own.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::server::chosen;
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::{Refusal, code};
use omcp_mcp::revision::Era;

use super::body::Body;
use super::config::FrontConfig;
use super::events::{self, Follow};
use super::handles::Opener;
use super::headers::{self, Accepts};
use super::{Front, reply};
use crate::backends::lane::{CallTraits, Event, Inbox, Labels, Lane, Sink};
use crate::backends::slots::Opened;
use crate::backends::{Circle, Served};
use crate::session::event_id::{EventId, GENERAL, StreamId};
use crate::session::levels::Levels;
use crate::session::link::Link;
use crate::session::stream_log::StreamLog;
use crate::session::{Room, Session};

/// For `initialize` to be answered, from the start of the process: package runners download first.
pub const HANDSHAKE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// Opens a session: a new connection, and the client's own handshake on it.
pub async fn initialize(
    front: &Front,
    served: &Arc<Served>,
    opener: Opener<'_>,
    request: &McpMessage,
) -> Response<Body> {
    let Some(labels) = Labels::of(request) else {
        return reply::accepted();
    };
    match handshake(front, served, opener, request).await {
        Ok((answer, None)) => refused(served, &labels, &answer),
        Ok((answer, Some(session))) => {
            let mut response = reply::json(labels.restore_response(&answer));
            if let Ok(id) = HeaderValue::from_str(session.id()) {
                response.headers_mut().insert(&headers::SESSION_ID, id);
            }
            front.sessions.insert(session);
            served.note_success();
            response
        }
        Err(error) => {
            served.note_failure(&error);
            reply::failure(labels.id(), served.name().as_str(), &error)
        }
    }
}

/// The backend said no to the handshake: a modern-only one names the revisions it wants.
fn refused(served: &Served, labels: &Labels, answer: &McpMessage) -> Response<Body> {
    let modern_only = answer.envelope().error_code() == Some(i64::from(code::UNSUPPORTED_VERSION));
    let status = if modern_only { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    tracing::debug!(backend = %served.name(), "the backend refused a handshake");
    reply::json_with_status(status, labels.restore_response(answer))
}

/// The answer, and the session if there is one now.
pub(super) async fn handshake(
    front: &Front,
    served: &Arc<Served>,
    opener: Opener<'_>,
    request: &McpMessage,
) -> Result<(McpMessage, Option<Arc<Session>>), GatewayError> {
    let room = front.sessions.room(opener.client)?;
    if let Some(circle) = served.circle(opener.principal) {
        return join(front, served, (circle, opener), request, room).await;
    }
    let Opened { connection, slot } = served.session_connection().await?;
    let general = Arc::new(StreamLog::new(served.name().as_str(), None));
    let levels = Levels::default();
    let mut options = served.lane_options(Era::Legacy, slot);
    options.unsolicited = Some(levels.overhearing(general.clone()));
    let lane = Lane::start(connection, options);
    let answer = ask(&lane, request, &levels).await.inspect_err(|_| lane.close())?;
    let Some(revision) = chosen(Message::new(answer.bytes(), answer.envelope())) else {
        lane.close();
        return Ok((answer, None));
    };
    let handle = opener.handle(front, served, revision, request)?;
    let link = Link::Lane(lane, levels);
    let session = Session::new(handle, served.clone(), link, revision, general, room, None);
    Ok((answer, Some(Arc::new(session))))
}

/// A session on the connection that its circle shares: the server was asked once, and has answered.
async fn join(
    front: &Front,
    served: &Arc<Served>,
    (circle, opener): (Circle, Opener<'_>),
    request: &McpMessage,
    room: Room,
) -> Result<(McpMessage, Option<Arc<Session>>), GatewayError> {
    let shared = served.shared_legacy(circle, HANDSHAKE_TIMEOUT).await?;
    let Some((answer, agreement)) = shared.answer_to(request) else {
        return Ok((shared.answer().clone(), None));
    };
    let revision = agreement.client();
    let general = Arc::new(StreamLog::new(served.name().as_str(), None));
    let listener: Arc<dyn Sink> = general.clone();
    shared.listen(&listener);
    let handle = opener.handle(front, served, revision, request)?;
    let levels = Levels::default();
    levels.agree(agreement, shared.lane());
    let link = Link::Lane(shared.lane().clone(), levels);
    let session = Session::new(handle, served.clone(), link, revision, general, room, Some(shared));
    Ok((answer, Some(Arc::new(session))))
}

/// The gateway's own answer: to pings, and to what a session may not change for the others that share its
/// connection, if it is `shared`.
pub fn answer_here(shared: bool, labels: &Labels, request: &McpMessage) -> Option<Bytes> {
    let here = match request.method() {
        Some(methods::PING) => true,
        Some(methods::LOGGING_SET_LEVEL | methods::RESOURCES_UNSUBSCRIBE) => shared,
        _ => false,
    };
    here.then(|| pong(labels.id()))
}

async fn ask(lane: &Lane, request: &McpMessage, levels: &Levels) -> Result<McpMessage, GatewayError> {
    let inbox = Inbox::new();
    let minted = lane.mint();
    let sink = levels.hearing(request, lane, inbox.clone());
    let traits = CallTraits::of(request, Some(HANDSHAKE_TIMEOUT));
    lane.call(minted, Labels::replace(request, minted), sink, traits)?;
    loop {
        match inbox.next().await {
            Event::Final(message) => return Ok(message),
            Event::Lost(error) | Event::Unsent(error) => return Err(crate::backends::lane::again(&error)),
            Event::Cancelled => return Err(GatewayError::closed("the handshake was cancelled")),
            Event::Message(_) => {}
        }
    }
}

/// A message of an open session.
pub async fn relay(
    session: &Arc<Session>,
    message: &McpMessage,
    accepts: Accepts,
    config: &FrontConfig,
) -> Response<Body> {
    match message.envelope().kind() {
        Kind::Request => request(session, message, accepts, config).await,
        Kind::Notification => notify(session, message),
        Kind::Response | Kind::Error => forward(session, message),
    }
}

fn notify(session: &Session, message: &McpMessage) -> Response<Body> {
    if message.method() != Some(methods::CANCELLED) {
        return forward(session, message);
    }
    if let Some(id) = message.envelope().request_id_param(message.bytes()) {
        session.cancel(id);
    }
    reply::accepted()
}

fn forward(session: &Session, message: &McpMessage) -> Response<Body> {
    if session.is_shared() {
        // Their server has been told what it is to know, and asks nothing.
        return reply::accepted();
    }
    if let Err(error) = session.link().send(message.clone()) {
        tracing::debug!(backend = session.backend(), error = %error.chain(), "a message could not be forwarded");
    }
    reply::accepted()
}

async fn request(
    session: &Arc<Session>,
    message: &McpMessage,
    accepts: Accepts,
    config: &FrontConfig,
) -> Response<Body> {
    let Some(labels) = Labels::of(message) else {
        return reply::accepted();
    };
    if let Some(answer) = answer_here(session.is_shared(), &labels, message) {
        return reply::json(answer);
    }
    let id = Bytes::copy_from_slice(labels.id());
    match session.call(message, labels, accepts.events) {
        Ok((stream, log)) => answer(session, (stream, &id), log, accepts, config).await,
        Err(error) => reply::failure(&id, session.backend(), &error),
    }
}

pub fn pong(id: &[u8]) -> Bytes {
    [br#"{"jsonrpc":"2.0","id":"#, id, br#","result":{}}"#].concat().into()
}

/// One JSON message if the answer is all there is, else a resumable stream.
async fn answer(
    session: &Session,
    (stream, id): (u64, &[u8]),
    log: Arc<StreamLog>,
    accepts: Accepts,
    config: &FrontConfig,
) -> Response<Body> {
    let presence = events::Presence::of(log.clone());
    if accepts.events {
        // Silence becomes a stream too, before any proxy on the way gives up.
        drop(tokio::time::timeout(config.stream_after, log.not_empty()).await);
    } else {
        log.ended().await;
    }
    match log.answer(!accepts.events) {
        Some(message) if !accepts.prefers_events => {
            session.forget_stream(stream);
            reply::json(message)
        }
        _ if !accepts.events => reply::accepted(),
        _ => {
            let (place, follow) = (StreamId::answering(stream, id), Follow::From(0));
            let events = events::resumable(log, place, follow, session.revision(), config.keep_alive);
            drop(presence);
            reply::event_stream(events)
        }
    }
}

/// GET: the session's general stream, or the rest of one that broke off.
///
/// # Errors
/// 400 for a `Last-Event-ID` that is none of ours.
pub fn listen(session: &Session, headers: &HeaderMap, front: &Front) -> Result<Response<Body>, Refusal> {
    session.link().listens();
    let (place, log, follow) = match headers::value(headers, &headers::LAST_EVENT_ID) {
        None => (StreamId::general(), Some(session.general().clone()), Follow::Shared),
        Some(last) => {
            let EventId { stream, number } = EventId::parse(last).ok_or_else(reply::foreign_event_id)?;
            let log = session.stream(stream.number);
            let general = stream.number == GENERAL;
            (stream, log, if general { Follow::Again(number) } else { Follow::From(number) })
        }
    };
    let Some(log) = log else {
        return Ok(reply::event_stream(events::lost(&place, session.backend())));
    };
    let endless = place.number == GENERAL;
    let events = events::resumable(log, place, follow, session.revision(), front.config.keep_alive);
    if !endless {
        return Ok(reply::event_stream(events));
    }
    let stopping = front.stopping.subscribe();
    Ok(reply::event_stream(events::until_stopped(events, stopping, events::COME_BACK)))
}
