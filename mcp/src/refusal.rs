//! [`Refusal`]: an answer that says no, with its HTTP status; and JSON-RPC errors as text.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::envelope::{Envelope, ScanError};
use crate::json::write_text;

/// Error codes of JSON-RPC and MCP.
pub mod code {
    pub const PARSE_ERROR: i32 = -32700;
    pub const INVALID_REQUEST: i32 = -32600;
    pub const METHOD_NOT_FOUND: i32 = -32601;
    pub const INVALID_PARAMS: i32 = -32602;
    pub const INTERNAL_ERROR: i32 = -32603;
    /// Legacy servers only; modern ones say [`INVALID_PARAMS`].
    pub const RESOURCE_NOT_FOUND: i32 = -32002;
    /// Headers and body disagree, or a required header is missing (2026-07-28).
    pub const HEADER_MISMATCH: i32 = -32020;
    /// The request needs a capability the client did not declare (2026-07-28).
    pub const MISSING_CAPABILITY: i32 = -32021;
    /// The named revision is not served (2026-07-28).
    pub const UNSUPPORTED_VERSION: i32 = -32022;
    /// Revision 2025-11-25 only.
    pub const URL_ELICITATION_REQUIRED: i32 = -32042;
}

/// An HTTP answer that says no.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// JSON-RPC error code; none if the answer carries no JSON-RPC body.
    pub code: Option<i32>,
    pub message: Cow<'static, str>,
    pub data: Option<Box<Value>>,
    /// The id of the refused request as it was spelled, if it could be read.
    pub id: Option<Vec<u8>>,
    /// Value of the `Allow` header.
    pub allow: Option<&'static str>,
}

impl Refusal {
    /// A refusal with a JSON-RPC error and no id.
    // Cold: what leads here is laid out beside the way of requests that pass.
    #[cold]
    pub fn new(status: u16, code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { status, code: Some(code), message, data: None, id: None, allow: None }
    }

    /// A refusal without a JSON-RPC body.
    pub fn plain(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: None, ..Self::new(status, 0, message) }
    }

    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(Box::new(data)), ..self }
    }

    /// `id` is the raw spelling.
    #[must_use]
    pub fn with_id(self, id: Option<&[u8]>) -> Self {
        Self { id: id.map(<[u8]>::to_vec), ..self }
    }

    /// Answers the request that `envelope` describes.
    #[must_use]
    #[cold]
    pub fn answering(self, envelope: &Envelope, body: &[u8]) -> Self {
        let is_call = envelope.method_range().is_some();
        self.with_id(envelope.id(body).filter(|_| is_call))
    }

    /// 400: the body is no message.
    pub fn not_a_message(error: &ScanError, body: &[u8]) -> Self {
        let id = error.id.clone().and_then(|id| body.get(id));
        Self::new(400, error.code(), error.to_string()).with_id(id)
    }

    /// 400, -32600.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, code::INVALID_REQUEST, message)
    }

    /// 400, -32602: the metadata of a modern request is incomplete or malformed.
    pub fn invalid_envelope(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, code::INVALID_PARAMS, message)
    }

    /// 400, -32020.
    pub fn header_mismatch(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, code::HEADER_MISMATCH, message)
    }

    /// 400, -32021. `required` has the shape of client capabilities: an object.
    pub fn missing_capability(required: Value) -> Self {
        Self::new(400, code::MISSING_CAPABILITY, "the client did not declare a capability this request needs")
            .with_data(json!({ "requiredCapabilities": required }))
    }

    /// 400, -32022.
    pub fn unsupported_version(requested: &str, served: &[&str]) -> Self {
        let message = format!("unsupported protocol version; supported: {}", served.join(", "));
        Self::new(400, code::UNSUPPORTED_VERSION, message)
            .with_data(json!({ "supported": served, "requested": requested }))
    }

    /// 400, -32600: a legacy request names a revision nobody knows.
    pub fn unknown_legacy_version(known: &[&str]) -> Self {
        let message = format!("unknown MCP-Protocol-Version; supported: {}", known.join(", "));
        Self::invalid_request(message).with_data(json!({ "supported": known }))
    }

    /// 404, -32601: for modern clients. Legacy clients read 404 as "the session is gone".
    pub fn method_not_found(method: &str) -> Self {
        Self::new(404, code::METHOD_NOT_FOUND, format!("method not found: {method}"))
    }

    /// 400, -32600.
    pub fn session_required() -> Self {
        Self::invalid_request("Mcp-Session-Id is missing; send initialize first and repeat the id it returns")
    }

    /// 404, -32600: one answer for every way in which a session id can be bad.
    pub fn session_not_found() -> Self {
        Self::new(404, code::INVALID_REQUEST, "session not found; send initialize to start a new one")
    }

    /// 405. `allow` lists the methods that work here.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(405, code::INVALID_REQUEST, "HTTP method not allowed") }
    }

    /// 403, -32600.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, code::INVALID_REQUEST, message)
    }

    /// 406, -32600.
    pub fn not_acceptable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(406, code::INVALID_REQUEST, message)
    }

    /// 413, -32600.
    pub fn body_too_large(limit_bytes: usize) -> Self {
        Self::new(413, code::INVALID_REQUEST, format!("the body is larger than {limit_bytes} bytes"))
    }

    /// 415, -32600.
    pub fn unsupported_media_type() -> Self {
        Self::new(415, code::INVALID_REQUEST, "Content-Type must be application/json")
    }

    /// The JSON-RPC error, if there is a code. Without a known id the member is left out: the 2026-07-28
    /// schema forbids `null`.
    pub fn body(&self) -> Option<Vec<u8>> {
        let id = self.id.as_deref().unwrap_or_default();
        Some(error_response(id, self.code?, &self.message, self.data.as_deref()))
    }
}

/// Room for the fixed parts of an error response beside id and message, bytes.
const FRAME_LEN: usize = 80;

/// A JSON-RPC error response. `id` is the raw spelling; empty leaves the member out.
pub fn error_response(id: &[u8], code: i32, message: &str, data: Option<&Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_LEN + id.len() + message.len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    if !id.is_empty() {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id);
    }
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    write_text(message, &mut out);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        serde_json::to_writer(&mut out, data).expect("a JSON value always serialises into memory");
    }
    out.extend_from_slice(b"}}");
    out
}

/// Whether a server's answer to a request that named a session says that it knows it no longer: 404, as the
/// revisions ask for; servers made with the TypeScript SDK say so with 400.
pub fn says_session_is_gone(status: u16, body: &[u8]) -> bool {
    let about_it = || {
        let text = String::from_utf8_lossy(body).to_ascii_lowercase();
        text.contains("session") || text.contains("initializ")
    };
    status == 404 || (status == 400 && about_it())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Kind, ScanLimits};

    #[test]
    fn bodies_are_errors_with_the_id_as_spelled_or_none() {
        let refusal = Refusal::unsupported_version("2099-01-01", &["2026-07-28"]).with_id(Some(b"1.0"));
        let body = refusal.body().unwrap();
        assert!(body.starts_with(b"{\"jsonrpc\":\"2.0\",\"id\":1.0,\"error\":{\"code\":-32022,"));
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["error"]["data"], json!({ "supported": ["2026-07-28"], "requested": "2099-01-01" }));

        let body = Refusal::forbidden("say \"please\"\n").body().unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            value,
            json!({ "jsonrpc": "2.0", "error": { "code": -32600, "message": "say \"please\"\n" } })
        );
        let scanned = Envelope::scan(&body, &ScanLimits::default()).unwrap();
        assert_eq!((scanned.kind(), scanned.error_code()), (Kind::Error, Some(-32600)));
    }

    #[test]
    fn lost_sessions_are_told_from_other_refusals() {
        let typescript = b"{\"error\":{\"message\":\"Bad Request: No valid session ID provided\"}}";
        for (status, body, gone) in [
            (404, &b""[..], true),
            (400, typescript, true),
            (400, b"Server not initialized", true),
            (400, b"no such argument", false),
            (500, typescript, false),
        ] {
            assert_eq!(says_session_is_gone(status, body), gone, "{status}");
        }
    }

    #[test]
    fn a_plain_refusal_has_no_body() {
        let refusal = Refusal::plain(404, "no such backend");
        assert_eq!((refusal.status, refusal.body()), (404, None));
    }

    #[test]
    fn capabilities_are_an_object() {
        let refusal = Refusal::missing_capability(json!({ "sampling": {} }));
        assert_eq!(refusal.data, Some(Box::new(json!({ "requiredCapabilities": { "sampling": {} } }))));
        assert_eq!((refusal.status, refusal.code), (400, Some(code::MISSING_CAPABILITY)));
    }

    #[test]
    fn a_posted_response_is_not_answered_by_its_id() {
        let body = br#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        let envelope = Envelope::scan(body, &ScanLimits::default()).unwrap();
        assert_eq!(Refusal::invalid_request("no").answering(&envelope, body).id, None);
    }
}
