//! [`GatewayError`]: what failed, whose fault it is, and whether to try again.

use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What kind of thing went wrong. Decides fault, code and retry, so that no caller has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings of a backend cannot be used. Trying again changes nothing.
    InvalidSettings,
    /// A `${NAME}` of the settings has no value on this node.
    MissingReference,
    /// No runtime type of this name is offered here.
    UnknownRuntime,
    /// The peer could not be reached or started.
    Unreachable,
    /// A named deadline passed.
    Timeout,
    /// The peer went away; whether a call in flight was executed is unknown.
    Closed,
    /// The peer refused our credentials.
    Auth,
    /// The peer sent something that its protocol does not allow.
    Protocol,
    /// A named bound was hit; later it may not be.
    Limit,
    /// The peer cannot do what was asked (for example an era it does not speak).
    Unsupported,
    /// The client sent something unusable.
    Client,
    /// A defect of the gateway.
    Internal,
}

/// Whom an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Client,
    Backend,
    Gateway,
}

/// An error with its context. `Display` is one lowercase fragment that never holds a secret;
/// the cause, if any, is its `source` and is not repeated.
#[derive(Debug)]
pub struct GatewayError {
    kind: ErrorKind,
    context: String,
    source: Option<Source>,
}

impl GatewayError {
    // Cold: what leads here is laid out beside the way of calls that succeed.
    #[cold]
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn invalid_settings(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidSettings, context)
    }

    pub fn unreachable(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, context)
    }

    pub fn timeout(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, context)
    }

    pub fn closed(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Closed, context)
    }

    pub fn protocol(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, context)
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn fault(&self) -> Fault {
        match self.kind {
            ErrorKind::Client => Fault::Client,
            ErrorKind::Internal | ErrorKind::Limit => Fault::Gateway,
            _ => Fault::Backend,
        }
    }

    /// Whether the same attempt may succeed later without anybody changing the definition.
    pub fn retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unreachable
                | ErrorKind::Timeout
                | ErrorKind::Closed
                | ErrorKind::Limit
                | ErrorKind::Auth
        )
    }

    /// The stable word that clients and status see as `reason`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::InvalidSettings => "invalid_settings",
            ErrorKind::MissingReference => "missing_reference",
            ErrorKind::UnknownRuntime => "unknown_runtime",
            ErrorKind::Unreachable => "upstream_unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Closed => "stream_lost",
            ErrorKind::Auth => "upstream_auth",
            ErrorKind::Protocol => "protocol_violation",
            ErrorKind::Limit => "lane_unavailable",
            ErrorKind::Unsupported => "era_mismatch",
            ErrorKind::Client => "invalid_request",
            ErrorKind::Internal => "internal",
        }
    }

    /// The whole chain in one line, for status and logs.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        line
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
