//! `/mcp/<backend>`: what kind of request this is, whether it may go on, and in which mode.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
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
use super::{Front, batch, relay_legacy, relay_modern, reply, transparent};
use crate::backends::{Eras, Served};
use crate::session::Session;

/// The modern revisions served here.
const MODERN: [&str; 1] = [Revision::V2026_07_28.as_str()];

pub async fn answer(
    front: &Front,
    served: &Arc<Served>,
    parts: &Parts,
    body: &mut Incoming,
) -> Response<Body> {
    Inquiry { front, served, parts, accepts: Accepts::of(&parts.headers) }
        .answer(body)
        .await
        .unwrap_or_else(|refusal| reply::refusal(&refusal))
}

/// One request on its way to a mode.
struct Inquiry<'a> {
    front: &'a Front,
    served: &'a Arc<Served>,
    parts: &'a Parts,
    accepts: Accepts,
}

impl Inquiry<'_> {
    async fn answer(&self, body: &mut Incoming) -> Result<Response<Body>, Refusal> {
        let bytes = self.read(body).await?;
        let session = self.session();
        match classify(&self.inbound(&bytes, session.as_deref()))? {
            Class::Modern(envelope) => self.modern(message(bytes, envelope)).await,
            Class::LegacyInitialize(envelope) => self.initialize(message(bytes, envelope)).await,
            Class::Legacy(envelope) | Class::LegacyResponse(envelope) => {
                self.legacy(session, message(bytes, envelope)).await
            }
            Class::LegacyBatch => self.batch(session, bytes).await,
            Class::LegacyStream => self.stream(session).await,
            Class::LegacyDelete => self.delete(session).await,
            Class::SseStream | Class::Preflight => Err(reply::no_stream_without_session()),
        }
    }

    async fn read(&self, body: &mut Incoming) -> Result<Bytes, Refusal> {
        if self.parts.method != Method::POST {
            return Ok(Bytes::new());
        }
        if !headers::is_json(&self.parts.headers) {
            return Err(Refusal::unsupported_media_type());
        }
        if !self.accepts.json && !self.accepts.events {
            return Err(Refusal::not_acceptable("Accept must include application/json or text/event-stream"));
        }
        let config = &self.front.config;
        body::read(&self.parts.headers, body, config.body_len_max, config.body_timeout).await
    }

    /// The session named by the request, if this node holds it.
    fn session(&self) -> Option<Arc<Session>> {
        let id = headers::value(&self.parts.headers, headers::SESSION_ID)?;
        self.front.sessions.get(id, self.served.name().as_str())
    }

    fn inbound<'b>(&'b self, body: &'b [u8], session: Option<&Session>) -> Inbound<'b> {
        let given = &self.parts.headers;
        Inbound {
            method: http_method(&self.parts.method),
            protocol_version_header: headers::value(given, headers::PROTOCOL_VERSION),
            session_header: headers::value(given, headers::SESSION_ID),
            accepts_event_stream: Accepts::names_events(given),
            session_revision: session.map(Session::revision),
            legacy_sse: false,
            body,
        }
    }

    async fn modern(&self, message: McpMessage) -> Result<Response<Body>, Refusal> {
        let view = transparent::View(&self.parts.headers);
        admit::admit_modern(message.envelope(), message.bytes(), &view, &MODERN)?;
        let eras = match self.eras().await {
            Ok(eras) => eras,
            Err(error) => return Ok(self.failed(&message, &error)),
        };
        if !eras.modern {
            let client =
                message.envelope().protocol_version(message.bytes()).unwrap_or_default().into_owned();
            let id = message.id().map(<[u8]>::to_vec);
            return Err(reply::no_common_era(self.served.name().as_str(), &client, &eras.to_string(), id));
        }
        if let Some(upstream) = self.served.upstream() {
            return Ok(transparent::modern(self, upstream, message).await);
        }
        self.check_params(&message)?;
        Ok(relay_modern::relay(self.served, message, self.accepts, &self.front.config).await)
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
        admit::check_params(&wanted, arguments, &transparent::View(&self.parts.headers)).map_err(
            |mut refusal| {
                refusal.id = message.id().map(<[u8]>::to_vec);
                refusal
            },
        )
    }

    async fn initialize(&self, message: McpMessage) -> Result<Response<Body>, Refusal> {
        match self.eras().await {
            Err(error) => return Ok(self.failed(&message, &error)),
            Ok(eras) if !eras.legacy => return Err(self.modern_only(&message)),
            Ok(_) => {}
        }
        if let Some(upstream) = self.served.upstream() {
            return Ok(transparent::legacy(self, upstream, Some(&message), message.bytes().clone()).await);
        }
        Ok(relay_legacy::initialize(self.front, self.served, &message).await)
    }

    fn modern_only(&self, message: &McpMessage) -> Refusal {
        let requested = relay_legacy::requested_version(message);
        let id = message.id().map(<[u8]>::to_vec);
        reply::modern_only(self.served.name().as_str(), &requested, &MODERN, id)
    }

    async fn legacy(
        &self,
        session: Option<Arc<Session>>,
        message: McpMessage,
    ) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy(message.envelope(), message.bytes(), &self.legacy_headers())?;
        if let Some(upstream) = self.served.upstream() {
            return Ok(transparent::legacy(self, upstream, Some(&message), message.bytes().clone()).await);
        }
        let session = self.need(session)?;
        Ok(relay_legacy::relay(&session, message, self.accepts, &self.front.config).await)
    }

    async fn batch(&self, session: Option<Arc<Session>>, bytes: Bytes) -> Result<Response<Body>, Refusal> {
        if let Some(upstream) = self.served.upstream() {
            return Ok(transparent::legacy(self, upstream, None, bytes).await);
        }
        let session = self.need(session)?;
        batch::relay(&session, &bytes, &self.front.config).await
    }

    async fn stream(&self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_stream(&self.legacy_headers(), Accepts::names_events(&self.parts.headers))?;
        if let Some(upstream) = self.served.upstream() {
            return Ok(transparent::legacy(self, upstream, None, Bytes::new()).await);
        }
        let session = self.need(session)?;
        Ok(relay_legacy::listen(&session, &self.parts.headers, &self.front.config))
    }

    async fn delete(&self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_delete(&self.legacy_headers())?;
        if let Some(upstream) = self.served.upstream() {
            return Ok(transparent::legacy(self, upstream, None, Bytes::new()).await);
        }
        let session = self.need(session)?;
        self.front.sessions.end(session.id(), session.backend());
        Ok(reply::empty(StatusCode::OK))
    }

    /// # Errors
    /// 400 if no session is named, 404 if it is none of ours: the client then initializes again.
    fn need(&self, session: Option<Arc<Session>>) -> Result<Arc<Session>, Refusal> {
        if !self.parts.headers.contains_key(headers::SESSION_ID) {
            return Err(Refusal::session_required());
        }
        session.ok_or_else(Refusal::session_not_found)
    }

    /// An HTTP server may do without sessions; whether it does is its own affair.
    fn legacy_headers(&self) -> LegacyHeaders<'_> {
        let given = &self.parts.headers;
        let session = headers::value(given, headers::SESSION_ID);
        let session = session.or(self.served.upstream().map(|_| "none"));
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

impl transparent::Route for Inquiry<'_> {
    fn served(&self) -> &Arc<Served> {
        self.served
    }

    fn parts(&self) -> &Parts {
        self.parts
    }

    fn front(&self) -> &Front {
        self.front
    }
}

/// Whitespace with raw newlines is removed: further on one line is one message.
fn message(bytes: Bytes, envelope: Envelope) -> McpMessage {
    if envelope.has_raw_newline() {
        return McpMessage::trusted(omcp_mcp::splice::compact(&bytes).into());
    }
    McpMessage::scanned(bytes, envelope)
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::GET => HttpMethod::Get,
        Method::DELETE => HttpMethod::Delete,
        Method::OPTIONS => HttpMethod::Options,
        _ => HttpMethod::Other,
    }
}
