//! Mode T: client and backend share an era and the backend is an HTTP server. Bytes pass both ways, but for what
//! clients carry, and the node keeps no state.

mod carried;

use std::mem;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version, response};
use http_body::Body as _;
use http_body_util::BodyExt;
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::{self, Refusal};

use super::arrived::Said;
use super::body::Body;
use super::event_pipe::{self, EventPipe};
use super::handles::Renamed;
use super::hold::{self, Held};
use super::owed::Owed;
use super::passing::{self, Passing, Silence};
use super::pieces::at_once;
use super::server_handles::{ServerHandles, Sought};
use super::{Front, events, headers, reply};
use crate::backends::Served;
use crate::backends::bridge::principal::Principal;
use crate::fields;
use crate::upstream::{Outgoing, Streamed, Upstream};

/// For the head of an answer to a GET or DELETE, which a server gives at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest refusal that is read, bytes: a sentence in JSON.
const REFUSAL_LEN_MAX: u64 = 16 * 1024;
/// For the rest of a refusal to arrive.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Statuses with which proxies and servers say that the backend is not there. Others are about one request.
const OUTAGES: [StatusCode; 3] =
    [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

/// A request on its way through.
pub struct Passage<'a> {
    pub served: &'a Served,
    pub upstream: &'a Upstream,
    /// As the client sent it.
    pub parts: &'a mut Parts,
    pub said: &'a Said,
    pub front: &'a Front,
    pub principal: &'a Principal,
    /// The session that it names.
    pub renamed: Option<&'a Renamed>,
}

impl Passage<'_> {
    /// A modern request or notification.
    pub async fn modern(mut self, message: &McpMessage) -> Response<Body> {
        let (served, front, principal) = (self.served, self.front, self.principal);
        let opened = match carried::open(&mut self, message) {
            Ok(opened) => opened,
            Err(refused) => return *refused,
        };
        let sent = opened.as_ref().map_or(message, |opened| &opened.message);
        let request = self.request(sent.bytes().clone());
        let response = match self.send(Some(sent), request).await {
            Ok(response) => response,
            Err(failure) => return failure,
        };
        let handles = || match opened {
            Some(opened) => opened.handles,
            None => ServerHandles::new(front.members.clone(), served.name(), principal, message),
        };
        let sought = Sought::of(message).filter(|_| response.status() == StatusCode::OK);
        if !is_event_stream(response.headers()) {
            return match sought {
                Some(sought) => carried::seal(through(response), sought, served, message, handles).await,
                None => pass(response, served, &Method::POST, Some(message)).await,
            };
        }
        let logs = message.envelope().log_level_range().is_some();
        let endless = message.is_method(methods::SUBSCRIPTIONS_LISTEN);
        let owed = Owed::of(served, message).filter(|_| !endless);
        let (head, body) = response.into_parts();
        let pipe = EventPipe::new(body, logs, owed, sought.map(|sought| (sought, Box::new(handles()))));
        let answer = Box::pin(event_pipe::answer(pipe, for_client(head.headers), &front.config)).await;
        match message.id().filter(|_| endless) {
            Some(id) => ended_at_stop(answer, events::subscription_completed(id), front),
            None => answer,
        }
    }

    /// Anything of a legacy client; `message` if it is one message.
    pub async fn legacy(mut self, message: Option<&McpMessage>, body: Bytes) -> Response<Body> {
        let (served, front) = (self.served, self.front);
        let method = self.parts.method.clone();
        let (endless, in_session) = (method == Method::GET, self.said.session.first().is_some());
        let (renamed, principal) = (self.renamed, self.principal);
        let request = self.request(body);
        let mut response = match self.send(message, request).await {
            Ok(response) => response,
            Err(failure) => return failure,
        };
        if in_session && response.status() == StatusCode::BAD_REQUEST {
            return Box::pin(refused(response)).await;
        }
        if let Err(error) = rename(front, served, principal, renamed, response.headers_mut()) {
            return failure(served, &method, message, &error);
        }
        if !is_event_stream(response.headers()) {
            return pass(response, served, &method, message).await;
        }
        let owed = message.and_then(|message| Owed::of(served, message));
        let silence = Silence::Comment(front.config.keep_alive, owed);
        let (mut head, body) = through(response);
        let passing = Passing::new(body, silence);
        if !endless {
            return Response::from_parts(head, Body::Upstream(passing.into()));
        }
        head.headers.remove(CONTENT_LENGTH);
        let events = passing::until_stopped(passing, front.stopping.subscribe(), events::COME_BACK);
        Response::from_parts(head, Body::Events(events))
    }

    /// What goes to the backend.
    fn request(&mut self, body: Bytes) -> Outgoing {
        let len_is_right = self.said.len == Some(body.len() as u64);
        let mut headers = for_backend(mem::take(&mut self.parts.headers), len_is_right);
        if let Some(renamed) = self.renamed {
            fields::set(&mut headers, &headers::SESSION_ID, renamed.theirs.clone());
        }
        self.upstream.request(self.parts.method.clone(), headers, body)
    }

    /// The backend's answer, or ours if it gave none or one that is about our credentials or its health.
    async fn send(
        self,
        message: Option<&McpMessage>,
        request: Outgoing,
    ) -> Result<Response<Streamed>, Response<Body>> {
        let Self { served, upstream, parts, .. } = self;
        let method = &parts.method;
        if let Some(error) = served.refuses() {
            return Err(failure(served, method, message, &error));
        }
        let timeout = if *method == Method::POST { served.runtime().call_timeout() } else { HEAD_TIMEOUT };
        let may_repeat = message.is_some_and(|message| served.may_repeat(message));
        let again = may_repeat.then(|| request.clone());
        let mut answer = upstream.send(request, timeout).await;
        if let (Err(error), Some(again)) = (&answer, again)
            && error.kind() == ErrorKind::Closed
        {
            served.note_repeat();
            answer = Box::pin(upstream.send(again, timeout)).await;
        }
        let error = match answer {
            Ok(response) => {
                let (status, complaint) = (response.status(), complaint(response.status()));
                if !OUTAGES.contains(&status) {
                    served.note_success();
                }
                let Some(error) = complaint else { return Ok(response) };
                if OUTAGES.contains(&status) {
                    served.note_failure(&error);
                }
                error
            }
            Err(error) => {
                served.note_failure(&error);
                error
            }
        };
        tracing::debug!(backend = %served.name(), error = %error.chain(), "the backend did not answer");
        Err(failure(served, method, message, &error))
    }
}

/// Clients know a server's session by a name of ours, which is good for them only, and here.
fn rename(
    front: &Front,
    served: &Served,
    principal: &Principal,
    renamed: Option<&Renamed>,
    headers: &mut HeaderMap,
) -> Result<(), GatewayError> {
    let Some(theirs) = fields::first(headers, &headers::SESSION_ID) else { return Ok(()) };
    let ours = match renamed.filter(|renamed| renamed.theirs == *theirs) {
        Some(renamed) => renamed.ours.clone(),
        None => front.rename_session(served.name().as_str(), principal, theirs)?,
    };
    fields::set(headers, &headers::SESSION_ID, ours);
    Ok(())
}

/// A JSON-RPC error for a request. Other messages are taken, as clients tear their session down when a POST
/// of theirs fails; a stream cannot be.
fn failure(
    served: &Served,
    method: &Method,
    message: Option<&McpMessage>,
    error: &GatewayError,
) -> Response<Body> {
    let request = message.filter(|message| message.envelope().kind() == Kind::Request);
    match request.and_then(McpMessage::id) {
        Some(id) => reply::failure(id, served.name().as_str(), error),
        None if *method == Method::POST => reply::accepted(),
        None => reply::plain(StatusCode::SERVICE_UNAVAILABLE, "the backend does not answer"),
    }
}

/// Clients open a session anew when theirs is not found. Servers that have lost one and say so with another
/// status leave them stuck.
async fn refused(response: Response<Streamed>) -> Response<Body> {
    let whole = response.body().size_hint().exact().is_some_and(|len| len <= REFUSAL_LEN_MAX);
    if !whole {
        let (head, body) = through(response);
        let passing = Passing::new(body, Silence::GiveUp(REFUSAL_TIMEOUT));
        return Response::from_parts(head, Body::Upstream(passing.into()));
    }
    let (head, body) = through(response);
    let Ok(Ok(body)) = tokio::time::timeout(REFUSAL_TIMEOUT, body.collect()).await else {
        return reply::plain(
            StatusCode::BAD_REQUEST,
            "the backend refused this, and broke off in saying why",
        );
    };
    let body = body.to_bytes();
    if refusal::says_session_is_gone(head.status.as_u16(), &body) {
        return reply::refusal(&Refusal::session_not_found());
    }
    Response::from_parts(head, body.into())
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

/// What a backend may see, and `Host`, which is written over. The rest is between client and gateway: credentials,
/// cookies, origins.
fn for_backend(mut headers: HeaderMap, len_is_right: bool) -> HeaderMap {
    let passes = |name: &HeaderName| passes_to_backend(name) || len_is_right && *name == CONTENT_LENGTH;
    // Mostly a few leave and nothing is copied.
    let mut leaving = [None, None, None];
    for name in headers.keys().filter(|name| !passes(name)) {
        match leaving.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(name.clone()),
            None => return passing(&headers, passes),
        }
    }
    for name in leaving.into_iter().flatten() {
        headers.remove(name);
    }
    headers
}

fn passes_to_backend(name: &HeaderName) -> bool {
    match name.as_str() {
        "accept" | "accept-language" | "content-type" | "host" | "last-event-id" => true,
        "traceparent" | "tracestate" | "user-agent" => true,
        other => other.starts_with("mcp-"),
    }
}

/// What a client may see.
fn for_client(headers: HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| match name.as_str() {
        "allow" | "cache-control" | "content-length" | "content-type" | "date" | "x-accel-buffering" => true,
        other => other.starts_with("mcp-"),
    };
    if headers.keys().all(passes) { headers } else { passing(&headers, passes) }
}

/// The fields that pass.
fn passing(headers: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let passing = headers.iter().filter(|(name, _)| passes(name));
    passing.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A stream that would last for ever ends with these words when the node stops.
fn ended_at_stop(answer: Response<Body>, last: Bytes, front: &Front) -> Response<Body> {
    answer.map(|body| match body {
        Body::Events(events) => Body::Events(events::until_stopped(events, front.stopping.subscribe(), last)),
        body => body,
    })
}

/// Anything but an event stream.
async fn pass(
    response: Response<Streamed>,
    served: &Served,
    method: &Method,
    message: Option<&McpMessage>,
) -> Response<Body> {
    let (head, body) = through(response);
    let silence = served.runtime().call_timeout();
    match at_once(|context| hold::begin(body, silence, context)).await {
        Ok(Held::Whole(whole)) => Response::from_parts(head, whole.into()),
        Ok(Held::Rest(rest)) => Response::from_parts(head, Body::Upstream(rest)),
        Err(error) => failure(served, method, message, &error),
    }
}

/// An answer as this hop tells it.
fn through(response: Response<Streamed>) -> (response::Parts, Streamed) {
    let (mut head, body) = response.into_parts();
    head.headers = for_client(head.headers);
    head.version = Version::HTTP_11;
    (head, body)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers::value(headers, &CONTENT_TYPE).unwrap_or("");
    // The most common ones need no closer look.
    kind != "application/json"
        && kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(names: &[&'static str]) -> HeaderMap {
        names
            .iter()
            .map(|name| (HeaderName::from_static(name), http::HeaderValue::from_static("x")))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn credentials_and_hop_fields_stay_here() {
        let given = headers(&[
            "authorization",
            "cookie",
            "origin",
            "host",
            "x-api-key",
            "x-forwarded-for",
            "connection",
            "accept",
            "content-type",
            "content-length",
            "mcp-session-id",
            "mcp-param-region",
            "traceparent",
            "last-event-id",
        ]);
        let kept = for_backend(given, false);
        assert_eq!(
            names(&kept),
            [
                "accept",
                "content-type",
                "host",
                "last-event-id",
                "mcp-param-region",
                "mcp-session-id",
                "traceparent"
            ]
        );
        let usual = ["content-length", "content-type", "host", "mcp-method"];
        assert_eq!(names(&for_backend(headers(&usual), true)), usual);
        assert_eq!(names(&for_backend(headers(&usual), false)), ["content-type", "host", "mcp-method"]);
        let answer = for_client(headers(&[
            "set-cookie",
            "www-authenticate",
            "server",
            "content-type",
            "mcp-session-id",
        ]));
        assert_eq!(names(&answer), ["content-type", "mcp-session-id"]);
    }
}
