//! Mode X for legacy clients: a backend that knows no sessions. The session, and everything that is asked
//! and remembered in it, is the gateway's.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use omcp_core::{GatewayError, McpMessage};

use super::body::Body;
use super::handles::Opener;
use super::{Front, headers, random_id, reply};
use crate::backends::Served;
use crate::backends::bridge::legacy_session::BridgedSession;
use crate::backends::bridge::principal::Principal;
use crate::backends::lane::{Event, Inbox, Labels, Sink, again};
use crate::session::Session;
use crate::session::link::Link;
use crate::session::stream_log::StreamLog;

/// Opens a session: the client's handshake is answered from what the backend says about itself.
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
        Ok((answer, session)) => {
            let mut response = reply::json(answer);
            if let Some(session) = session {
                if let Ok(id) = HeaderValue::from_str(session.id()) {
                    response.headers_mut().insert(&headers::SESSION_ID, id);
                }
                front.sessions.insert(session);
                served.note_success();
            }
            response
        }
        Err(error) => {
            served.note_failure(&error);
            reply::failure(labels.id(), served.name().as_str(), &error)
        }
    }
}

/// The answer, and the session if there is one now.
pub(super) async fn handshake(
    front: &Front,
    served: &Arc<Served>,
    opener: Opener<'_>,
    request: &McpMessage,
) -> Result<(Bytes, Option<Arc<Session>>), GatewayError> {
    let room = front.sessions.room(opener.client)?;
    let general = Arc::new(StreamLog::new(served.name().as_str(), None));
    let bridge = bridge(front, served, opener.principal, general.clone()).await?;
    let inbox = Inbox::new();
    bridge.call(bridge.mint(), request.clone(), false, inbox.clone())?;
    let answer = loop {
        match inbox.next().await {
            Event::Final(message) => break message.into_bytes(),
            Event::Lost(error) | Event::Unsent(error) => return Err(again(&error)),
            Event::Cancelled => return Err(GatewayError::closed("the handshake was cancelled")),
            Event::Message(_) => {}
        }
    };
    let Some(seed) = bridge.seed() else {
        bridge.close();
        return Ok((answer, None));
    };
    let link = Link::Bridge(bridge);
    let revision = seed.revision;
    let handle = opener.handle(front, served, revision, request)?;
    let session = Session::new(handle, served.clone(), link, revision, general, room, None);
    Ok((answer, Some(Arc::new(session))))
}

/// A session's side of the bridge. What belongs to no request goes to `general`.
///
/// # Errors
/// The backend could not be reached.
pub async fn bridge(
    front: &Front,
    served: &Arc<Served>,
    principal: &Principal,
    general: Arc<dyn Sink>,
) -> Result<BridgedSession, GatewayError> {
    let seal = front.task_seals(principal).of(served.name().as_str())?;
    served.bridged_session(principal, random_id(), general, seal).await
}
