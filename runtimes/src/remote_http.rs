//! `remote-http`: an MCP server behind Streamable HTTP, of any revision.
//!
//! The node streams bytes through to such a server where it can ([`Runtime::http`]). The connections
//! made here are for the rest: clients of other transports, probes, status. Each message decides its
//! own era: with a modern envelope it is a request of its own; otherwise it belongs to the session that
//! the connection's `initialize` opened. A session that the server forgets is opened anew (`healing`).

mod connection;
mod exchange;
mod healing;
mod listen;
mod mirrored;
mod session;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{BackendConnection, GatewayError, HttpUpstream, Runtime, RuntimeContext, RuntimeType};
use schemars::JsonSchema;
use serde::Deserialize;

use self::connection::HttpConnection;
use self::mirrored::Mirrored;
use self::session::Session;
use crate::http_client::HttpClient;
use crate::http_endpoint::HttpEndpoint;
use crate::settings::{MessageLen, Millis};

/// An MCP server behind Streamable HTTP, of any revision.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteHttpSettings {
    /// URL of the MCP endpoint, http:// or https://, usually ending in /mcp. May hold references.
    #[schemars(length(max = 4096), regex(pattern = r"^(https?://|\$\{)"))]
    pub url: String,
    /// Headers sent with every request, for instance `Authorization`. Values may hold references.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Time for name look-up, TCP and TLS together, milliseconds. Default 5000.
    #[serde(default)]
    pub connect_timeout_ms: Millis<5_000>,
    /// Time for one call, and the longest silence on its stream, milliseconds. Default 300000.
    #[serde(default)]
    pub call_timeout_ms: Millis<300_000>,
    /// Time for the server to accept a notification or an answer, milliseconds. Default 30000.
    #[serde(default)]
    pub write_timeout_ms: Millis<30_000>,
    /// Longest message the server may send, bytes. Default 16777216 (16 MiB).
    #[serde(default)]
    pub message_len_max: MessageLen,
}

/// The type `remote-http`.
#[derive(Debug)]
pub struct RemoteHttp;

impl RuntimeType for RemoteHttp {
    const NAME: &'static str = "remote-http";
    type Settings = RemoteHttpSettings;

    fn create(
        &self,
        settings: RemoteHttpSettings,
        _: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        let endpoint = HttpEndpoint::new(&settings.url, &settings.headers)?;
        let connect_timeout = settings.connect_timeout_ms.duration();
        let limits = session::Limits {
            call_timeout: settings.call_timeout_ms.duration(),
            write_timeout: settings.write_timeout_ms.duration(),
            message_len_max: settings.message_len_max.bytes(),
        };
        let headers = settings.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let upstream = HttpUpstream { url: settings.url, headers: headers.collect(), connect_timeout };
        let client = HttpClient::new(connect_timeout);
        Ok(Box::new(RemoteHttpRuntime { client, endpoint, upstream, limits, mirrored: Arc::default() }))
    }
}

struct RemoteHttpRuntime {
    client: HttpClient,
    endpoint: HttpEndpoint,
    upstream: HttpUpstream,
    limits: session::Limits,
    mirrored: Arc<Mirrored>,
}

#[async_trait]
impl Runtime for RemoteHttpRuntime {
    /// Dials nothing: every message is a request of its own.
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let session =
            Session::new(self.client.clone(), self.endpoint.clone(), self.limits, Arc::clone(&self.mirrored));
        Ok(Box::new(HttpConnection::new(Arc::new(session))))
    }

    fn http(&self) -> Option<&HttpUpstream> {
        Some(&self.upstream)
    }

    fn call_timeout(&self) -> Duration {
        self.limits.call_timeout
    }
}

#[cfg(test)]
mod tests;
