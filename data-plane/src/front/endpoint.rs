//! `/mcp/<backend>`: what kind of request this is, whether it may go on, and in which mode.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use omcp_core::McpMessage;
use omcp_mcp::admit::{self, LegacyHeaders};
use omcp_mcp::classify::{Class, HttpMethod, Inbound, classify};
use omcp_mcp::envelope::{Envelope, Kind};
use omcp_mcp::methods;
use omcp_mcp::refusal::Refusal;
use omcp_mcp::revision::Revision;
use omcp_mcp::token::content::Kept;

use super::arrived::{Headers, Said};
use super::body::{self, Body};
use super::forward::Forward;
use super::handles::{Named, Opener, Renamed};
use super::headers::{self, Accepts};
use super::transparent::Passage;
use super::{Front, batch, bridge_legacy, bridge_modern, relay_legacy, relay_modern, reopen, reply};
use crate::backends::bridge::principal::Principal;
use crate::backends::{Eras, Served};
use crate::clients::Client;
use crate::members::hop::Hop;
use crate::session::Session;
use crate::upstream::Upstream;

/// The modern revisions served here.
pub const MODERN: [&str; 1] = [Revision::V2026_07_28.as_str()];

pub async fn answer(
    front: &Front,
    served: Arc<Served>,
    client: &Arc<Client>,
    parts: &mut Parts,
    said: &mut Said,
    body: &mut Incoming,
) -> Response<Body> {
    let principal = super::principal(parts);
    let hop = parts.extensions.remove::<Hop>();
    let mut inquiry =
        Inquiry { front, served, client, parts, said, principal, hop, renamed: None, stranger: false };
    inquiry.answer(body).await.unwrap_or_else(|refusal| reply::refusal(&refusal))
}

/// A modern request that was admitted at another endpoint, for one backend.
pub async fn modern(
    front: &Front,
    served: Arc<Served>,
    client: &Arc<Client>,
    principal: &Principal,
    headers: HeaderMap,
    accepts: Accepts,
    request: McpMessage,
) -> Response<Body> {
    let (mut parts, ()) = Request::new(()).into_parts();
    // Where a node that it is handed over to finds the backend.
    parts.uri = Uri::try_from(format!("/mcp/{}", served.name())).unwrap_or_default();
    (parts.method, parts.headers) = (Method::POST, headers);
    let mut said = Said { accepts, ..Said::of(&parts.headers) };
    let mut inquiry = Inquiry {
        front,
        served,
        client,
        parts: &mut parts,
        said: &mut said,
        principal: principal.clone(),
        hop: None,
        renamed: None,
        stranger: false,
    };
    inquiry.admitted(&request).await.unwrap_or_else(|refusal| reply::refusal(&refusal))
}

/// The body of a POST, whole.
///
/// # Errors
/// It is no JSON, too large or too late; or no answer to it would be accepted.
pub async fn read(
    front: &Front,
    method: &Method,
    said: &Said,
    body: &mut Incoming,
) -> Result<Bytes, Refusal> {
    if *method != Method::POST {
        return Ok(Bytes::new());
    }
    if !said.is_json {
        return Err(Refusal::unsupported_media_type());
    }
    if !said.accepts.json && !said.accepts.events {
        return Err(Refusal::not_acceptable("Accept must include application/json or text/event-stream"));
    }
    body::read(said, body, &front.config).await
}

/// One request on its way to a mode.
struct Inquiry<'a> {
    front: &'a Front,
    served: Arc<Served>,
    client: &'a Arc<Client>,
    parts: &'a mut Parts,
    said: &'a mut Said,
    principal: Principal,
    /// Another node has handed it over.
    hop: Option<Hop>,
    /// The HTTP server's session that it names.
    renamed: Option<Renamed>,
    /// It names a session, and that is none, or somebody else's.
    stranger: bool,
}

impl Inquiry<'_> {
    async fn answer(&mut self, body: &mut Incoming) -> Result<Response<Body>, Refusal> {
        let bytes = read(self.front, &self.parts.method, self.said, body).await?;
        // A body may take its time, and the definition it was meant for may be replaced meanwhile.
        if self.served.retired() {
            match self.front.served(self.served.name().as_str()) {
                Some(newest) => self.served = newest,
                None => return Ok(reply::unknown_backend(self.served.name().as_str())),
            }
        }
        if let Some(hop) = &self.hop {
            hop.check_body(&bytes)?;
        }
        let named = self.named();
        let class = classify(&self.inbound(&bytes, &named))?;
        let session = match named {
            Named::Kept(kept) if is_of_session(&class) => {
                match Box::pin(self.elsewhere(&kept, &bytes)).await? {
                    Ok(session) => Some(session),
                    Err(answer) => return Ok(answer),
                }
            }
            named => self.session(named),
        };
        // The modes are boxed, so that the future of every request is as small as its own needs.
        match class {
            Class::Modern(envelope) => {
                let message = message(bytes, envelope);
                self.modern(&message).await
            }
            Class::LegacyInitialize(envelope) => {
                let message = message(bytes, envelope);
                Box::pin(self.initialize(&message)).await
            }
            Class::Legacy(envelope) | Class::LegacyResponse(envelope) => {
                let message = message(bytes, envelope);
                self.legacy(session, &message).await
            }
            Class::LegacyBatch => Box::pin(self.batch(session, bytes)).await,
            Class::LegacyStream => Box::pin(self.stream(session)).await,
            Class::LegacyDelete => Box::pin(self.delete(session)).await,
            Class::SseStream | Class::Preflight => Err(reply::no_stream_without_session()),
        }
    }

    /// What the request names as its session. An HTTP server of the client's era has sessions of its own.
    fn named(&self) -> Named {
        let passes = self.served.upstream().is_some() && self.served.eras().is_some_and(|eras| eras.legacy);
        self.front.named_session(
            self.served.name().as_str(),
            &self.principal,
            self.said.session.first(),
            !passes,
        )
    }

    /// The session, if it lives here.
    fn session(&mut self, named: Named) -> Option<Arc<Session>> {
        match named {
            Named::Here(session) => return Some(session),
            Named::Upstream(renamed) => self.renamed = Some(renamed),
            Named::Unknown | Named::Kept(_) => self.stranger = true,
            Named::Nothing => {}
        }
        None
    }

    /// The answer of the node on which a session lives; or the session, opened anew here.
    ///
    /// # Errors
    /// Its node is gone, or has ended it.
    async fn elsewhere(
        &self,
        kept: &Kept,
        body: &Bytes,
    ) -> Result<Result<Arc<Session>, Response<Body>>, Refusal> {
        let (members, request) = (&self.front.members, self.forward(body));
        let mine = kept.owner == members.me() || self.hop.is_some();
        if !mine && let Some(answer) = request.to(kept.owner).await {
            return Ok(Err(answer));
        }
        if !reopen::is_possible(self.front, &self.served, kept) {
            return Err(Refusal::session_not_found());
        }
        let heirs = if mine { Vec::new() } else { members.heirs(&kept.id, kept.owner) };
        for heir in heirs.into_iter().take_while(|heir| *heir != members.me()) {
            if let Some(answer) = request.to(heir).await {
                return Ok(Err(answer));
            }
        }
        let text = self.said.session.text().unwrap_or_default();
        let opened = reopen::session(self.front, &self.served, self.opener(), text, kept).await;
        Ok(opened.map_err(|error| request.failed(&error)))
    }

    fn forward<'b>(&'b self, body: &'b Bytes) -> Forward<'b> {
        Forward {
            front: self.front,
            backend: self.served.name().as_str(),
            principal: &self.principal,
            method: &self.parts.method,
            uri: &self.parts.uri,
            headers: &self.parts.headers,
            body,
            call_max: self.served.call_max(),
        }
    }

    fn opener(&self) -> Opener<'_> {
        Opener { client: self.client, principal: &self.principal, again: None }
    }

    fn inbound<'b>(&'b self, body: &'b [u8], named: &Named) -> Inbound<'b> {
        let Parts { method, headers, .. } = &*self.parts;
        let version = self.said.version.text();
        Inbound {
            method: http_method(method),
            protocol_version_header: version,
            session_header: self.said.session.text(),
            accepts_event_stream: *method == Method::GET && Accepts::names_events(headers),
            session_revision: self.session_revision(named, version),
            legacy_sse: false,
            body,
        }
    }

    /// What an HTTP server's session has negotiated can only be guessed: by the header, which
    /// 2025-03-26 did not have.
    fn session_revision(&self, named: &Named, version: Option<&str>) -> Option<Revision> {
        if named.revision().is_some() || self.served.upstream().is_none() {
            return named.revision();
        }
        match version {
            Some(version) => Revision::parse(version),
            None => Some(Revision::V2025_03_26),
        }
    }

    async fn modern(&mut self, message: &McpMessage) -> Result<Response<Body>, Refusal> {
        // Of another era: it is ignored.
        self.forget_session();
        let view = Headers { headers: &self.parts.headers, said: self.said };
        admit::admit_modern(message.envelope(), message.bytes(), &view, &MODERN)?;
        self.admitted(message).await
    }

    async fn admitted(&mut self, message: &McpMessage) -> Result<Response<Body>, Refusal> {
        if self.front.overload.refuses_streams() && message.is_method(methods::SUBSCRIPTIONS_LISTEN) {
            return Ok(reply::overloaded());
        }
        let eras = match self.eras().await {
            Ok(eras) => eras,
            Err(error) => return Ok(self.failed(message, &error)),
        };
        if !eras.modern {
            self.check_params(message)?;
            return Ok(Box::pin(self.bridge(message)).await);
        }
        if let Some(upstream) = self.served.upstream().cloned() {
            return Ok(Box::pin(self.passage(&upstream).modern(message)).await);
        }
        self.check_params(message)?;
        let relayed =
            relay_modern::relay(&self.served, &self.principal, message, self.said.accepts, self.front);
        Ok(Box::pin(relayed).await)
    }

    /// The backend knows sessions only. A call that waits on another node goes on there.
    async fn bridge(&self, message: &McpMessage) -> Response<Body> {
        let owner = bridge_modern::owner(self.front, self.served.name().as_str(), &self.principal, message);
        if let Some(owner) = owner.filter(|_| self.hop.is_none()) {
            let answer = Box::pin(self.forward(message.bytes()).to(owner)).await;
            if let Some(answer) = answer.or_else(|| bridge_modern::lost(message)) {
                return answer;
            }
        }
        bridge_modern::relay(
            self.front,
            &self.served,
            self.principal.clone(),
            message.clone(),
            self.said.accepts,
        )
        .await
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
        admit::check_params(&wanted, arguments, &Headers { headers: &self.parts.headers, said: self.said })
            .map_err(|mut refusal| {
                refusal.id = message.id().map(<[u8]>::to_vec);
                refusal
            })
    }

    async fn initialize(&mut self, message: &McpMessage) -> Result<Response<Body>, Refusal> {
        self.forget_session();
        (self.renamed, self.stranger) = (None, false);
        let eras = match self.eras().await {
            Err(error) => return Ok(self.failed(message, &error)),
            Ok(eras) => eras,
        };
        let (front, served) = (self.front, self.served.clone());
        Ok(match (served.shakes_hands(eras).await, served.upstream()) {
            (true, Some(upstream)) => {
                self.passage(upstream).legacy(Some(message), message.bytes().clone()).await
            }
            (true, None) => relay_legacy::initialize(front, &served, self.opener(), message).await,
            (false, _) => bridge_legacy::initialize(front, &served, self.opener(), message).await,
        })
    }

    async fn legacy(
        &mut self,
        session: Option<Arc<Session>>,
        message: &McpMessage,
    ) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy(message.envelope(), message.bytes(), &self.legacy_headers())?;
        self.settle(session.as_deref()).await;
        if let (None, Some(upstream)) = (&session, self.passes()) {
            let passed = self.passage(&upstream).legacy(Some(message), message.bytes().clone());
            return Ok(Box::pin(passed).await);
        }
        let session = self.need(session)?;
        let relayed = relay_legacy::relay(&session, message, self.said.accepts, &self.front.config);
        Ok(Box::pin(relayed).await)
    }

    async fn batch(
        &mut self,
        session: Option<Arc<Session>>,
        bytes: Bytes,
    ) -> Result<Response<Body>, Refusal> {
        self.settle(session.as_deref()).await;
        if let (None, Some(upstream)) = (&session, self.passes()) {
            return Ok(self.passage(&upstream).legacy(None, bytes).await);
        }
        let session = self.need(session)?;
        batch::relay(&session, &bytes, &self.front.config).await
    }

    async fn stream(&mut self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_stream(&self.legacy_headers(), Accepts::names_events(&self.parts.headers))?;
        if self.front.overload.refuses_streams() {
            return Ok(reply::overloaded());
        }
        self.settle(session.as_deref()).await;
        if let (None, Some(upstream)) = (&session, self.passes()) {
            return Ok(self.passage(&upstream).legacy(None, Bytes::new()).await);
        }
        let session = self.need(session)?;
        relay_legacy::listen(&session, &self.parts.headers, self.front)
    }

    async fn delete(&mut self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_delete(&self.legacy_headers())?;
        self.settle(session.as_deref()).await;
        if let (None, Some(upstream)) = (&session, self.passes()) {
            return Ok(self.passage(&upstream).legacy(None, Bytes::new()).await);
        }
        let session = self.need(session)?;
        self.front.sessions.end(&session);
        if let Some(id) = session.handle().reopenable {
            self.front.members.ended().end(id);
        }
        Ok(reply::empty(StatusCode::OK))
    }

    fn forget_session(&mut self) {
        if self.said.session.forget() {
            self.parts.headers.remove(&headers::SESSION_ID);
        }
    }

    /// Waits until it is known whose session it is that this node does not hold: the backend's own, or one of a
    /// bridge that ended with an earlier life of the node. If the backend does not answer, that is told later.
    async fn settle(&self, session: Option<&Session>) {
        if session.is_none() && self.served.upstream().is_some() {
            drop(self.eras().await);
        }
    }

    /// # Errors
    /// 400 if no session is named, 404 if it is none of ours: the client then initializes again.
    fn need(&self, session: Option<Arc<Session>>) -> Result<Arc<Session>, Refusal> {
        if self.said.session.first().is_none() {
            return Err(Refusal::session_required());
        }
        session.ok_or_else(Refusal::session_not_found)
    }

    /// The HTTP server, if it has legacy sessions of its own; those of a bridge are ours.
    fn passes(&self) -> Option<Arc<Upstream>> {
        let upstream = self.served.upstream().cloned().filter(|_| !self.stranger)?;
        let bridged = self.served.eras().is_some_and(|eras| self.served.speaks_legacy(eras) == Some(false));
        (!bridged).then_some(upstream)
    }

    fn passage<'b>(&'b mut self, upstream: &'b Upstream) -> Passage<'b> {
        let Self { served, front, parts, said, principal, renamed, .. } = self;
        Passage { served, upstream, parts, said, front, principal, renamed: renamed.as_ref() }
    }

    /// An HTTP server may do without sessions; whether it does is its own affair.
    fn legacy_headers(&self) -> LegacyHeaders<'_> {
        let session = self.said.session.text().or_else(|| self.passes().map(|_| "none"));
        LegacyHeaders { protocol_version: self.said.version.text(), session }
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

/// Whether it concerns a session that there is already.
pub fn is_of_session(class: &Class) -> bool {
    matches!(
        class,
        Class::Legacy(_)
            | Class::LegacyResponse(_)
            | Class::LegacyBatch
            | Class::LegacyStream
            | Class::LegacyDelete
    )
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
