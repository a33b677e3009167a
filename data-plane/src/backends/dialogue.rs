//! [`Dialogue`]: questions of the gateway's own over one connection, one at a time.

use std::time::Duration;

use omcp_core::{BackendConnection, ErrorKind, GatewayError, McpMessage};
use omcp_mcp::methods;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::slots::{Opened, Slot};

/// A connection that nobody else uses yet.
pub struct Dialogue {
    connection: Box<dyn BackendConnection>,
    slot: Option<Slot>,
    next_id: u64,
}

/// A JSON-RPC error that came as the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refused {
    pub code: i64,
    pub message: String,
    pub data: Value,
}

impl Refused {
    /// What went wrong on the way, if it was the runtime that wrote this error because the peer did not
    /// answer: it then gives the reason, and the HTTP status if there was one.
    pub fn failure(&self) -> Option<GatewayError> {
        let kind = match self.data["reason"].as_str()? {
            "upstream_unavailable" => ErrorKind::Unreachable,
            "upstream_auth" => ErrorKind::Auth,
            "timeout" => ErrorKind::Timeout,
            "stream_lost" | "session_lost" => ErrorKind::Closed,
            "protocol_violation" => ErrorKind::Protocol,
            _ => return None,
        };
        Some(GatewayError::new(kind, self.message.clone()))
    }

    /// The HTTP status under which it came.
    pub fn status(&self) -> Option<u64> {
        self.data["status"].as_u64()
    }
}

impl Dialogue {
    pub fn new(Opened { connection, slot }: Opened) -> Self {
        // Apart from the ids that a lane mints on the same connection afterwards.
        Self { connection, slot, next_id: 1 << 40 }
    }

    /// Asks, and waits for the answer. Whatever else the peer says meanwhile is refused or dropped.
    ///
    /// # Errors
    /// The connection broke or `deadline` passed. A JSON-RPC error is no error here.
    pub async fn ask(
        &mut self,
        method: &str,
        params: &Value,
        deadline: Duration,
    ) -> Result<Result<Value, Refused>, GatewayError> {
        let answer = self.ask_message(method, &params.to_string(), deadline).await?;
        read(&answer, method)
    }

    /// [`Dialogue::ask`], and the whole answer as it came. `params` is JSON text.
    ///
    /// # Errors
    /// As [`Dialogue::ask`].
    pub async fn ask_message(
        &mut self,
        method: &str,
        params: &str,
        deadline: Duration,
    ) -> Result<McpMessage, GatewayError> {
        let asked = timeout(deadline, self.exchange(method, params)).await;
        asked.unwrap_or_else(|_| {
            Err(GatewayError::timeout(format!("no answer to {method} within {} s", deadline.as_secs())))
        })
    }

    async fn exchange(&mut self, method: &str, params: &str) -> Result<McpMessage, GatewayError> {
        let id = self.next_id;
        self.next_id += 1;
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        self.connection.send(McpMessage::trusted(text.into())).await?;
        let own = id.to_string();
        loop {
            let Some(message) = self.connection.recv().await? else {
                return Err(GatewayError::closed(format!(
                    "the connection ended before an answer to {method}"
                )));
            };
            match message.method() {
                Some(asked) if message.id().is_some() => self.answer(asked, &message).await?,
                None if message.id() == Some(own.as_bytes()) => return Ok(message),
                _ => {}
            }
        }
    }

    /// A notification of the gateway's own.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn tell(&mut self, method: &str) -> Result<(), GatewayError> {
        self.send(&json!({"jsonrpc": "2.0", "method": method})).await
    }

    /// A peer may ping before it answers; anything else is too early.
    async fn answer(&mut self, asked: &str, message: &McpMessage) -> Result<(), GatewayError> {
        let id: Value = message.id().and_then(|id| serde_json::from_slice(id).ok()).unwrap_or_default();
        let answer = if asked == methods::PING {
            json!({"jsonrpc": "2.0", "id": id, "result": {}})
        } else {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "not offered during a probe"}})
        };
        self.send(&answer).await
    }

    async fn send(&mut self, message: &Value) -> Result<(), GatewayError> {
        self.connection.send(McpMessage::trusted(message.to_string().into())).await
    }

    /// Gives the connection on: nothing is in flight on it.
    pub fn into_connection(self) -> Opened {
        Opened { connection: self.connection, slot: self.slot }
    }

    /// Ends the connection and waits until the peer is gone, at most for `patience`.
    pub async fn close(mut self, patience: Duration) {
        match timeout(patience, self.connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %error.chain(), "connection did not close cleanly"),
            Err(_) => tracing::debug!("connection did not close in time"),
        }
    }
}

fn read(message: &McpMessage, method: &str) -> Result<Result<Value, Refused>, GatewayError> {
    let mut answer: Value = serde_json::from_slice(message.bytes()).map_err(|error| {
        GatewayError::protocol(format!("the answer to {method} is not JSON")).with_source(error)
    })?;
    if let Some(error) = answer.get_mut("error") {
        let refused = Refused {
            code: error["code"].as_i64().unwrap_or_default(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
            data: error["data"].take(),
        };
        return Ok(Err(refused));
    }
    Ok(Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()))
}
