//! `rust-lines`: an MCP server that speaks newline JSON on a TCP port.

use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{BackendConnection, GatewayError, McpMessage, Runtime, RuntimeContext, RuntimeType};
use omcp_runtimes::lines::{LineConnection, LineLimits};
use omcp_runtimes::settings::Millis;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// An MCP server that speaks newline JSON on a TCP port.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it listens, HOST:PORT.
    #[schemars(regex(pattern = r"^.+:[0-9]+$"))]
    endpoint: String,
    /// Time to connect, milliseconds. Default 5000.
    #[serde(default)]
    connect_timeout_ms: Millis<5_000>,
}

pub struct RustLines;

impl RuntimeType for RustLines {
    const NAME: &'static str = "rust-lines";
    type Settings = Settings;

    fn create(&self, settings: Settings, _: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
        Ok(Box::new(Lines { endpoint: settings.endpoint, wait: settings.connect_timeout_ms.duration() }))
    }
}

struct Lines {
    endpoint: String,
    wait: Duration,
}

#[async_trait]
impl Runtime for Lines {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let endpoint = self.endpoint.clone();
        let stream = match timeout(self.wait, TcpStream::connect(&endpoint)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(GatewayError::unreachable(format!("no server at {endpoint}")).with_source(error));
            }
            Err(_) => {
                let ms = self.wait.as_millis();
                return Err(GatewayError::timeout(format!("no connection to {endpoint} in {ms} ms")));
            }
        };
        let (reader, writer) = stream.into_split();
        let lines = LineConnection::new(reader, writer, LineLimits::default());
        Ok(Box::new(Connection { endpoint, lines: Some(lines) }))
    }
}

struct Connection {
    endpoint: String,
    /// `None` once it has ended.
    lines: Option<LineConnection<OwnedReadHalf, OwnedWriteHalf>>,
}

impl Connection {
    fn ended(&self) -> GatewayError {
        GatewayError::closed(format!("{} closed the connection", self.endpoint))
    }
}

#[async_trait]
impl BackendConnection for Connection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        match &mut self.lines {
            Some(lines) => lines.send(&message).await,
            None => Err(self.ended()),
        }
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        match lines.recv().await {
            Ok(Some(message)) => Ok(Some(message)),
            // A server has no reason to hang up first.
            Ok(None) => {
                self.lines = None;
                Err(self.ended())
            }
            Err(error) => {
                self.lines = None;
                Err(error)
            }
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        match self.lines.take() {
            Some(mut lines) => lines.close_write().await,
            None => Ok(()),
        }
    }
}
