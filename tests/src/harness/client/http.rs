//! HTTP requests and their answers.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

use super::events::Events;

/// Longest wait for the head of an answer, a whole body or one event.
const LIMIT: Duration = Duration::from_secs(20);

/// Connections to one or more servers, kept open between requests.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    limit: Duration,
}

/// An answer whose body has not been read.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    limit: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self::patient(LIMIT)
    }
}

impl Http {
    /// A client that waits longer, or less, than others.
    pub fn patient(limit: Duration) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), limit }
    }

    /// # Errors
    /// No answer, or none in time.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let shown = format!("{} {}", request.method(), request.uri());
        let answer = timeout(self.limit, self.client.request(request)).await;
        let (head, body) =
            answer.context("no answer in time").and_then(|answer| Ok(answer?)).context(shown)?.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body, limit: self.limit })
    }

    /// A request with these headers, exactly.
    ///
    /// # Errors
    /// As [`Http::send`]; or a header cannot be sent.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply> {
        let builder = Request::builder().method(method).uri(url);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        self.send(builder.body(Full::new(Bytes::copy_from_slice(body)))?).await
    }
}

impl Reply {
    /// The value of a header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn is_events(&self) -> bool {
        self.header("content-type").starts_with("text/event-stream")
    }

    /// The body as a stream of events.
    pub fn events(self) -> Events {
        Events::new(self.body, self.limit)
    }

    /// The whole body.
    ///
    /// # Errors
    /// It breaks off, or does not end in time.
    pub async fn bytes(self) -> Result<Bytes> {
        let body = timeout(self.limit, self.body.collect()).await.context("the body does not end")?;
        Ok(body.context("the body breaks off")?.to_bytes())
    }

    /// The whole body as JSON; null if it is empty.
    ///
    /// # Errors
    /// As [`Reply::bytes`]; or it is something else.
    pub async fn json(self) -> Result<Value> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&bytes)))
    }
}
