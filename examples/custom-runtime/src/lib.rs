//! `my-custom-runtime`: an MCP server that speaks newline JSON over TCP, behind a token.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{
    BackendConnection, ErrorKind, GatewayError, McpMessage, Runtime, RuntimeContext, RuntimeType,
};
use omcp_runtimes::lines::{LineConnection, LineLimits};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// An MCP server that speaks newline JSON over TCP.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MyCustomSettings {
    /// Where the server listens: `host:port`.
    pub endpoint: String,
    /// Shown to the server before anything else. Write a reference: `${NAME}`.
    #[serde(default)]
    pub auth_token: Option<String>,
    /// Time to connect, and for one call, seconds. Default 30.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: u64,
    /// Told to the server along with the token.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

fn default_timeout_seconds() -> u64 {
    30
}

/// The type `my-custom-runtime`.
pub struct MyCustomRuntime;

impl RuntimeType for MyCustomRuntime {
    const NAME: &'static str = "my-custom-runtime";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Settings = MyCustomSettings;

    fn create(
        &self,
        settings: MyCustomSettings,
        _context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        if !settings.endpoint.contains(':') {
            return Err(GatewayError::invalid_settings("endpoint: write host:port"));
        }
        if !(1..=3600).contains(&settings.timeout_seconds) {
            return Err(GatewayError::invalid_settings("timeout_seconds: has to be 1 to 3600"));
        }
        Ok(Box::new(MyCustom { settings }))
    }
}

struct MyCustom {
    settings: MyCustomSettings,
}

#[async_trait]
impl Runtime for MyCustom {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        match timeout(self.call_timeout(), self.open()).await {
            Ok(opened) => Ok(Box::new(opened?)),
            Err(_) => {
                let seconds = self.settings.timeout_seconds;
                Err(GatewayError::timeout(format!("the server was not reached in {seconds} s")))
            }
        }
    }

    fn call_timeout(&self) -> Duration {
        Duration::from_secs(self.settings.timeout_seconds)
    }
}

impl MyCustom {
    async fn open(&self) -> Result<MyCustomConnection, GatewayError> {
        let endpoint = &self.settings.endpoint;
        let unreachable =
            |error| GatewayError::unreachable(format!("cannot connect to {endpoint}")).with_source(error);
        let stream = TcpStream::connect(endpoint).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let (reader, writer) = stream.into_split();
        let mut lines = LineConnection::new(reader, writer, LineLimits::default());
        authenticate(&mut lines, &self.settings).await?;
        Ok(MyCustomConnection { lines: Some(lines) })
    }
}

type Lines = LineConnection<OwnedReadHalf, OwnedWriteHalf>;

/// Shows the token, if there is one, and waits until the server takes it.
async fn authenticate(lines: &mut Lines, settings: &MyCustomSettings) -> Result<(), GatewayError> {
    let Some(token) = &settings.auth_token else { return Ok(()) };
    let params = json!({ "token": token, "options": settings.options });
    let request = json!({ "jsonrpc": "2.0", "id": "auth", "method": "omcp/authenticate", "params": params });
    lines.send(&McpMessage::trusted(request.to_string().into())).await?;
    let answer = lines.recv().await?.ok_or_else(|| refused("it hung up"))?;
    let answer: Value = serde_json::from_slice(answer.bytes()).unwrap_or_default();
    match answer.get("result") {
        Some(_) => Ok(()),
        None => Err(refused(answer["error"]["message"].as_str().unwrap_or("it gave no reason"))),
    }
}

fn refused(why: &str) -> GatewayError {
    GatewayError::new(ErrorKind::Auth, format!("the server refused auth_token: {why}"))
}

struct MyCustomConnection {
    /// `None` once it is over.
    lines: Option<Lines>,
}

#[async_trait]
impl BackendConnection for MyCustomConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        match &mut self.lines {
            Some(lines) => lines.send(&message).await,
            None => Err(GatewayError::closed("the connection is closed")),
        }
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        let heard = match lines.recv().await {
            // A server that hangs up leaves calls without an answer: that is an error, and then the end.
            Ok(None) => Err(GatewayError::closed("the server hung up")),
            heard => heard,
        };
        if heard.is_err() {
            self.lines = None;
        }
        heard
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        match self.lines.take() {
            Some(mut lines) => lines.close_write().await,
            None => Ok(()),
        }
    }
}
