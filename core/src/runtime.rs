//! [`Runtime`] and [`BackendConnection`]: how a node reaches a backend.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::BackendName;
use crate::error::GatewayError;
use crate::message::McpMessage;
use crate::node::NodeIdentity;

/// A way to reach one backend, built from its settings on a node.
///
/// # Life
///
/// [`RuntimeType::create`](crate::RuntimeType::create) builds it without I/O, once per definition; a changed
/// definition is a new runtime beside the old. It lives until the last connection of its definition has
/// ended. [`Runtime::connect`] is called from several tasks at the same time and as often as a node needs
/// connections: one for the probe that finds out what the backend speaks, one that all stateless clients
/// share, and one per session of a client with a handshake. What one connection does must not be felt by
/// another.
///
/// # Trying again
///
/// A failed `connect` is reported, not repeated: the node tries again, with a jittered backoff that is
/// the same for every backend, and at most few `connect`s run at once. A runtime may repeat what costs
/// a moment (a refused dial while a server restarts), never for longer than a second or so, and never a
/// message.
///
/// # Errors
///
/// The kind of a [`GatewayError`] decides whose fault it is ([`GatewayError::fault`]) and whether the same
/// attempt may succeed later with the same definition ([`GatewayError::retryable`]):
///
/// | kind | say it when | fault | retryable |
/// | --- | --- | --- | --- |
/// | `InvalidSettings` | `create` finds settings that cannot work; names the field | backend | no |
/// | `Unreachable` | no process, no socket, no name: the peer was not reached, and has executed nothing | backend | yes |
/// | `Timeout` | a deadline of the settings passed; names the time, and the setting where it helps | backend | yes |
/// | `Auth` | the peer refused our credentials, which may be renewed elsewhere | backend | yes |
/// | `Closed` | the peer went away after it was reached; what it was asked may have been executed | backend | yes |
/// | `Protocol` | the peer sent what its protocol does not allow | backend | no |
/// | `Unsupported` | the peer cannot do what was asked | backend | no |
/// | `Limit` | a bound of this node was hit | gateway | yes |
/// | `Internal` | a defect of the runtime | gateway | no |
///
/// A call that was sent is never sent again by the node, whatever the kind: it may have been executed.
///
/// The text is one lowercase fragment: what was attempted, on which peer (host, path, program), and
/// where there is something to do about it, what. The cause goes into `source` and is not repeated.
/// Neither holds a resolved secret, an argument, or what the peer said: those may be secrets.
///
/// A panic in a runtime ends that connection and nothing else, as an `Internal` error.
///
/// # Proof
///
/// `omcp_runtimes::conformance` checks everything that is said here and at [`BackendConnection`], from
/// a test of the runtime's own crate.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Opens one connection: starts the process, dials the socket, prepares the HTTP client.
    ///
    /// It returns when messages can be sent. A handshake of the transport (TLS, a token) belongs here; an
    /// MCP message does not, for the MCP handshake is the business of whoever uses the connection.
    ///
    /// Every wait has a deadline from the settings, and all of them together end within a minute, which
    /// is when the node gives up. The future may be dropped at any point; what it has begun ends with it.
    ///
    /// # Errors
    /// `Unreachable`, `Timeout`, `Auth`, `Closed`, `Protocol` or `Limit`, as the table says.
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError>;

    /// The address of the HTTP endpoint this runtime fronts, if it is one that speaks Streamable
    /// HTTP: the node then streams bytes through to it without decoding them, and uses connections for
    /// probes and for clients of other transports only.
    fn http(&self) -> Option<&HttpUpstream> {
        None
    }

    /// How long a call may be silent before the node gives up on it, answers with a time-out and tells
    /// the peer with `notifications/cancelled`. The node keeps this time; a connection need not.
    fn call_timeout(&self) -> Duration {
        CALL_TIMEOUT
    }

    /// Whether peers can do no more than answer, as functions do: neither requests nor notifications of theirs
    /// reach the node. Of a backend of both eras, the node then speaks the stateless one with all clients, because
    /// there a question to the client is a part of an answer (2026-07-28, multi round-trip requests).
    fn only_answers(&self) -> bool {
        false
    }
}

/// Default of [`Runtime::call_timeout`]: tools such as builds and searches do take minutes.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// One live conversation with a backend, message by message.
///
/// It carries messages and gives them no meaning: any kind of message may go in either direction at any
/// time, ids and progress tokens are opaque, and bytes arrive as they were sent.
///
/// # Owner
///
/// One task owns it and calls one method at a time. It polls `recv` whenever it has nothing else to do,
/// and drops the future of `recv` as soon as it has; it then sends up to some dozens of messages in a row
/// before it polls `recv` again. So a connection needs no task of its own: it may do all its work, writing
/// included, while it is polled in `recv`.
///
/// # Order
///
/// The peer gets messages in the order of `send`, and `recv` gives what the peer sends in its order. Where
/// requests travel apart from each other (HTTP, invocations), they may overtake each other, but a
/// notification or an answer has arrived before anything that was sent after it. Answers come in any
/// order, and one may still come for a call that was cancelled meanwhile.
///
/// # Cancel safety
///
/// A dropped `recv` loses nothing: no message, and no half of one that was read. `send` and `close` are
/// awaited to their end as a rule; a dropped `send` may or may not have sent its message, but never half
/// of it.
///
/// # Back-pressure
///
/// `send` returns when a bounded buffer has taken the message, not when the peer has read it. While that
/// buffer is full it waits, with a deadline; meanwhile the connection goes on reading, within a bound,
/// because a peer whose own output is stuck reads nothing. A connection whose owner does not call `recv`
/// reads no more than that bound: the peer is slowed down, memory is not used up.
///
/// # Silence and death
///
/// A peer may be silent for hours, so `recv` has no deadline. But when the peer is gone, `recv` says so at
/// once (a process ended, a socket was closed), or within a bound from the settings where only its silence
/// tells (keep-alive). Calls in flight are answered by the node as soon as `recv` fails.
///
/// # The end
///
/// `Ok(None)` from `recv` means "no more, ever". It comes after [`BackendConnection::close`], and on
/// every later `recv`. An end that the owner did not ask for is an `Err` first, which says how it came
/// about (exit status, reset, an overlong line), so that callers in flight learn it. After an `Err` or
/// `None` of `recv`, or an `Err` of `send`, the owner calls `close` and nothing else.
///
/// A transport whose calls fail one by one (HTTP, invocations) has another way: the failed call gets a
/// JSON-RPC error with its id, code -32603 and `data.reason` of [`GatewayError::code`], and the connection
/// goes on.
///
/// # What is no message
///
/// A frame that is no JSON-RPC message is never delivered. Where the next one can be found, as after a
/// line, it is skipped and logged at debug level, for many servers print banners; else it is a `Protocol`
/// error. So is a message longer than the bound in the settings.
#[async_trait]
pub trait BackendConnection: Send {
    /// Hands one message to the connection. It may leave with the next poll of `recv`.
    ///
    /// # Errors
    /// `Closed`: the peer takes no more. `Timeout`: it took nothing for the time that the settings allow.
    /// The connection is of no more use; what the peer said before can still be received.
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError>;

    /// Waits for the next message of the peer. Cancel safe.
    ///
    /// # Errors
    /// `Closed`, `Timeout` or `Protocol`: the connection ended, and how. Later calls give `Ok(None)`.
    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError>;

    /// Ends the connection in good order, within a bound, and by force after it. Returns when the peer is
    /// gone: a process has been reaped, a socket is closed, a container is removed. It may come at any
    /// time, with calls in flight, and more than once; then `send` fails and `recv` gives `None`.
    ///
    /// A connection that is dropped without it ends too, only less politely: no process may outlive it.
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
    pub node: NodeIdentity,
}

impl fmt::Debug for RuntimeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeContext").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// Takes the lines that a backend's process writes to its standard error, and its end. Must not block.
pub trait StderrSink: Send + Sync {
    fn line(&self, line: &[u8]);

    /// A process has ended that nobody asked to: how, and what it took. It comes after the last line.
    fn ended(&self, how: &str) {
        self.line(format!("[{how}]").as_bytes());
    }
}

/// Drops every line.
#[derive(Debug)]
pub struct NoStderr;

impl StderrSink for NoStderr {
    fn line(&self, _line: &[u8]) {}
}
