//! Legacy clients of the aggregate: the handshake is answered from what is known of the backends, and waits
//! for none of them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use omcp_core::{GatewayError, McpMessage};

use super::Inquiry;
use crate::aggregate::session::AggregateSession;
use crate::backends::lane::Sink;
use crate::failure;
use crate::front::body::Body;
use crate::front::{headers, random_id, reply};
use crate::session::Session;
use crate::session::home::Home;
use crate::session::link::Link;
use crate::session::stream_log::StreamLog;

/// Opens a session.
pub fn initialize(inquiry: &Inquiry<'_>, request: &McpMessage) -> Response<Body> {
    let Some(id) = request.id() else {
        return reply::accepted();
    };
    let name = inquiry.selection.to_string();
    let (session, answer) = match open(inquiry, request, &name) {
        Ok(opened) => opened,
        Err(error) => return reply::json(failure::message(id, &name, &error).into()),
    };
    let mut response = reply::json(answer);
    if let Ok(id) = HeaderValue::from_str(session.id()) {
        response.headers_mut().insert(&headers::SESSION_ID, id);
    }
    inquiry.front.sessions.insert(Arc::new(session));
    response
}

fn open(inquiry: &Inquiry<'_>, request: &McpMessage, name: &str) -> Result<(Session, Bytes), GatewayError> {
    let front = inquiry.front;
    let room = front.sessions.room(inquiry.client)?;
    let general = Arc::new(StreamLog::new(name, None));
    let heard: Arc<dyn Sink> = general.clone();
    let (views, selection) = (front.views.clone(), inquiry.selection.clone());
    let seals = front.task_seals(&inquiry.principal);
    let names = inquiry.names.clone();
    let session = AggregateSession::start(views, selection, seals, names, random_id(), heard);
    let answer = session.initialize(request);
    let revision = session.revision();
    let (link, home) = (Link::Aggregate(session), Home::Aggregate(name.into()));
    let handle = front.new_session(name, &inquiry.principal, revision, b"")?;
    let session = Session::new(handle, home, link, revision, general, room, None);
    Ok((session, answer))
}
