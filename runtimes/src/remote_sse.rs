//! `remote-sse`: an MCP server behind HTTP+SSE, the transport of revision 2024-11-05.
//!
//! One GET stream carries everything the server says; what we say is POSTed to the endpoint that the
//! stream names first. There is no resumption: a broken stream is the end of the connection.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use omcp_core::{
    BackendConnection, ErrorKind, GatewayError, McpMessage, Runtime, RuntimeContext, RuntimeType,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answers;
use crate::event_stream::{EventStream, is_event_stream};
use crate::http_client::{HttpClient, drop_body, read_body};
use crate::http_endpoint::HttpEndpoint;
use crate::outbox::{Outbox, is_request};
use crate::settings::{MessageLen, Millis};

/// Messages received and not yet asked for; while there are more, the stream is not read.
const INBOX_MAX: usize = 256;
/// What is read of a refusal's body: an error message, not a payload.
const REFUSAL_LEN_MAX: usize = 64 * 1024;

/// An MCP server behind HTTP+SSE, the transport of revision 2024-11-05.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteSseSettings {
    /// URL of the event stream, http:// or https://, usually ending in /sse. May hold references.
    #[schemars(length(max = 4096), regex(pattern = r"^(https?://|\$\{)"))]
    pub url: String,
    /// Headers sent with every request, for instance `Authorization`. Values may hold references.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Time for name look-up, TCP and TLS together, milliseconds. Default 5000.
    #[serde(default)]
    pub connect_timeout_ms: Millis<5_000>,
    /// Time from the start to the server's `endpoint` event, milliseconds. Default 10000.
    #[serde(default)]
    pub handshake_timeout_ms: Millis<10_000>,
    /// Time for one call, milliseconds. Default 300000.
    #[serde(default)]
    pub call_timeout_ms: Millis<300_000>,
    /// Time for the server to accept one message, milliseconds. Default 30000.
    #[serde(default)]
    pub write_timeout_ms: Millis<30_000>,
    /// Time the stream may be silent, milliseconds; only for servers known to send keep-alive
    /// comments. Default: for ever.
    #[serde(default)]
    pub idle_timeout_ms: Option<Millis>,
    /// Longest message the server may send, bytes. Default 16777216 (16 MiB).
    #[serde(default)]
    pub message_len_max: MessageLen,
}

/// The type `remote-sse`.
#[derive(Debug)]
pub struct RemoteSse;

impl RuntimeType for RemoteSse {
    const NAME: &'static str = "remote-sse";
    type Settings = RemoteSseSettings;

    fn create(
        &self,
        settings: RemoteSseSettings,
        _: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        let endpoint = HttpEndpoint::new(&settings.url, &settings.headers)?;
        let client = HttpClient::new(settings.connect_timeout_ms.duration());
        Ok(Box::new(RemoteSseRuntime { client, endpoint, settings }))
    }
}

struct RemoteSseRuntime {
    client: HttpClient,
    endpoint: HttpEndpoint,
    settings: RemoteSseSettings,
}

#[async_trait]
impl Runtime for RemoteSseRuntime {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let wait = self.settings.handshake_timeout_ms.duration();
        let until = Instant::now() + wait;
        let mut stream = self.open(wait).await?;
        let named = timeout_at(until, endpoint_event(&mut stream)).await;
        let named = named.map_err(|_| self.no_endpoint())??;
        let messages = self.endpoint.with_uri(self.endpoint.resolve(&named)?);
        Ok(Box::new(SseConnection {
            poster: Poster {
                client: self.client.clone(),
                endpoint: messages,
                wait: self.settings.write_timeout_ms.duration(),
            },
            stream: Some(stream),
            outbox: Outbox::default(),
            posts: FuturesUnordered::new(),
            inbox: VecDeque::new(),
        }))
    }

    fn call_timeout(&self) -> Duration {
        self.settings.call_timeout_ms.duration()
    }
}

impl RemoteSseRuntime {
    async fn open(&self, wait: Duration) -> Result<EventStream, GatewayError> {
        let response = self.client.send(self.endpoint.get_events(), wait).await?;
        let (host, status) = (self.endpoint.host(), response.status());
        let refused =
            |kind, why: &str| Err(GatewayError::new(kind, format!("{host} {why} (status {status})")));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                refused(ErrorKind::Auth, "refused our credentials")
            }
            _ if status.is_server_error() => refused(ErrorKind::Unreachable, "has no event stream for us"),
            _ if !status.is_success() || !is_event_stream(&response) => refused(
                ErrorKind::Protocol,
                "offers no event stream at this url; for Streamable HTTP use remote-http",
            ),
            _ => {
                let idle = self.settings.idle_timeout_ms.map(Millis::duration);
                Ok(EventStream::new(response.into_body(), self.settings.message_len_max.bytes(), idle))
            }
        }
    }

    fn no_endpoint(&self) -> GatewayError {
        let wait_ms = self.settings.handshake_timeout_ms.duration().as_millis();
        GatewayError::timeout(format!("{} sent no endpoint event in {wait_ms} ms", self.endpoint.host()))
    }
}

/// The data of the first `endpoint` event.
async fn endpoint_event(stream: &mut EventStream) -> Result<String, GatewayError> {
    while let Some(event) = stream.next().await? {
        if event.event.as_deref() == Some("endpoint") {
            return Ok(String::from_utf8_lossy(event.data.trim_ascii()).into_owned());
        }
    }
    Err(GatewayError::protocol("the event stream ended without an endpoint event"))
}

struct SseConnection {
    poster: Poster,
    /// `None` once it ended.
    stream: Option<EventStream>,
    outbox: Outbox,
    posts: FuturesUnordered<BoxFuture<'static, Posted>>,
    inbox: VecDeque<McpMessage>,
}

#[async_trait]
impl BackendConnection for SseConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        if !self.outbox.has_room() {
            let wait = self.poster.wait;
            let late = |_| {
                GatewayError::timeout(format!("the server accepted no message in {} ms", wait.as_millis()))
            };
            timeout(wait, self.make_room()).await.map_err(late)??;
        }
        if self.stream.is_none() {
            return Err(GatewayError::closed("the event stream has ended"));
        }
        self.outbox.push(message);
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(Some(message));
            }
            if self.stream.is_none() {
                return Ok(None);
            }
            self.step().await?;
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.stream = None;
        self.posts.clear();
        Ok(())
    }
}

impl SseConnection {
    async fn make_room(&mut self) -> Result<(), GatewayError> {
        while !self.outbox.has_room() && self.stream.is_some() {
            self.step().await?;
        }
        Ok(())
    }

    /// Waits until a message was accepted or something was received. Cancel safe.
    async fn step(&mut self) -> Result<(), GatewayError> {
        while let Some(message) = self.outbox.take() {
            self.posts.push(Box::pin(self.poster.clone().post(message)));
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let taken = tokio::select! {
            biased;
            Some(posted) = self.posts.next() => self.settle(posted),
            received = stream.messages(), if self.inbox.len() < INBOX_MAX => self.receive(received),
        };
        if taken.is_err() {
            self.stream = None;
        }
        taken
    }

    fn settle(&mut self, posted: Posted) -> Result<(), GatewayError> {
        self.outbox.done(is_request(&posted.message));
        let (status, body) = posted.outcome?;
        if status.is_success() {
            return Ok(());
        }
        match posted.message.id().filter(|_| is_request(&posted.message)) {
            Some(id) => self.inbox.push_back(answers::refusal(id, status, &body)),
            None => {
                tracing::debug!(%status, method = posted.message.method(), "the server refused a message")
            }
        }
        Ok(())
    }

    fn receive(&mut self, received: Received) -> Result<(), GatewayError> {
        let messages = received?.ok_or_else(|| GatewayError::closed("the server ended its event stream"))?;
        self.inbox.extend(messages);
        Ok(())
    }
}

type Received = Result<Option<Vec<McpMessage>>, GatewayError>;

/// A message, and the status and body it was answered with.
struct Posted {
    message: McpMessage,
    outcome: Result<(StatusCode, Bytes), GatewayError>,
}

#[derive(Clone)]
struct Poster {
    client: HttpClient,
    endpoint: HttpEndpoint,
    wait: Duration,
}

impl Poster {
    async fn post(self, message: McpMessage) -> Posted {
        let outcome = self.outcome(message.bytes().clone()).await;
        Posted { message, outcome }
    }

    async fn outcome(self, message: Bytes) -> Result<(StatusCode, Bytes), GatewayError> {
        let request = self.endpoint.post(message, "application/json, text/event-stream");
        let response = self.client.send(request, self.wait).await?;
        let status = response.status();
        if status.is_success() {
            drop_body(response.into_body()).await;
            return Ok((status, Bytes::new()));
        }
        let body = read_body(response.into_body(), REFUSAL_LEN_MAX, self.wait).await;
        Ok((status, body.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests;
