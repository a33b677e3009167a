//! What clients carry for a stateless HTTP server: opened in their requests, sealed in its answers. Most have none.

use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderValue, Method, Response};
use omcp_core::McpMessage;
use omcp_mcp::{header_value, methods};

use super::{Passage, failure};
use crate::backends::Served;
use crate::front::body::Body;
use crate::front::hold::{Held, hold};
use crate::front::server_handles::{self, Search, ServerHandles, Sought};
use crate::front::{headers, reply, task_ids};
use crate::upstream::Streamed;

/// A request whose handles are the server's.
pub struct Opened {
    pub message: McpMessage,
    pub handles: ServerHandles,
}

/// The request as the server knows its handles, if it may name any.
///
/// # Errors
/// The answer to one that names what is none, or somebody else's.
pub fn open(
    passage: &mut Passage<'_>,
    message: &McpMessage,
) -> Result<Option<Box<Opened>>, Box<Response<Body>>> {
    if !server_handles::may_name(message) {
        return Ok(None);
    }
    if let Some(refused) = task_ids::refuse(message) {
        return Err(Box::new(refused));
    }
    let members = passage.front.members.clone();
    let mut handles = ServerHandles::new(members, passage.served.name(), passage.principal, message);
    let message = handles.open().map_err(|refused| Box::new(reply::json(refused)))?;
    if message.method().is_some_and(methods::is_about_task) {
        // The header that repeats the id changes with it.
        let id = message.envelope().target(message.bytes()).unwrap_or_default();
        let name = HeaderValue::from_str(&header_value::encode_if_needed(&id));
        name.map(|name| passage.parts.headers.insert(&headers::NAME, name)).ok();
    }
    Ok(Some(Box::new(Opened { message, handles })))
}

/// An answer whose handles are the client's.
pub async fn seal(
    (mut head, answer): (Parts, Streamed),
    sought: Sought,
    served: &Served,
    request: &McpMessage,
    handles: impl FnOnce() -> ServerHandles,
) -> Response<Body> {
    let mut search = Search::new(sought);
    let silence = served.runtime().call_timeout();
    let body = match hold(answer, silence, |piece| search.look_at(piece)).await {
        Ok(Held::Whole(body)) => body,
        Ok(Held::Rest(passing)) => return Response::from_parts(head, Body::Upstream(passing)),
        Err(error) => return failure(served, &Method::POST, Some(request), &error),
    };
    if !search.has_found() {
        return Response::from_parts(head, body.into());
    }
    let body = body.into_bytes();
    let Ok(said) = McpMessage::parse(body.clone()) else { return Response::from_parts(head, body.into()) };
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, handles().seal_answer(said).into_bytes().into())
}
