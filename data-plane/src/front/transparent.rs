//! Mode T: client and backend share an era and the backend is an HTTP server. Bytes stream both ways
//! and the node keeps no state.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::admit::HeaderView;
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;

use super::body::Body;
use super::headers;
use super::log_filter::{self, EventPipe};
use super::{Front, reply};
use crate::backends::Served;
use crate::upstream::{Streamed, Upstream};

/// For the head of an answer to a GET or DELETE, which a server gives at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The request headers a backend may see, besides `mcp-*`. The rest is between client and gateway:
/// credentials, cookies, origins, hop-by-hop fields.
const REQUEST_HEADERS: [HeaderName; 4] = [ACCEPT, CONTENT_TYPE, USER_AGENT, http::header::ACCEPT_LANGUAGE];
const REQUEST_HEADERS_BY_NAME: [&str; 3] = [headers::LAST_EVENT_ID, "traceparent", "tracestate"];
/// The answer's headers a client may see, besides `mcp-*`.
const RESPONSE_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, CACHE_CONTROL, ALLOW];

/// What this mode needs to know of a request.
pub trait Route {
    fn served(&self) -> &Arc<Served>;
    fn parts(&self) -> &Parts;
    fn front(&self) -> &Front;
}

/// A modern request or notification.
pub async fn modern(route: &impl Route, upstream: &Upstream, message: McpMessage) -> Response<Body> {
    let sent = send(route, upstream, Some(&message), message.bytes().clone()).await;
    let response = match sent {
        Ok(response) => response,
        Err(failure) => return failure,
    };
    if !is_event_stream(&response) {
        return pass(response);
    }
    let listens = message.method() == Some(methods::SUBSCRIPTIONS_LISTEN);
    let logs = listens || message.envelope().log_level(message.bytes()).is_some();
    let head = head(&response);
    let pipe = EventPipe::new(response.into_body(), logs);
    log_filter::answer(pipe, head, route.front().config.stream_after).await
}

/// Anything of a legacy client; `message` if it is one message.
pub async fn legacy(
    route: &impl Route,
    upstream: &Upstream,
    message: Option<&McpMessage>,
    body: Bytes,
) -> Response<Body> {
    send(route, upstream, message, body).await.map_or_else(|failure| failure, pass)
}

/// The backend's answer, or ours if it gave none or one that is about our credentials or its health.
async fn send(
    route: &impl Route,
    upstream: &Upstream,
    message: Option<&McpMessage>,
    body: Bytes,
) -> Result<Response<Streamed>, Response<Body>> {
    let (served, parts) = (route.served(), route.parts());
    let is_post = parts.method == Method::POST;
    let timeout = if is_post { served.runtime().call_timeout() } else { HEAD_TIMEOUT };
    let sent = upstream.send(parts.method.clone(), request_headers(&parts.headers), body, timeout).await;
    let error = match sent {
        Ok(response) => match complaint(response.status()) {
            None => {
                served.note_success();
                return Ok(response);
            }
            Some(error) => error,
        },
        Err(error) => error,
    };
    served.note_failure(&error);
    tracing::debug!(backend = %served.name(), error = %error.chain(), "the backend did not answer");
    Err(failure(served, message, &error))
}

fn failure(served: &Served, message: Option<&McpMessage>, error: &GatewayError) -> Response<Body> {
    let request = message.filter(|message| message.envelope().kind() == Kind::Request);
    match request.and_then(McpMessage::id) {
        Some(id) => reply::failure(id, served.name().as_str(), error),
        None => reply::plain(StatusCode::SERVICE_UNAVAILABLE, "the backend does not answer"),
    }
}

/// Statuses that say something about us or about the backend's health, not about the request.
fn complaint(status: StatusCode) -> Option<GatewayError> {
    let (kind, what) = match status.as_u16() {
        401 | 403 | 407 => (ErrorKind::Auth, "refused the gateway's credentials"),
        429 => (ErrorKind::Unreachable, "asks for fewer requests"),
        500.. => (ErrorKind::Unreachable, "answered with a server error"),
        _ => return None,
    };
    Some(GatewayError::new(kind, format!("it {what} (HTTP {})", status.as_u16())))
}

fn request_headers(given: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(given.len() + 4);
    for (name, value) in given {
        let known = REQUEST_HEADERS.contains(name) || REQUEST_HEADERS_BY_NAME.contains(&name.as_str());
        if known || name.as_str().starts_with("mcp-") {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

fn pass(response: Response<Streamed>) -> Response<Body> {
    let mut passed = head(&response);
    *passed.body_mut() = Body::Upstream(response.into_body());
    passed
}

fn head<B>(response: &Response<B>) -> Response<Body> {
    let mut head = Response::new(Body::empty());
    *head.status_mut() = response.status();
    let kept = head.headers_mut();
    for (name, value) in response.headers() {
        if RESPONSE_HEADERS.contains(name) || name.as_str().starts_with("mcp-") || name == "x-accel-buffering"
        {
            kept.append(name.clone(), value.clone());
        }
    }
    head
}

fn is_event_stream<B>(response: &Response<B>) -> bool {
    let kind = headers::value(response.headers(), CONTENT_TYPE.as_str()).unwrap_or("");
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// A header map as the admission rules see it.
pub struct View<'a>(pub &'a HeaderMap);

impl HeaderView for View<'_> {
    fn all<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8])) {
        self.0.get_all(name).iter().for_each(|value| each(value.as_bytes()));
    }
}
