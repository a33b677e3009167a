//! A session of HTTP+SSE 2024-11-05.

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use super::events::Events;
use super::http::Http;

pub struct Sse {
    http: Http,
    events: Events,
    /// Where messages are posted.
    pub message_url: String,
    next_id: u64,
    /// What came besides answers.
    pub others: Vec<Value>,
}

impl Sse {
    /// Opens the stream and makes the handshake.
    ///
    /// # Errors
    /// Either fails.
    pub async fn connect(url: &str) -> Result<Self> {
        let http = Http::default();
        let reply = http.request(Method::GET, url, &[("accept", "text/event-stream")], b"").await?;
        ensure!(reply.status == 200 && reply.is_events(), "GET {url} answers {}", reply.status);
        let mut events = reply.events();
        let first = events.next().await?.context("the stream ends at once")?;
        ensure!(first.name == "endpoint", "the first event is {first:?}");
        let message_url = resolve(url, &first.data);
        let mut new = Self { http, events, message_url, next_id: 1, others: Vec::new() };
        let params = json!({ "protocolVersion": "2024-11-05", "capabilities": { "roots": {}, "sampling": {} },
            "clientInfo": { "name": "omcp-tests", "version": "1" } });
        new.request("initialize", params).await?;
        new.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(new)
    }

    /// Sends a request and waits for its result.
    ///
    /// # Errors
    /// It is an error, or never comes.
    pub async fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        loop {
            let mut message = self.events.message().await?.context("the stream ends")?;
            if message["id"] == id && message.get("method").is_none() {
                let result = message.get_mut("result").map(Value::take);
                return result.with_context(|| format!("{method}: {message}"));
            }
            self.others.push(message);
        }
    }

    /// Calls a tool and waits for the text of its result.
    ///
    /// # Errors
    /// It fails, or has no text.
    pub async fn tool(&mut self, name: &str, arguments: Value) -> Result<String> {
        let result = self.request("tools/call", json!({ "name": name, "arguments": arguments })).await?;
        result["content"][0]["text"]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("no text in {result}"))
    }

    /// The next message that comes.
    ///
    /// # Errors
    /// The stream ends.
    pub async fn next(&mut self) -> Result<Value> {
        self.events.message().await?.context("the stream ends")
    }

    /// Posts any message.
    ///
    /// # Errors
    /// It is not accepted.
    pub async fn post(&self, message: &Value) -> Result<()> {
        let headers = [("content-type", "application/json")];
        let body = message.to_string();
        let reply = self.http.request(Method::POST, &self.message_url, &headers, body.as_bytes()).await?;
        ensure!(reply.status == 202, "{message} answers {}", reply.status);
        Ok(())
    }
}

/// The endpoint is a path, or a path relative to the stream's.
fn resolve(base: &str, target: &str) -> String {
    if target.starts_with("http://") {
        return target.to_owned();
    }
    let host_end = base["http://".len()..].find('/').map_or(base.len(), |slash| slash + "http://".len());
    if target.starts_with('/') {
        return format!("{}{target}", &base[..host_end]);
    }
    format!("{}/{target}", base.rsplit_once('/').map_or(base, |(folder, _)| folder))
}
