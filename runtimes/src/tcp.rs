//! `tcp`: an MCP server behind a TCP or Unix socket, one JSON-RPC message per line.
//!
//! Every connection is a socket of its own. It is set up in this order, each step with a deadline:
//!
//! 1. **Dial.** TCP (`host:port`) or a Unix socket (`unix:/path`). A peer that restarts refuses
//!    connections for a moment, so a refused one is tried again for `reconnect_timeout_ms`, with jittered
//!    pauses. Everything beyond that moment is the node's: it tries every backend again, with a backoff
//!    that all runtimes share.
//! 2. **TLS**, if `tls` says so.
//! 3. **Token**, if there is an `auth_token`. The first line we send is
//!    `{"jsonrpc":"2.0","id":"omcp/authenticate","method":"omcp/authenticate","params":{"token":"TOKEN"}}`.
//!    The server accepts with a response of the same id, whatever its result:
//!    `{"jsonrpc":"2.0","id":"omcp/authenticate","result":{}}`. Any other message, such as an error, and
//!    the end of the stream are refusals. Nothing else is sent before the answer.
//!
//! Then it carries MCP. When the peer ends, its kernel says so and calls in flight fail at once; when its
//! machine or the network is gone, nobody says so, and TCP keep-alive finds out within
//! `keep_alive_timeout_ms`.
//!
//! In reading order: `endpoint`, `dial`, `tls`, `handshake`, `connection`.

mod connection;
mod dial;
mod endpoint;
mod handshake;
#[cfg(test)]
mod tests;
mod tls;

use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{BackendConnection, GatewayError, Runtime, RuntimeContext, RuntimeType};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::split;

use self::connection::SocketConnection;
use self::dial::Dialer;
use self::endpoint::Endpoint;
pub use self::tls::{Tls, TlsSettings};
use crate::lines::{LineConnection, LineLimits};
use crate::settings::{MILLIS_MAX, MessageLen, Millis};

/// Shortest time in which a dead peer is found: the kernel counts in seconds, and asks three times.
const KEEP_ALIVE_TIMEOUT_MIN_MS: u64 = 6_000;
const KEEP_ALIVE_TIMEOUT_DEFAULT_MS: u64 = 30_000;

/// An MCP server behind a TCP or Unix socket, one JSON-RPC message per line.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpSettings {
    /// Where the server listens: `host:port`, or `unix:/path` for a Unix socket on the node's machine.
    /// May hold references.
    #[schemars(length(max = 4096), regex(pattern = r"^(unix:/.+|[^/@]+:[0-9]{1,5}|.*\$\{.+)$"))]
    pub endpoint: String,
    /// TLS: `true` for a server with a certificate of a public authority, or an object for a private one.
    /// Not for Unix sockets. Default false.
    #[serde(default)]
    pub tls: Tls,
    /// Token shown to the server before anything else, as `omcp/authenticate`. Better a reference than the
    /// token itself. Default: nothing is shown.
    #[serde(default)]
    #[schemars(length(min = 1, max = 65536))]
    pub auth_token: Option<String>,
    /// Time for name look-up, TCP and TLS together, milliseconds. Default 5000.
    #[serde(default)]
    pub connect_timeout_ms: Millis<5_000>,
    /// Time for the server to answer to `auth_token`, milliseconds. Default 10000.
    #[serde(default)]
    pub handshake_timeout_ms: Millis<10_000>,
    /// Time for which a refused connection is tried again, because its server may be restarting,
    /// milliseconds; part of `connect_timeout_ms`. Default 1000.
    #[serde(default)]
    pub reconnect_timeout_ms: Millis<1_000>,
    /// Time for one call, milliseconds. Default 300000.
    #[serde(default)]
    pub call_timeout_ms: Millis<300_000>,
    /// Time the server may leave its input unread once 1 MiB is queued, milliseconds. Default 30000.
    #[serde(default)]
    pub write_timeout_ms: Millis<30_000>,
    /// Time after which a server whose machine does not answer any more is given up, milliseconds, at least
    /// 6000. Not for Unix sockets. Default 30000.
    #[serde(default = "keep_alive_timeout_ms")]
    #[schemars(range(min = KEEP_ALIVE_TIMEOUT_MIN_MS, max = MILLIS_MAX))]
    pub keep_alive_timeout_ms: u64,
    /// Longest line, that is message, the server may send, bytes. Default 16777216 (16 MiB).
    #[serde(default)]
    pub line_len_max: MessageLen,
}

fn keep_alive_timeout_ms() -> u64 {
    KEEP_ALIVE_TIMEOUT_DEFAULT_MS
}

/// The type `tcp`.
#[derive(Debug)]
pub struct Tcp;

impl RuntimeType for Tcp {
    const NAME: &'static str = "tcp";
    type Settings = TcpSettings;

    fn create(&self, settings: TcpSettings, _: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
        check(&settings)?;
        let endpoint = Endpoint::parse(&settings.endpoint)?;
        let dialer = Dialer {
            tls: tls::client(&settings.tls, &endpoint)?,
            endpoint,
            connect_timeout: settings.connect_timeout_ms.duration(),
            reconnect_timeout: settings.reconnect_timeout_ms.duration(),
            keep_alive_timeout: Duration::from_millis(settings.keep_alive_timeout_ms),
        };
        Ok(Box::new(TcpRuntime { dialer, settings }))
    }
}

fn check(settings: &TcpSettings) -> Result<(), GatewayError> {
    if !(KEEP_ALIVE_TIMEOUT_MIN_MS..=MILLIS_MAX).contains(&settings.keep_alive_timeout_ms) {
        let text = format!(
            "keep_alive_timeout_ms: has to be between {KEEP_ALIVE_TIMEOUT_MIN_MS} and {MILLIS_MAX} milliseconds"
        );
        return Err(GatewayError::invalid_settings(text));
    }
    match settings.auth_token.as_deref() {
        Some("") => Err(GatewayError::invalid_settings("auth_token: is empty; leave it out for none")),
        _ => Ok(()),
    }
}

struct TcpRuntime {
    dialer: Dialer,
    settings: TcpSettings,
}

#[async_trait]
impl Runtime for TcpRuntime {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let (reader, writer) = split(self.dialer.dial().await?);
        let limits = LineLimits {
            line_len_max: self.settings.line_len_max.bytes(),
            write_timeout: self.settings.write_timeout_ms.duration(),
            ..LineLimits::default()
        };
        let mut lines = LineConnection::new(reader, writer, limits);
        let peer = self.dialer.endpoint.to_string();
        if let Some(token) = &self.settings.auth_token {
            let wait = self.settings.handshake_timeout_ms.duration();
            handshake::authenticate(&mut lines, token, &peer, wait).await?;
        }
        Ok(Box::new(SocketConnection::new(lines, peer)))
    }

    fn call_timeout(&self) -> Duration {
        self.settings.call_timeout_ms.duration()
    }
}
