//! `/mcp`: all backends behind one endpoint, or with `?tags=a,b` those that have these tags.
//!
//! - [`modern`]: clients without a handshake: what concerns one backend takes its usual way
//! - [`legacy`]: clients with a handshake: a session of the gateway's own
//! - [`passage`]: a backend's answer on its way to the client
//! - [`listen`]: what a client hears without asking

pub mod legacy;
pub mod listen;
pub mod modern;
pub mod passage;

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use omcp_core::McpMessage;
use omcp_core::runtime::CALL_TIMEOUT;
use omcp_mcp::admit::{self, LegacyHeaders};
use omcp_mcp::classify::{Class, Inbound, classify};
use omcp_mcp::refusal::Refusal;
use omcp_mcp::token::content::Kept;

use super::arrived::Said;
use super::body::Body;
use super::endpoint::{self, http_method, is_of_session, message, read};
use super::forward::Forward;
use super::handles::Named;
use super::headers::Accepts;
use super::{Front, batch, relay_legacy, reply};
use crate::aggregate::{Names, Selection, View};
use crate::backends::Served;
use crate::backends::bridge::principal::Principal;
use crate::clients::Client;
use crate::members::hop::Hop;
use crate::session::Session;

pub async fn answer(
    front: &Front,
    client: &Arc<Client>,
    parts: &mut Parts,
    said: &mut Said,
    body: &mut Incoming,
) -> Response<Body> {
    let answer = async {
        let selection = Selection::of_query(parts.uri.query().unwrap_or(""))?;
        let principal = super::principal(parts);
        let hop = parts.extensions.remove::<Hop>();
        let names = Arc::new(front.names(&selection, &principal));
        let Parts { method, uri, headers, .. } = parts;
        let (method, uri, headers) = (mem::take(method), mem::take(uri), mem::take(headers));
        let inquiry = Inquiry { front, client, selection, method, uri, headers, said, principal, names, hop };
        inquiry.answer(body).await
    };
    answer.await.unwrap_or_else(|refusal| reply::refusal(&refusal))
}

/// One request on its way.
pub struct Inquiry<'a> {
    pub front: &'a Front,
    pub client: &'a Arc<Client>,
    pub selection: Selection,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub said: &'a Said,
    pub principal: Principal,
    pub names: Arc<Names>,
    /// Another node has handed it over.
    pub hop: Option<Hop>,
}

impl Inquiry<'_> {
    async fn answer(self, body: &mut Incoming) -> Result<Response<Body>, Refusal> {
        let bytes = read(self.front, &self.method, self.said, body).await?;
        self.hop.as_ref().map_or(Ok(()), |hop| hop.check_body(&bytes))?;
        let name = self.selection.to_string();
        let named = self.front.named_session(&name, &self.principal, self.said.session.first(), true);
        let class = classify(&self.inbound(&bytes, &named))?;
        if let Named::Kept(kept) = &named
            && is_of_session(&class)
            && let Some(answer) = self.elsewhere(&name, kept, &bytes).await
        {
            return Ok(answer);
        }
        let session = named.here();
        match class {
            Class::Modern(envelope) => Box::pin(modern::answer(self, message(bytes, envelope))).await,
            Class::LegacyInitialize(envelope) => Ok(legacy::initialize(&self, &message(bytes, envelope))),
            Class::Legacy(envelope) | Class::LegacyResponse(envelope) => {
                let message = message(bytes, envelope);
                admit::admit_legacy(message.envelope(), message.bytes(), &self.legacy_headers())?;
                let session = self.need(session)?;
                Ok(relay_legacy::relay(&session, &message, self.said.accepts, &self.front.config).await)
            }
            Class::LegacyBatch => batch::relay(&self.need(session)?, &bytes, &self.front.config).await,
            Class::LegacyStream => self.stream(session),
            Class::LegacyDelete => self.delete(session),
            Class::SseStream | Class::Preflight => Err(reply::no_stream_without_session()),
        }
    }

    /// The backends of the endpoint, as they are now.
    pub fn view(&self) -> Arc<View> {
        self.front.views.view(&self.selection)
    }

    /// A modern request to one of the backends, as if it had come to the backend's own endpoint.
    pub async fn leg(&self, served: Arc<Served>, headers: HeaderMap, request: McpMessage) -> Response<Body> {
        let Self { front, client, principal, said, .. } = self;
        endpoint::modern(front, served, client, principal, headers, said.accepts, request).await
    }

    /// The answer of the node on which a session lives, if that is another one, and there.
    async fn elsewhere(&self, name: &str, kept: &Kept, body: &Bytes) -> Option<Response<Body>> {
        if kept.owner == self.front.members.me() || self.hop.is_some() {
            return None;
        }
        let request = Forward {
            front: self.front,
            backend: name,
            principal: &self.principal,
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            body,
            call_max: CALL_TIMEOUT,
        };
        Box::pin(request.to(kept.owner)).await
    }

    fn inbound<'b>(&'b self, body: &'b Bytes, named: &Named) -> Inbound<'b> {
        Inbound {
            method: http_method(&self.method),
            protocol_version_header: self.said.version.text(),
            session_header: self.said.session.text(),
            accepts_event_stream: self.method == Method::GET && Accepts::names_events(&self.headers),
            session_revision: named.revision(),
            legacy_sse: false,
            body,
        }
    }

    fn stream(&self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_stream(&self.legacy_headers(), Accepts::names_events(&self.headers))?;
        if self.front.overload.refuses_streams() {
            return Ok(reply::overloaded());
        }
        let session = self.need(session)?;
        relay_legacy::listen(&session, &self.headers, self.front)
    }

    fn delete(&self, session: Option<Arc<Session>>) -> Result<Response<Body>, Refusal> {
        admit::admit_legacy_delete(&self.legacy_headers())?;
        let session = self.need(session)?;
        self.front.sessions.end(&session);
        Ok(reply::empty(StatusCode::OK))
    }

    /// # Errors
    /// 400 if no session is named, 404 if it is none of ours: the client then initializes again.
    fn need(&self, session: Option<Arc<Session>>) -> Result<Arc<Session>, Refusal> {
        if self.said.session.first().is_none() {
            return Err(Refusal::session_required());
        }
        session.ok_or_else(Refusal::session_not_found)
    }

    fn legacy_headers(&self) -> LegacyHeaders<'_> {
        LegacyHeaders { protocol_version: self.said.version.text(), session: self.said.session.text() }
    }
}
