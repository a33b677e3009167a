//! The only place where refusals and errors become HTTP answers.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use omcp_core::GatewayError;
use omcp_mcp::refusal::{Refusal, code};
use serde_json::json;

use super::body::{Body, Events};
use super::config::FrontConfig;
use crate::failure;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A request that was not admitted.
#[cold]
pub fn refusal(refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = match refusal.body() {
        Some(body) => with_type(status, JSON, body.into()),
        None => with_type(status, PLAIN, Bytes::copy_from_slice(refusal.message.as_bytes()).into()),
    };
    if let Some(allow) = refusal.allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// A call that was admitted and failed: a JSON-RPC error inside a 200, which every client reads.
#[cold]
pub fn failure(id: &[u8], backend: &str, error: &GatewayError) -> Response<Body> {
    json(failure::message(id, backend, error).into())
}

/// One JSON-RPC message.
pub fn json(message: Bytes) -> Response<Body> {
    with_type(StatusCode::OK, JSON, message.into())
}

/// One JSON-RPC message under another status.
pub fn json_with_status(status: StatusCode, message: Bytes) -> Response<Body> {
    with_type(status, JSON, message.into())
}

/// An event stream that no proxy on the way should hold back.
pub fn event_stream(events: Events) -> Response<Body> {
    let mut response = with_type(StatusCode::OK, EVENT_STREAM, Body::Events(events));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A notification or response was taken.
pub fn accepted() -> Response<Body> {
    empty(StatusCode::ACCEPTED)
}

pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Something that is no JSON-RPC at all.
pub fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    with_type(status, PLAIN, Bytes::from_static(text.as_bytes()).into())
}

/// A stream could not be opened.
pub fn unavailable(error: &GatewayError) -> Response<Body> {
    let text = json!({ "error": error.chain(), "reason": error.code() });
    with_type(StatusCode::SERVICE_UNAVAILABLE, JSON, text.to_string().into_bytes().into())
}

/// This client holds as much as it may, or the node has no room for more streams.
pub fn too_many(text: &'static str) -> Response<Body> {
    retry_after(plain(StatusCode::TOO_MANY_REQUESTS, text))
}

/// The node is short of memory.
pub fn overloaded() -> Response<Body> {
    retry_after(plain(StatusCode::SERVICE_UNAVAILABLE, "this node is short of memory: try another one"))
}

fn retry_after(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub fn method_not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this method is not possible here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// There is no such backend (any more).
pub fn unknown_backend(name: &str) -> Response<Body> {
    unknown_path(&format!("/mcp/{name}"))
}

/// There is nothing under this path. Not JSON-RPC: a client that probes would take that for an era.
pub fn unknown_path(path: &str) -> Response<Body> {
    let text = json!({ "error": format!("nothing is served at {path}; backends are at /mcp/NAME and /sse/NAME, all of them at /mcp") });
    with_type(StatusCode::NOT_FOUND, JSON, text.to_string().into_bytes().into())
}

fn with_type(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub fn body_too_slow(config: &FrontConfig) -> Refusal {
    let FrontConfig { body_timeout, body_rate_min, body_grace, .. } = config;
    let text = format!(
        "the body came too slowly: {body_timeout:?} for all of it, and {body_rate_min} bytes a second after {body_grace:?}"
    );
    Refusal::new(408, code::INVALID_REQUEST, text)
}

pub fn body_broken() -> Refusal {
    Refusal::invalid_request("the body broke off")
}

/// A client names an event that no stream here has sent.
pub fn foreign_event_id() -> Refusal {
    Refusal::invalid_request("Last-Event-ID is not an event id of this endpoint; open a stream without it")
}

pub fn no_stream_without_session() -> Refusal {
    let text = "a stream needs a session; clients of 2024-11-05 use /sse/NAME";
    Refusal { allow: Some("POST"), ..Refusal::new(405, code::INVALID_REQUEST, text) }
}
