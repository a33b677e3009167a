//! A session of a handshake revision over Streamable HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use super::events::Events;
use super::exchange::Exchange;
use super::http::{Http, Reply};

/// The newest revision with a handshake.
pub const NEWEST: &str = "2025-11-25";
/// With it the client ends the handshake.
pub const INITIALIZED: &str = "notifications/initialized";
const ACCEPT: (&str, &str) = ("accept", "application/json, text/event-stream");
const JSON: (&str, &str) = ("content-type", "application/json");

/// One client in one session. Clones share both.
#[derive(Clone)]
pub struct Legacy {
    http: Http,
    url: String,
    session: String,
    version: String,
    next_id: Arc<AtomicU64>,
    /// What the server said of itself.
    pub server: Value,
}

impl Legacy {
    /// Opens a session with the newest revision, as a client that can do everything.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(Http::default(), url, NEWEST).await
    }

    /// Opens a session with a certain revision.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn connect_with(http: Http, url: &str, version: &str) -> Result<Self> {
        let capabilities = json!({ "sampling": {}, "elicitation": {}, "roots": { "listChanged": true } });
        Self::connect_as(http, url, version, capabilities).await
    }

    /// Opens a session as a client of certain abilities.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn connect_as(http: Http, url: &str, version: &str, capabilities: Value) -> Result<Self> {
        let new = Self::introduce(http, url, version, capabilities).await?;
        new.notify(INITIALIZED, json!({})).await?;
        Ok(new)
    }

    /// The first half of the handshake: the server has answered, and waits for [`INITIALIZED`].
    ///
    /// # Errors
    /// It refuses.
    pub async fn introduce(http: Http, url: &str, version: &str, capabilities: Value) -> Result<Self> {
        let new = Self {
            http,
            url: url.to_owned(),
            session: String::new(),
            version: String::new(),
            next_id: Arc::new(AtomicU64::new(1)),
            server: Value::Null,
        };
        let params = json!({ "protocolVersion": version, "capabilities": capabilities,
            "clientInfo": { "name": "omcp-tests", "version": "1" } });
        let mut exchange = new.open("initialize", params).await?;
        let session =
            exchange.headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let server = exchange.result().await.context("initialize")?;
        let version = server["protocolVersion"].as_str().context("the server names no revision")?.to_owned();
        Ok(Self { session: session.unwrap_or_default(), version, server, ..new })
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
        let id = json!(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.open_as(id, method, params).await
    }

    /// The same under an id of the caller's choice.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn open_as(&self, id: Value, method: &str, params: Value) -> Result<Exchange> {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        Exchange::new(id, self.post(&message).await?).await
    }

    /// # Errors
    /// It is not accepted.
    pub async fn notify(&self, method: &str, params: Value) -> Result<()> {
        self.accepted(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await
    }

    /// Answers a request of the server.
    ///
    /// # Errors
    /// The answer is not accepted.
    pub async fn respond(&self, request: &Value, result: Value) -> Result<()> {
        self.accepted(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).await
    }

    /// The stream of messages that belong to no request; or the rest of one that broke off.
    ///
    /// # Errors
    /// It is refused.
    pub async fn stream(&self, last_event_id: Option<&str>) -> Result<Events> {
        let mut headers = self.headers();
        headers.extend(last_event_id.map(|id| ("last-event-id", id)));
        headers.push(("accept", "text/event-stream"));
        let reply = self.http.request(Method::GET, &self.url, &headers, b"").await?;
        ensure!(reply.status == 200 && reply.is_events(), "GET answers {}", reply.status);
        Ok(reply.events())
    }

    /// Ends the session.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn delete(&self) -> Result<Reply> {
        self.http.request(Method::DELETE, &self.url, &self.headers(), b"").await
    }

    /// Posts any message, as it is.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, message: &Value) -> Result<Reply> {
        let headers = [self.headers(), vec![ACCEPT, JSON]].concat();
        self.http.request(Method::POST, &self.url, &headers, message.to_string().as_bytes()).await
    }

    /// The same session through another endpoint.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same under another session id.
    pub fn with_session(&self, id: &str) -> Self {
        Self { session: id.to_owned(), ..self.clone() }
    }

    /// The revision that was agreed on.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Empty if the server needs none.
    pub fn session(&self) -> &str {
        &self.session
    }

    async fn accepted(&self, message: &Value) -> Result<()> {
        let reply = self.post(message).await?;
        ensure!(reply.status == 202, "{message} answers {}", reply.status);
        Ok(())
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let all =
            [("mcp-session-id", self.session.as_str()), ("mcp-protocol-version", self.version.as_str())];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}
