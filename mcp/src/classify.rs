//! Which era and which operation an HTTP request belongs to. The body decides; headers only cross-check.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::admit::missing_envelope;
use crate::batch;
use crate::envelope::{Envelope, Kind, ScanErrorKind, ScanLimits};
use crate::methods;
use crate::refusal::Refusal;
use crate::revision::{Revision, is_modern_version};

/// HTTP methods that mean something here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpMethod {
    Post,
    Get,
    Delete,
    Options,
    Other,
}

/// What an HTTP request says that decides its class.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    pub method: HttpMethod,
    /// `MCP-Protocol-Version`.
    pub protocol_version_header: Option<&'a str>,
    /// `Mcp-Session-Id`.
    pub session_header: Option<&'a str>,
    /// `Accept` allows `text/event-stream`.
    pub accepts_event_stream: bool,
    /// The revision negotiated by the session in the header, if the caller could read it.
    pub session_revision: Option<Revision>,
    /// This endpoint opens an HTTP+SSE session (2024-11-05) for a bare GET.
    pub legacy_sse: bool,
    pub body: &'a [u8],
}

/// What to do with an HTTP request.
#[derive(Clone, Debug)]
pub enum Class {
    /// A request or notification of the modern era; goes to [`crate::admit::admit_modern`].
    Modern(Envelope),
    /// The handshake of a legacy client.
    LegacyInitialize(Envelope),
    /// A request or notification of the legacy era; goes to [`crate::admit::admit_legacy`].
    Legacy(Envelope),
    /// A legacy client answers a server's request.
    LegacyResponse(Envelope),
    /// A batch of a 2025-03-26 session; [`crate::batch::split`] takes it apart.
    LegacyBatch,
    /// GET of a legacy session; goes to [`crate::admit::admit_legacy_stream`].
    LegacyStream,
    /// DELETE of a legacy session; goes to [`crate::admit::admit_legacy_delete`].
    LegacyDelete,
    /// GET that opens an HTTP+SSE session.
    SseStream,
    /// CORS preflight; the caller checks the origin.
    Preflight,
}

const ALLOW_MODERN: &str = "POST";
const ALLOW_LEGACY: &str = "GET, POST, DELETE";

/// Finds the class of a request.
///
/// # Errors
/// The refusal that answers a request of no class.
pub fn classify(inbound: &Inbound<'_>) -> Result<Class, Refusal> {
    match inbound.method {
        HttpMethod::Post => classify_body(inbound),
        HttpMethod::Options => Ok(Class::Preflight),
        HttpMethod::Other => Err(Refusal::method_not_allowed(ALLOW_LEGACY)),
        HttpMethod::Get | HttpMethod::Delete if inbound.header_is_modern() => {
            Err(Refusal::method_not_allowed(ALLOW_MODERN))
        }
        HttpMethod::Get if inbound.opens_sse() => Ok(Class::SseStream),
        HttpMethod::Get => Ok(Class::LegacyStream),
        HttpMethod::Delete => Ok(Class::LegacyDelete),
    }
}

impl Inbound<'_> {
    fn header_is_modern(&self) -> bool {
        self.protocol_version_header.is_some_and(is_modern_version)
    }

    fn opens_sse(&self) -> bool {
        let bare = self.session_header.is_none() && self.protocol_version_header.is_none();
        self.legacy_sse && self.accepts_event_stream && bare
    }
}

fn classify_body(inbound: &Inbound<'_>) -> Result<Class, Refusal> {
    let body = inbound.body;
    let envelope = match Envelope::scan(body, &ScanLimits::default()) {
        Ok(envelope) => envelope,
        Err(error) if error.kind == ScanErrorKind::BatchArray => return classify_batch(inbound),
        Err(error) => return Err(Refusal::not_a_message(&error, body)),
    };
    match envelope.kind() {
        Kind::Request | Kind::Notification => classify_call(inbound, envelope),
        Kind::Response | Kind::Error if inbound.header_is_modern() => {
            Err(Refusal::invalid_request("responses are not accepted in this protocol version"))
        }
        Kind::Response | Kind::Error => Ok(Class::LegacyResponse(envelope)),
    }
}

fn classify_call(inbound: &Inbound<'_>, envelope: Envelope) -> Result<Class, Refusal> {
    let body = inbound.body;
    if envelope.is_method(body, methods::INITIALIZE) {
        return Ok(classify_initialize(body, envelope));
    }
    if envelope.protocol_version_range().is_some() {
        return Ok(match is_legacy(envelope.protocol_version(body)) {
            true => Class::Legacy(envelope),
            false => Class::Modern(envelope),
        });
    }
    match (inbound.header_is_modern(), envelope.kind()) {
        (true, Kind::Request) => Err(missing_envelope(&envelope, body)),
        (true, _) => Ok(Class::Modern(envelope)),
        (false, _) => Ok(Class::Legacy(envelope)),
    }
}

/// A handshake is a legacy thing, whatever version it asks for. Only a complete modern envelope makes it
/// a modern request, for a method that era does not have.
fn classify_initialize(body: &[u8], envelope: Envelope) -> Class {
    if has_modern_envelope(body, &envelope) {
        return Class::Modern(envelope);
    }
    match envelope.kind() {
        Kind::Request => Class::LegacyInitialize(envelope),
        _ => Class::Legacy(envelope),
    }
}

fn has_modern_envelope(body: &[u8], envelope: &Envelope) -> bool {
    let modern = envelope.protocol_version(body).is_some_and(|version| is_modern_version(&version));
    let capabilities = envelope.client_capabilities_range().and_then(|range| body.get(range.start));
    modern && capabilities == Some(&b'{')
}

/// Whether the body names a known legacy revision. What is unknown goes the modern way, to be answered
/// with the list of supported versions.
fn is_legacy(version: Option<Cow<'_, str>>) -> bool {
    let version = version.and_then(|version| Revision::parse(&version));
    version.is_some_and(|revision| Revision::LEGACY.contains(&revision))
}

/// Only a session of exactly 2025-03-26 may send batches, and no handshake in them.
fn classify_batch(inbound: &Inbound<'_>) -> Result<Class, Refusal> {
    let body = inbound.body;
    let items = batch::split(body, &ScanLimits::default())
        .map_err(|error| Refusal::invalid_request(format!("the batch has an invalid element: {error}")))?;
    let spoiled = items.iter().any(|item| {
        let bytes = &body[item.range.clone()];
        item.envelope.is_method(bytes, methods::INITIALIZE)
            || item.envelope.protocol_version(bytes).is_some_and(|version| is_modern_version(&version))
    });
    if items.is_empty() || spoiled || inbound.session_revision != Some(Revision::V2025_03_26) {
        return Err(Refusal::invalid_request("batches are not accepted; send one message at a time"));
    }
    Ok(Class::LegacyBatch)
}
