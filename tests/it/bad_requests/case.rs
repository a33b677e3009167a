//! A request, and the answer that is documented for it.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use omcp_tests::harness::client::{Http, Reply, modern};
use serde_json::Value;

pub struct Case {
    pub name: String,
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    want: Want,
}

/// The documented answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A JSON-RPC error of this HTTP status and code. If the id could be read, it carries it.
    Error(u16, i64),
    /// The same, and nobody can know the id.
    Anonymous(u16, i64),
    /// An HTTP status, and no JSON-RPC in the body.
    Plain(u16),
    /// An HTTP status, whatever the body.
    Status(u16),
}

/// The id of every request that has one.
pub const ID: i64 = 77;

impl Case {
    pub fn new(name: impl Into<String>, method: Method, path: impl Into<String>, want: Want) -> Self {
        let (name, path) = (name.into(), path.into());
        Self { name, method, path, headers: Vec::new(), body: Vec::new(), want }
    }

    /// A POST with the headers that every client sends.
    pub fn post(
        name: impl Into<String>,
        path: impl Into<String>,
        body: impl Into<Vec<u8>>,
        want: Want,
    ) -> Self {
        let new = Self { body: body.into(), ..Self::new(name, Method::POST, path, want) };
        new.with("content-type", "application/json").with("accept", "application/json, text/event-stream")
    }

    /// A message of 2026-07-28 with the headers that belong to it.
    pub fn modern(name: impl Into<String>, path: impl Into<String>, message: &Value, want: Want) -> Self {
        let headers = modern::headers_of(message);
        let headers =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
        Self { headers, body: message.to_string().into_bytes(), ..Self::new(name, Method::POST, path, want) }
    }

    /// Adds a header, beside others of its name.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// Sets a header.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    /// # Errors
    /// The answer is not the documented one.
    pub async fn attempt(&self, client: &Http, node: &str) -> Result<()> {
        let mut request = Request::builder().method(&self.method).uri(format!("{node}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, HeaderValue::from_bytes(value)?);
        }
        let body = Full::new(Bytes::copy_from_slice(&self.body));
        self.judge(client.send(request.body(body)?).await?).await
    }

    async fn judge(&self, reply: Reply) -> Result<()> {
        let status = reply.status.as_u16();
        let body = match reply.is_events() {
            true => reply.events().message().await?.context("an empty stream")?,
            false => {
                let bytes = reply.bytes().await?;
                serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into())
            }
        };
        let seen = format!("{status} {body}");
        let ok = match self.want {
            Want::Status(wanted) => status == wanted,
            Want::Plain(wanted) => status == wanted && body.get("jsonrpc").is_none(),
            Want::Error(wanted, code) => {
                status == wanted && is_error(&body, code) && body.get("id").is_none_or(|id| *id == ID)
            }
            Want::Anonymous(wanted, code) => {
                status == wanted && is_error(&body, code) && body.get("id").is_none()
            }
        };
        ensure!(ok, "wanted {:?}, not {seen:.400}", self.want);
        Ok(())
    }
}

fn is_error(body: &Value, code: i64) -> bool {
    let error = &body["error"];
    body["jsonrpc"] == "2.0"
        && error["code"] == code
        && error["message"].as_str().is_some_and(|text| !text.is_empty())
}
