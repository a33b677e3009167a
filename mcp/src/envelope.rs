//! [`Envelope`]: what one JSON-RPC message says about itself, found in one pass over its bytes.

mod by_method;
mod error;
mod id;
mod keys;
mod kind;
mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

pub use error::{ScanError, ScanErrorKind};
pub use id::{ID_LEN_MAX, canonical_id};

use crate::json::{self, Span};

/// `_meta` key of the revision a modern request speaks.
pub const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of the capabilities a modern client declares with each request.
pub const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of a modern client's name and version.
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta` key of the least severe log level a modern client wants with a request.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta` key that ties a notification to a `subscriptions/listen` request.
pub const META_SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// `_meta` key of a modern server's name and version.
pub const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// What a JSON-RPC message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Request,
    Notification,
    Response,
    Error,
}

/// What a scan refuses to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanLimits {
    /// Deepest nesting; no more than [`json::DEPTH_CEILING`] is ever followed.
    pub max_depth: usize,
    /// Most members of one object and elements of one array. What stands in `result` or `error` is
    /// bounded by the size of the message alone: nothing here builds it.
    pub max_members: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { max_depth: 128, max_members: 10_000 }
    }
}

/// Where the parts of one message stand. Every accessor takes the bytes that were scanned.
///
/// All `*_range` results are byte ranges of whole JSON values, quotes included.
#[derive(Clone, Debug)]
pub struct Envelope {
    kind: Kind,
    raw_newline: bool,
    parts: Parts,
    /// The method, if its spelling has escapes (`tools\/call`).
    decoded_method: Option<Box<str>>,
    error_code: Option<i64>,
    names_client: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Parts {
    method: Span,
    id: Span,
    params: Span,
    result: Span,
    error: Span,
    meta: Span,
    progress_token: Span,
    target: Span,
    arguments: Span,
    request_state: Span,
    protocol_version: Span,
    client_capabilities: Span,
    client_info: Span,
    log_level: Span,
    request_id: Span,
    subscription_id: Span,
    result_type: Span,
    result_meta: Span,
}

impl Envelope {
    /// Proves that `bytes` are one JSON-RPC 2.0 message and finds its parts.
    ///
    /// Refused: text that is not UTF-8 or not well-formed JSON; two members of one name in the message, in
    /// `params` or in `params._meta` (escapes decoded first); an `id` that is neither string nor integer (an
    /// error may say `null` or nothing, as JSON-RPC asks when an id was unreadable); `params` that is no
    /// object; a method beside `result` or `error`, or both of these.
    ///
    /// # Errors
    /// The first flaw, with its place. A flaw in the JSON itself outranks one in its meaning.
    pub fn scan(bytes: &[u8], limits: &ScanLimits) -> Result<Self, ScanError> {
        scan::scan(bytes, limits)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The method of a request or notification, escapes decoded.
    pub fn method<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a str> {
        if let Some(method) = &self.decoded_method {
            return Some(method);
        }
        std::str::from_utf8(self.parts.method.inner(bytes)?).ok()
    }

    /// Whether this is its method.
    pub fn is_method(&self, bytes: &[u8], name: &str) -> bool {
        match &self.decoded_method {
            Some(method) => **method == *name,
            None => self.parts.method.inner(bytes) == Some(name.as_bytes()),
        }
    }

    pub fn method_range(&self) -> Option<Range<usize>> {
        self.parts.method.range()
    }

    /// The id as it was spelled, quotes included. Absent in notifications and in errors without one.
    pub fn id<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.parts.id.of(bytes)
    }

    pub fn id_range(&self) -> Option<Range<usize>> {
        self.parts.id.range()
    }

    /// `params`, if it is an object.
    pub fn params_range(&self) -> Option<Range<usize>> {
        self.parts.params.range()
    }

    pub fn result_range(&self) -> Option<Range<usize>> {
        self.parts.result.range()
    }

    /// `error`, always an object.
    pub fn error_range(&self) -> Option<Range<usize>> {
        self.parts.error.range()
    }

    /// `params._meta`, if it is an object.
    pub fn meta_range(&self) -> Option<Range<usize>> {
        self.parts.meta.range()
    }

    /// `result._meta`, if it is an object.
    pub fn result_meta_range(&self) -> Option<Range<usize>> {
        self.parts.result_meta.range()
    }

    /// `result.resultType`, if it is a string.
    pub fn result_type<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
        json::text(self.parts.result_type.of(bytes)?)
    }

    /// The progress token as it was spelled: `params._meta.progressToken`, and in
    /// `notifications/progress` `params.progressToken`. Only strings and numbers count.
    pub fn progress_token<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.parts.progress_token.of(bytes)
    }

    pub fn progress_token_range(&self) -> Option<Range<usize>> {
        self.parts.progress_token.range()
    }

    /// What the request is about: the tool or prompt name, the resource URI or the task id.
    /// See [`crate::methods::target_member`].
    pub fn target<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
        json::text(self.parts.target.of(bytes)?)
    }

    pub fn target_range(&self) -> Option<Range<usize>> {
        self.parts.target.range()
    }

    /// `params.arguments`, if it is an object.
    pub fn arguments_range(&self) -> Option<Range<usize>> {
        self.parts.arguments.range()
    }

    /// Where `params.requestState` stands, whatever its type.
    pub fn request_state_range(&self) -> Option<Range<usize>> {
        self.parts.request_state.range()
    }

    /// The revision named in `params._meta`, if it is a string.
    pub fn protocol_version<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
        json::text(self.parts.protocol_version.of(bytes)?)
    }

    /// Where the revision in `params._meta` stands, whatever its type.
    pub fn protocol_version_range(&self) -> Option<Range<usize>> {
        self.parts.protocol_version.range()
    }

    /// Where the client capabilities in `params._meta` stand, whatever their type.
    pub fn client_capabilities_range(&self) -> Option<Range<usize>> {
        self.parts.client_capabilities.range()
    }

    /// Where the client info in `params._meta` stands, whatever its type.
    pub fn client_info_range(&self) -> Option<Range<usize>> {
        self.parts.client_info.range()
    }

    /// Whether the client's info is an object with the strings `name` and `version`.
    pub fn names_client(&self) -> bool {
        self.names_client
    }

    /// The log level in `params._meta`, if it is a string.
    pub fn log_level<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
        json::text(self.parts.log_level.of(bytes)?)
    }

    /// Where the log level in `params._meta` stands, whatever its type.
    pub fn log_level_range(&self) -> Option<Range<usize>> {
        self.parts.log_level.range()
    }

    /// `params.requestId` as it was spelled: the request that `notifications/cancelled` is about.
    pub fn request_id_param<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.parts.request_id.of(bytes)
    }

    pub fn request_id_param_range(&self) -> Option<Range<usize>> {
        self.parts.request_id.range()
    }

    /// Where the subscription id in `params._meta` or `result._meta` stands.
    pub fn subscription_id_range(&self) -> Option<Range<usize>> {
        self.parts.subscription_id.range()
    }

    /// A `\n` or `\r` stands between two tokens: a pipe cannot carry the bytes as they are.
    pub fn has_raw_newline(&self) -> bool {
        self.raw_newline
    }

    /// `error.code`, if it is an integer.
    pub fn error_code(&self) -> Option<i64> {
        self.error_code
    }
}
