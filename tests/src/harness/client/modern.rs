//! Stateless requests of 2026-07-28.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use super::exchange::Exchange;
use super::http::{Http, Reply};

pub const VERSION: &str = "2026-07-28";
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";

/// A client that can do everything. Clones share its connections.
#[derive(Clone)]
pub struct Modern {
    http: Http,
    url: String,
    next_id: Arc<AtomicU64>,
}

impl Modern {
    pub fn new(url: &str) -> Self {
        Self { http: Http::default(), url: url.to_owned(), next_id: Arc::new(AtomicU64::new(1)) }
    }

    /// Sends a request and waits for its result.
    ///
    /// # Errors
    /// It is an error, or never comes.
    pub async fn request(&self, method: &str, params: Value) -> Result<Value> {
        self.open(method, params).await?.result().await.with_context(|| method.to_owned())
    }

    /// Calls a tool and waits for the text of its result.
    ///
    /// # Errors
    /// It fails, or has no text.
    pub async fn tool(&self, name: &str, arguments: Value) -> Result<String> {
        let result = self.request("tools/call", json!({ "name": name, "arguments": arguments })).await?;
        result["content"][0]["text"]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("no text in {result}"))
    }

    /// Sends a request and returns when its answer begins.
    ///
    /// # Errors
    /// There is none.
    pub async fn open(&self, method: &str, params: Value) -> Result<Exchange> {
        self.open_with(method, params, &[]).await
    }

    /// The same with more headers: those that mirror arguments.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn open_with(
        &self,
        method: &str,
        params: Value,
        more: &[(String, String)],
    ) -> Result<Exchange> {
        let id = json!(self.next_id.fetch_add(1, Ordering::Relaxed));
        let message =
            json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": with_envelope(params) });
        Exchange::new(id, self.post_with(&message, more).await?).await
    }

    /// The same client at another endpoint.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// Posts a message with the headers that belong to it.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, message: &Value) -> Result<Reply> {
        self.post_with(message, &[]).await
    }

    async fn post_with(&self, message: &Value, more: &[(String, String)]) -> Result<Reply> {
        let mirrored = headers_of(message);
        let mirrored = mirrored.iter().map(|(name, value)| (*name, value.as_str()));
        let more = more.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = mirrored.chain(more).collect();
        self.http.request(Method::POST, &self.url, &headers, message.to_string().as_bytes()).await
    }
}

/// `params` with what every request of this revision says of its client.
pub fn with_envelope(mut params: Value) -> Value {
    let meta = json!({ VERSION_KEY: VERSION,
        CAPABILITIES_KEY: { "sampling": {}, "elicitation": {}, "roots": {} },
        CLIENT_KEY: { "name": "omcp-tests", "version": "1" } });
    let given = params["_meta"].take();
    params["_meta"] = meta;
    for (key, value) in given.as_object().into_iter().flatten() {
        params["_meta"][key] = value.clone();
    }
    params
}

/// The headers that mirror a message.
pub fn headers_of(message: &Value) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let method = text(&message["method"]);
    let params = &message["params"];
    let name = match method.as_str() {
        "tools/call" | "prompts/get" => Some(text(&params["name"])),
        "resources/read" => Some(text(&params["uri"])),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(text(&params["taskId"])),
        _ => None,
    };
    let mut headers = vec![
        ("accept", "application/json, text/event-stream".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("mcp-protocol-version", VERSION.to_owned()),
        ("mcp-method", method),
    ];
    headers.extend(name.map(|name| ("mcp-name", name)));
    headers
}
