//! [`Runtime`] and [`BackendConnection`]: how a node reaches a backend.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::BackendName;
use crate::error::GatewayError;
use crate::message::McpMessage;

/// A way to reach one backend, built from its settings on a node.
///
/// Building one does no I/O; [`Runtime::connect`] does. One runtime may be asked for many
/// connections, at the same time and over its whole life.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Opens one connection: starts the process, dials the socket, prepares the HTTP client.
    ///
    /// No MCP message is sent: the handshake belongs to whoever uses the connection. Every wait
    /// inside has its own deadline from the settings.
    ///
    /// # Errors
    /// `Unreachable`, `Timeout`, `Auth` or `InvalidSettings`. The text names what was attempted.
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError>;

    /// The address of the HTTP endpoint this runtime fronts, if it is one that speaks Streamable
    /// HTTP: the node then streams bytes through to it without decoding them.
    fn http(&self) -> Option<&HttpUpstream> {
        None
    }

    /// How long one call may take before the node gives up on it and answers with a time-out.
    fn call_timeout(&self) -> Duration {
        CALL_TIMEOUT
    }
}

/// Default of [`Runtime::call_timeout`]: tools such as builds and searches do take minutes.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// One live conversation with a backend, message by message.
///
/// It is owned by one task that calls `recv` again and again and `send` in between.
///
/// - **Order** is kept in each direction.
/// - **Cancel safety**: the owner drops the future of `recv` whenever something else is to be done.
///   No message may be lost by that. `send` is awaited to its end.
/// - **Back-pressure**: `send` returns once the message is accepted by a bounded buffer, not when
///   the peer has read it; it waits, with a deadline, while that buffer is full. A connection may
///   write its buffer while it is polled in `recv`.
/// - **The end**: `Ok(None)` from `recv` means "no more, ever". After an error or `None` the owner
///   calls `close`.
#[async_trait]
pub trait BackendConnection: Send {
    /// Hands one message to the connection.
    ///
    /// # Errors
    /// `Closed` or `Timeout`: the connection is of no more use.
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError>;

    /// Waits for the next message of the peer. Cancel safe.
    ///
    /// # Errors
    /// The connection broke; the text says how (exit status, reset, overlong line).
    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError>;

    /// Ends the connection and returns when the peer is gone. May be called twice.
    ///
    /// # Errors
    /// The peer could not be ended cleanly; it is gone or given up all the same.
    async fn close(&mut self) -> Result<(), GatewayError>;

    /// The process that serves this connection, if it is one of this machine.
    fn pid(&self) -> Option<u32> {
        None
    }
}

/// The endpoint of a backend that speaks Streamable HTTP. Holds resolved secrets: never logged.
#[derive(Clone)]
pub struct HttpUpstream {
    /// Absolute `http://` or `https://` URL of the endpoint.
    pub url: String,
    /// Headers added to every request, lower-case names.
    pub headers: Vec<(String, String)>,
    /// Deadline for TCP and TLS.
    pub connect_timeout: Duration,
}

impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpUpstream").field("connect_timeout", &self.connect_timeout).finish_non_exhaustive()
    }
}

/// What a node lends to the runtime it builds.
#[derive(Clone)]
pub struct RuntimeContext {
    pub backend: BackendName,
    /// The backend's own environment, references resolved. Holds secrets: never logged.
    pub env: BTreeMap<String, String>,
    /// Where the diagnostic output of a process goes.
    pub stderr: Arc<dyn StderrSink>,
}

impl fmt::Debug for RuntimeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeContext").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// Takes the lines that a backend's process writes to its standard error. Must not block.
pub trait StderrSink: Send + Sync {
    fn line(&self, line: &[u8]);
}

/// Drops every line.
#[derive(Debug)]
pub struct NoStderr;

impl StderrSink for NoStderr {
    fn line(&self, _line: &[u8]) {}
}
