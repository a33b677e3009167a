//! A backend whose settings hold references: whatever its runtime, its connections and its processes say
//! has the references in it and not their values.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omcp_core::redaction::Redaction;
use omcp_core::{BackendConnection, GatewayError, HttpUpstream, McpMessage, Runtime, StderrSink};
use omcp_mcp::envelope::Kind;
use omcp_mcp::refusal::{code, error_response};

/// The runtime, if there is anything to hide about it.
pub fn runtime(inner: Box<dyn Runtime>, redaction: &Redaction) -> Box<dyn Runtime> {
    if redaction.is_empty() {
        return inner;
    }
    Box::new(Redacted { inner, redaction: redaction.clone() })
}

/// The sink for its standard error, if there may be anything to hide about it.
pub fn stderr(inner: Arc<dyn StderrSink>, redaction: &Redaction) -> Arc<dyn StderrSink> {
    if redaction.is_empty() {
        return inner;
    }
    Arc::new(Redacted { inner, redaction: redaction.clone() })
}

struct Redacted<T> {
    inner: T,
    redaction: Redaction,
}

#[async_trait]
impl Runtime for Redacted<Box<dyn Runtime>> {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let inner = self.inner.connect().await.map_err(|error| self.redaction.error(error))?;
        Ok(Box::new(Redacted { inner, redaction: self.redaction.clone() }))
    }

    fn http(&self) -> Option<&HttpUpstream> {
        self.inner.http()
    }

    fn call_timeout(&self) -> Duration {
        self.inner.call_timeout()
    }

    fn only_answers(&self) -> bool {
        self.inner.only_answers()
    }
}

#[async_trait]
impl BackendConnection for Redacted<Box<dyn BackendConnection>> {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        self.inner.send(message).await.map_err(|error| self.redaction.error(error))
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        let received = self.inner.recv().await.map_err(|error| self.redaction.error(error))?;
        Ok(received.map(|message| told(message, &self.redaction)))
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.inner.close().await.map_err(|error| self.redaction.error(error))
    }

    fn pid(&self) -> Option<u32> {
        self.inner.pid()
    }
}

/// Runtimes answer for peers that they cannot reach, so an error response may name a value as well.
fn told(message: McpMessage, redaction: &Redaction) -> McpMessage {
    let (Kind::Error, Some(id)) = (message.envelope().kind(), message.id()) else { return message };
    let text = String::from_utf8_lossy(message.bytes());
    let told = redaction.text(&text);
    if told == text {
        return message;
    }
    McpMessage::parse(told.into()).unwrap_or_else(|_| {
        let text = "the backend's error cannot be told without a secret";
        McpMessage::trusted(error_response(id, code::INTERNAL_ERROR, text, None).into())
    })
}

impl StderrSink for Redacted<Arc<dyn StderrSink>> {
    fn line(&self, line: &[u8]) {
        self.inner.line(self.redaction.text(&String::from_utf8_lossy(line)).as_bytes());
    }

    fn ended(&self, how: &str) {
        self.inner.ended(&self.redaction.text(how));
    }
}
