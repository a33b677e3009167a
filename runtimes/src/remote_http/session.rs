//! [`Session`]: what all requests of one connection share, and how each is written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::{header_value, methods, object, revision};

use super::mirrored::Mirrored;
use super::told::Told;
use crate::http_client::{HttpClient, drop_body};
use crate::http_endpoint::HttpEndpoint;

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEPT: &str = "application/json, text/event-stream";
/// A server that does not answer the end of a session is left alone.
const END_WAIT: Duration = Duration::from_secs(5);

/// Bounds from the settings.
#[derive(Clone, Copy)]
pub struct Limits {
    pub call_timeout: Duration,
    pub write_timeout: Duration,
    pub message_len_max: usize,
}

pub struct Session {
    client: HttpClient,
    endpoint: HttpEndpoint,
    pub limits: Limits,
    legacy: Mutex<Option<Arc<Legacy>>>,
    /// What a server that forgot the session has to be told again, once it has a new one.
    pub(super) told: Told,
    pub(super) mirrored: Arc<Mirrored>,
    /// Held while the session is opened anew: one request does it, the others wait.
    pub(super) healing: tokio::sync::Mutex<()>,
}

/// One session of the server: what the answer to `initialize` brought.
pub struct Legacy {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// The request that opened it.
    pub(super) handshake: McpMessage,
}

impl Session {
    pub fn new(client: HttpClient, endpoint: HttpEndpoint, limits: Limits, mirrored: Arc<Mirrored>) -> Self {
        let (legacy, told, healing) = (Mutex::default(), Told::default(), tokio::sync::Mutex::default());
        Self { client, endpoint, limits, legacy, told, mirrored, healing }
    }

    /// The server's present session, if `initialize` succeeded on this connection.
    pub fn legacy(&self) -> Option<Arc<Legacy>> {
        self.lock().clone()
    }

    /// Whether `initialize` succeeded on this connection.
    pub fn is_legacy(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes id and version from the successful answer to the first `initialize`; other answers bring
    /// none, and a second handshake on one connection does not move it to another session.
    pub fn adopt(&self, handshake: &McpMessage, id: Option<&HeaderValue>, answer: &McpMessage) {
        if let Some(legacy) = Legacy::read(handshake, id, answer) {
            self.lock().get_or_insert(Arc::new(legacy));
        }
    }

    /// The server has opened a new session in place of the one it forgot.
    pub(super) fn replace(&self, legacy: Legacy) {
        *self.lock() = Some(Arc::new(legacy));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Legacy>>> {
        self.legacy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// POSTs a handshake outside of any session.
    pub(super) async fn open(
        &self,
        handshake: &McpMessage,
        wait: Duration,
    ) -> Result<Response<Incoming>, GatewayError> {
        self.client.send(self.endpoint.post(handshake.bytes().clone(), ACCEPT), wait).await
    }

    /// POSTs one message.
    pub async fn post(
        &self,
        message: &McpMessage,
        wait: Duration,
    ) -> Result<Response<Incoming>, GatewayError> {
        let mut request = self.endpoint.post(message.bytes().clone(), ACCEPT);
        match modern_version(message) {
            Some(version) => {
                add_modern(&mut request, message, &version);
                self.mirrored.add(&mut request, message);
            }
            None => self.add_legacy(&mut request),
        }
        self.client.send(request, wait).await
    }

    /// Opens the session's own stream, or goes on with one that broke after `last_event_id`.
    pub async fn get(
        &self,
        last_event_id: Option<&str>,
        wait: Duration,
    ) -> Result<Response<Incoming>, GatewayError> {
        let mut request = self.endpoint.get_events();
        self.add_legacy(&mut request);
        if let Some(id) = last_event_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request.headers_mut().insert(LAST_EVENT_ID, id);
        }
        self.client.send(request, wait).await
    }

    /// Tells the server that the session is over, if there is one. Not every server listens.
    pub async fn end(&self) {
        if !self.legacy().is_some_and(|legacy| legacy.has_id()) {
            return;
        }
        let mut request = self.endpoint.bare(Method::DELETE);
        self.add_legacy(&mut request);
        match self.client.send(request, END_WAIT.min(self.limits.write_timeout)).await {
            Ok(response) => drop_body(response.into_body()).await,
            Err(error) => tracing::debug!(error = %error.chain(), "could not end the session at the server"),
        }
    }

    fn add_legacy(&self, request: &mut Request<Full<Bytes>>) {
        let Some(legacy) = self.legacy() else { return };
        let fields = [(SESSION_ID, &legacy.id), (PROTOCOL_VERSION, &legacy.version)];
        for (name, value) in fields {
            if let Some(value) = value {
                request.headers_mut().insert(name, value.clone());
            }
        }
    }
}

impl Legacy {
    /// Whether the server gave an id that it can forget.
    pub fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// `None` if the handshake was refused.
    pub(super) fn read(
        handshake: &McpMessage,
        id: Option<&HeaderValue>,
        answer: &McpMessage,
    ) -> Option<Self> {
        if answer.envelope().kind() != Kind::Response {
            return None;
        }
        let bytes = answer.bytes();
        let result = answer.envelope().result_range();
        let version = result.and_then(|result| object::member_text(bytes, result, "protocolVersion"));
        let version = version.and_then(|version| HeaderValue::from_str(&version).ok());
        let mut id = id.cloned();
        if let Some(id) = &mut id {
            id.set_sensitive(true);
        }
        Some(Self { id, version, handshake: handshake.clone() })
    }
}

/// The revision a message names in its own envelope, if that is a modern one.
pub fn modern_version(message: &McpMessage) -> Option<String> {
    let version = message.envelope().protocol_version(message.bytes())?;
    revision::is_modern_version(&version).then(|| version.into_owned())
}

/// The id that an answer brings for the session.
pub fn id_of<B>(response: &Response<B>) -> Option<&HeaderValue> {
    response.headers().get(SESSION_ID)
}

/// 2026-07-28, Streamable HTTP: the headers repeat what the body says. `Mcp-Param-*` needs the schemas of the
/// tools: see [`Mirrored`].
fn add_modern(request: &mut Request<Full<Bytes>>, message: &McpMessage, version: &str) {
    let method = message.method().unwrap_or_default();
    let target = message.envelope().target(message.bytes()).filter(|_| methods::needs_name_header(method));
    let fields = [(PROTOCOL_VERSION, Some(version)), (METHOD, Some(method)), (NAME, target.as_deref())];
    for (name, text) in fields {
        let encoded = text.map(header_value::encode_if_needed);
        if let Some(value) = encoded.and_then(|text| HeaderValue::from_str(&text).ok()) {
            request.headers_mut().insert(name, value);
        }
    }
}
