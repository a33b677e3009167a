//! `/mcp/<backend>`: what kind of request this is, whether it may go on, and in which mode.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use omcp_core::McpMessage;
use omcp_mcp::admit::{self, LegacyHeaders};
use omcp_mcp::classify::{Class, HttpMethod, Inbound, classify};
use omcp_mcp::envelope::{Envelope, Kind};
use omcp_mcp::methods;
use omcp_mcp::refusal::Refusal;
use omcp_mcp::revision::Revision;

use super::body::{self, Body};
use super::headers::{self, Accepts};
use super::transparent::{Passage, View};
use super::{Front, batch, bridge_legacy, bridge_modern, relay_legacy, relay_modern, reply};
use crate::backends::{Eras, Served};
use crate::clients::Client;
use crate::session::Session;
use crate::upstream::Upstream;

/// The modern revisions served here.
pub const MODERN: [&str; 1] = [Revision::V2026_07_28.as_str()];

pub async fn answer(
    front: &Front,
    served: Arc<Served>,
    client: &Arc<Client>,
    parts: Parts,
    body: &mut Incoming,
) -> Response<Body> {
    let accepts = Accepts::of(&parts.headers);
    let inquiry = Inquiry { front, served, client, method: parts.method, headers: parts.headers, accepts };
    inquiry.answer(body).await.unwrap_or_else(|refusal| reply::refusal(&refusal))
}

/// A modern request that was admitted at another endpoint, for one backend.
pub async fn modern(
    front: &Front,
    served: Arc<Served>,
    client: &Arc<Client>,
    headers: HeaderMap,
    accepts: Accepts,
    request: McpMessage,
) -> Response<Body> {
    let inquiry = Inquiry { front, served, client, method: Method::POST, headers, accepts };
    inquiry.admitted(request).await.unwrap_or_else(|refusal| reply::refusal(&refusal))
}

/// The body of a POST, whole.
///
/// # Errors
/// It is no JSON, too large or too late; or no answer to it would be accepted.
pub async fn read(
    front: &Front,
    method: &Method,
    headers: &HeaderMap,
    accepts: Accepts,
    body: &mut Incoming,
) -> Result<Bytes, Refusal> {
    if *method != Method::POST {
        return Ok(Bytes::new());
    }
    if !headers::is_json(headers) {
        return Err(Refusal::unsupported_media_type());
    }
    if !accepts.json && !accepts.events {
        return Err(Refusal::not_acceptable("Accept must include application/json or text/event-stream"));
    }
    body::read(headers, body, &front.config).await
}

/// One request on its way to a mode.
struct Inquiry<'a> {
    front: &'a Front,
    served: Arc<Served>,
    client: &'a Arc<Client>,
    method: Method,
    headers: HeaderMap,
    accepts: Accepts,
}

impl Inquiry<'_> {
    async fn answer(mut self, body: &mut Incoming) -> Result<Response<Body>, Refusal> {
        let bytes = read(self.front, &self.method, &self.headers, self.accepts, body).await?;
        // A body may take its time, and the definition it was meant for may be replaced meanwhile.
        if self.served.retired() {
            match self.front.served(self.served.name().as_str()) {
                Some(newest) => self.served = newest,
                None => return Ok(reply::unknown_backend(self.served.name().as_str())),
            }
        }
        let session = self.session();
        // Boxed, so that the future of every request is as small as its own mode needs.
        match classify(&self.inbound(&bytes, session.as_deref()))? {
            Class::Modern(envelope) => Box::pin(self.modern(message(bytes, envelope))).await,
            Class::LegacyInitialize(envelope) => Box::pin(self.initialize(message(bytes, envelope))).await,
            Class::Legacy(envelope) | Class::LegacyResponse(envelope) => {
                Box::pin(self.legacy(session, message(bytes, envelope))).await
            }
            Class::LegacyBatch => Box::pin(self.batch(session, bytes)).await,
            Class::LegacyStream => Box::pin(self.stream(session)).await,
            Class::LegacyDelete => Box::pin(self.delete(session)).await,
            Class::SseStream | Class::Preflight => Err(reply::no_stream_without_session()),
        }
    }

    /// The session named by the request, if this node holds it. An HTTP server of the client's era has
    /// sessions of its own.
    fn session(&self) -> Option<Arc<Session>> {
        if self.served.upstream().is_some() && self.served.eras().is_some_and(|eras| eras.legacy) {
            return None;
        }
        let id = headers::value(&self.headers, headers::SESSION_ID)?;
        self.front.sessions.get(id, self.served.name().as_str())
    }

    fn inbound<'b>(&'b self, body: &'b [u8], session: Option<&Session>) -> Inbound<'b> {
        let given = &self.headers;
        Inbound {
            method: http_method(&self.method),
            protocol_version_header: headers::value(given, headers::PROTOCOL_VERSION),
            session_header: headers::value(given, headers::SESSION_ID),
            accepts_event_stream: self.method == Method::GET && Accepts::names_events(given),
            session_revision: self.session_revision(session),
            legacy_sse: false,
            body,
        }
    }

    /// What an HTTP server's session has negotiated can only be guessed: by the header, which
    /// 2025-03-26 did not have.
    fn session_revision(&self, session: Option<&Session>) -> Option<Revision> {
        if session.is_some() || self.served.upstream().is_none() {
            return session.map(Session::revision);
        }
        match headers::value(&self.headers, headers::PROTOCOL_VERSION) {
            Some(version) => Revision::parse(version),
            None => Some(Revision::V2025_03_26),
        }
    }

    async fn modern(self, message: McpMessage) -> Result<Response<Body>, Refusal> {
        let view = View(&self.headers);
        admit::admit_modern(message.envelope(), message.bytes(), &view, &MODERN)?;
        self.admitted(message).await
    }

    async fn admitted(mut self, message: McpMessage) -> Result<Response<Body>, Refusal> {
        if self.front.overload.refuses_streams() && message.method() == Some(methods::SUBSCRIPTIONS_LISTEN) {
            return Ok(reply::overloaded());
        }
        let eras = match self.eras().await {
            Ok(eras) => eras,
            Err(error) => return Ok(self.failed(&message, &error)),
        };
        if !eras.modern {
            self.check_params(&message)?;
            return Ok(bridge_modern::relay(self.front, &self.served, message, self.accepts).await);
        }
        if let Some(upstream) = self.served.upstream().cloned() {
            return Ok(self.passage(&upstream).modern(&message).await);
        }
        self.check_params(&message)?;
        Ok(relay_modern::relay(&self.served, message, self.accepts, self.front).await)
    }

    /// A pipe sees no headers, so what they promise about the arguments is checked here.
    fn check_params(&self, message: &McpMessage) -> Result<(), Refusal> {
        if message.method() != Some(methods::TOOLS_CALL) {
            return Ok(());
        }
        let envelope = message.envelope();
        let Some(tool) = envelope.target(message.bytes()) else {
            return Ok(());
        };
        let Some(wanted) = self.served.tool_headers(&tool) else {
            return Ok(());
        };
        let arguments = envelope.arguments_range().map_or(&b"{}"[..], |range| &message.bytes()[range]);
        admit::check_params(&wanted, arguments, &View(&self.headers)).map_err(|mut refusal| {
            refusal.id = message.id().map(<[u8]>::to_vec);
            refusal
        })
    }

    async fn initialize(mut self, message: McpMessage) -> Result<Response<Body>, Refusal> {
        let eras = match self.eras().await {
            Err(error) => return Ok(self.failed(&message, &error)),
            Ok(eras) => eras,
        };
        let served = self.served.clone();
        if served.speaks_legacy(eras) == Some(false) {
            return Ok(bridge_legacy::initialize(self.front, &served, self.client, &message).await);
        }
        let response = match served.upstream().cloned() {
            Some(upstream) => self.passage(&upstream).legacy(Some(&message), message.bytes().clone()).await,
            None => relay_legacy::initialize(self.front, &served, self.client, &message).await,
        };
        // Nobody had asked this modern backend for a handshake yet, and it has none.
        if !eras.legacy && response.status().is_client_error() {
            return Ok(bridge_legacy::initialize(self.front, &served, self.client, &message).await);
        }
        Ok(response)
    }

    async fn legacy(
        mut self,
        session: Option<Arc<Session>>,
        message: McpMessage,
    ) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy(message.envelope(), message.bytes(), &self.legacy_headers())?;
        if let (None, Some(upstream)) = (&session, self.passes()) {
            return Ok(self.passage(&upstream).legacy(Some(&message), message.bytes().clone()).await);
        }
        let session = self.need(session)?;
        Ok(relay_legacy::relay(&session, message, self.accepts, &self.front.config).await)
    }

    async fn batch(mut self, session: Option<Arc<Session>>, bytes: Bytes) -> Result<Response<Body>, Refusal> {
        if let (None, Some(upstream)) = (&session, self.passes()) {
            return Ok(self.passage(&upstream).legacy(None, bytes).await);
        }
        let session = self.need(session)?;
        batch::relay(&session, &bytes, &self.front.config).await
    }

    async fn stream(mut self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_stream(&self.legacy_headers(), Accepts::names_events(&self.headers))?;
        if self.front.overload.refuses_streams() {
            return Ok(reply::overloaded());
        }
        if let (None, Some(upstream)) = (&session, self.passes()) {
            return Ok(self.passage(&upstream).legacy(None, Bytes::new()).await);
        }
        let session = self.need(session)?;
        relay_legacy::listen(&session, &self.headers, self.front)
    }

    async fn delete(mut self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_delete(&self.legacy_headers())?;
        if let (None, Some(upstream)) = (&session, self.passes()) {
            return Ok(self.passage(&upstream).legacy(None, Bytes::new()).await);
        }
        let session = self.need(session)?;
        self.front.sessions.end(session.id(), session.backend());
        Ok(reply::empty(StatusCode::OK))
    }

    /// # Errors
    /// 400 if no session is named, 404 if it is none of ours: the client then initializes again.
    fn need(&self, session: Option<Arc<Session>>) -> Result<Arc<Session>, Refusal> {
        if !self.headers.contains_key(headers::SESSION_ID) {
            return Err(Refusal::session_required());
        }
        session.ok_or_else(Refusal::session_not_found)
    }

    /// The HTTP server, if it has legacy sessions of its own; those of a bridge are ours.
    fn passes(&self) -> Option<Arc<Upstream>> {
        let upstream = self.served.upstream().cloned()?;
        let bridged = self.served.eras().is_some_and(|eras| self.served.speaks_legacy(eras) == Some(false));
        (!bridged).then_some(upstream)
    }

    fn passage<'b>(&'b mut self, upstream: &'b Upstream) -> Passage<'b> {
        let headers = std::mem::take(&mut self.headers);
        Passage { served: &self.served, upstream, method: self.method.clone(), headers, front: self.front }
    }

    /// An HTTP server may do without sessions; whether it does is its own affair.
    fn legacy_headers(&self) -> LegacyHeaders<'_> {
        let given = &self.headers;
        let session = headers::value(given, headers::SESSION_ID);
        let session = session.or(self.passes().map(|_| "none"));
        LegacyHeaders { protocol_version: headers::value(given, headers::PROTOCOL_VERSION), session }
    }

    async fn eras(&self) -> Result<Eras, omcp_core::GatewayError> {
        match self.served.eras() {
            Some(eras) => Ok(eras),
            None => self.served.ready().await,
        }
    }

    pub(super) fn failed(&self, message: &McpMessage, error: &omcp_core::GatewayError) -> Response<Body> {
        match (message.envelope().kind(), message.id()) {
            (Kind::Request, Some(id)) => reply::failure(id, self.served.name().as_str(), error),
            _ => reply::accepted(),
        }
    }
}

/// Whitespace with raw newlines is removed: further on one line is one message.
pub fn message(bytes: Bytes, envelope: Envelope) -> McpMessage {
    if envelope.has_raw_newline() {
        return McpMessage::trusted(omcp_mcp::splice::compact(&bytes).into());
    }
    McpMessage::scanned(bytes, envelope)
}

pub fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::GET => HttpMethod::Get,
        Method::DELETE => HttpMethod::Delete,
        Method::OPTIONS => HttpMethod::Options,
        _ => HttpMethod::Other,
    }
}
