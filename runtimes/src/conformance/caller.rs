//! [`Caller`]: one connection, used as a node uses it.

use std::time::Duration;

use futures_util::FutureExt;
use omcp_core::{BackendConnection, ErrorKind, GatewayError, McpMessage};
use serde_json::{Value, json};
use tokio::time::timeout;

/// For anything that has to happen: long, because a busy machine is no fault of the runtime.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Caller {
    pub connection: Box<dyn BackendConnection>,
    /// What it most likely means, as far as the check knows, if nothing happens any more.
    pub silence_means: &'static str,
    next_id: u64,
}

impl Caller {
    pub fn new(connection: Box<dyn BackendConnection>) -> Self {
        Self { connection, silence_means: "", next_id: 1 }
    }

    /// The handshake, which belongs to whoever uses the connection.
    pub async fn initialize(&mut self) -> Result<(), String> {
        let client = json!({ "name": "omcp-kit", "version": env!("CARGO_PKG_VERSION") });
        let params =
            json!({ "protocolVersion": "2025-11-25", "capabilities": { "roots": {} }, "clientInfo": client });
        let answer = self.call("initialize", params).await?;
        if answer["result"]["protocolVersion"] != "2025-11-25" {
            return Err(format!("the answer to initialize is {answer}"));
        }
        self.notify("notifications/initialized", json!({})).await
    }

    /// The next id of a request.
    pub fn mint(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Sends a request and returns its id.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<u64, String> {
        let id = self.mint();
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        Ok(id)
    }

    pub async fn notify(&mut self, method: &str, params: Value) -> Result<(), String> {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await
    }

    pub async fn send(&mut self, message: &Value) -> Result<(), String> {
        let message = McpMessage::parse(message.to_string().into())
            .map_err(|error| format!("the kit wrote no message: {error}"))?;
        let sent = timeout(PATIENCE, self.connection.send(message)).await;
        sent.map_err(|_| self.late("send"))?.map_err(|error| match error.kind() {
            ErrorKind::Timeout => format!("send failed: {}{}", error.chain(), self.silence_means),
            _ => format!("send failed: {}", error.chain()),
        })
    }

    /// The next message as it came, or how there is none.
    pub async fn hear(&mut self) -> Result<Result<Option<McpMessage>, GatewayError>, String> {
        timeout(PATIENCE, self.connection.recv()).await.map_err(|_| self.late("recv"))
    }

    /// The next message.
    pub async fn next(&mut self) -> Result<Value, String> {
        match self.hear().await? {
            Ok(Some(message)) => decode(&message),
            Ok(None) => Err("recv gave None: the connection ended".to_owned()),
            Err(error) => Err(format!("recv failed: {}", error.chain())),
        }
    }

    /// A message that is there already. The future of `recv` is dropped otherwise, as its owner does
    /// whenever something else is to be done.
    pub fn next_now(&mut self) -> Result<Option<Value>, String> {
        match self.connection.recv().now_or_never() {
            None => Ok(None),
            Some(Ok(Some(message))) => decode(&message).map(Some),
            Some(Ok(None)) => Err("recv gave None: the connection ended".to_owned()),
            Some(Err(error)) => Err(format!("recv failed: {}", error.chain())),
        }
    }

    /// A request and its answer, with nothing in between.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.ask(method, params).await?;
        let answer = self.next().await?;
        if answer["id"] != id {
            return Err(format!("the answer to {method} is {}", quote(&answer)));
        }
        Ok(answer)
    }

    pub async fn close(&mut self) -> Result<(), String> {
        let closed = timeout(PATIENCE, self.connection.close()).await;
        closed.map_err(|_| self.late("close"))?.map_err(|error| format!("close failed: {}", error.chain()))
    }

    fn late(&self, what: &str) -> String {
        format!("{what} did not return within {} s{}", PATIENCE.as_secs(), self.silence_means)
    }
}

fn decode(message: &McpMessage) -> Result<Value, String> {
    serde_json::from_slice(message.bytes()).map_err(|error| format!("recv gave no JSON: {error}"))
}

/// The beginning of a message, for a report.
pub fn quote(message: &Value) -> String {
    let text = message.to_string();
    text.chars().take(200).collect()
}
