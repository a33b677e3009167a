//! [`PluginConnection`]: one stream of messages.
//!
//! Sending and receiving are independent: a plugin that reads nothing delays no answer. What is queued
//! is bounded in bytes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use omcp_core::{BackendConnection, GatewayError, McpMessage};
use omcp_proto::plugin::v1::open_request::Body as Request;
use omcp_proto::plugin::v1::open_response::Body as Response;
use omcp_proto::plugin::v1::plugin_service_client::PluginServiceClient;
use omcp_proto::plugin::v1::{OpenRequest, OpenResponse, Opened, Start};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::program::Run;
use super::settings::Limits;
use super::wire;
use crate::stderr::Rate;

/// `send` waits while so many bytes are queued.
const QUEUE_LEN_MAX: u32 = 1024 * 1024;
/// Messages that are no JSON-RPC are told in the log so many times per connection.
const SKIPPED_LOGGED_MAX: u64 = 5;

/// Where a stream is opened.
pub struct Target {
    pub channel: Channel,
    /// What to call the plugin in errors.
    pub plugin: String,
    /// Where the plugin's settings stand in the backend's: "" or a path with its dot.
    pub below: &'static str,
    pub run: Option<Arc<Run>>,
    pub local: bool,
}

pub struct PluginConnection {
    target: Target,
    limits: Limits,
    opened: Opened,
    /// `None` once half-closed.
    outbound: Option<Outbound>,
    inbound: Inbound,
    stderr: Rate,
    skipped: u64,
}

enum Inbound {
    Open(Box<Streaming<OpenResponse>>),
    /// It broke; what the exit of the plugin's program has to say is awaited.
    Broken(Status),
    Over,
}

impl PluginConnection {
    /// Opens the stream and waits until the plugin has reached the backend.
    ///
    /// # Errors
    /// `Timeout`; the failure that the plugin told; what [`wire::broken`] makes of the rest.
    pub async fn open(
        target: Target,
        start: Start,
        limits: Limits,
        stderr: Rate,
    ) -> Result<Self, GatewayError> {
        let (outbound, messages) = Outbound::new(limits.write);
        let first = OpenRequest { body: Some(Request::Start(start)) };
        let mut connection = Self {
            target,
            limits,
            opened: Opened::default(),
            outbound: Some(outbound),
            inbound: Inbound::Over,
            stderr,
            skipped: 0,
        };
        let opened =
            connection.begin(stream::once(async { first }).chain(messages.map(Queued::into_request)));
        match timeout(limits.open, opened).await {
            Ok(opened) => opened.map(|()| connection),
            Err(_) => {
                let ms = limits.open.as_millis();
                let plugin = &connection.target.plugin;
                Err(GatewayError::timeout(format!("{plugin} did not reach the backend in {ms} ms")))
            }
        }
    }

    async fn begin(
        &mut self,
        outbound: impl stream::Stream<Item = OpenRequest> + Send + 'static,
    ) -> Result<(), GatewayError> {
        let mut client = PluginServiceClient::new(self.target.channel.clone())
            .max_decoding_message_size(wire::frame_len_max(self.limits.message_len_max));
        match client.open(outbound).await {
            Ok(response) => self.inbound = Inbound::Open(Box::new(response.into_inner())),
            Err(status) => self.inbound = Inbound::Broken(status),
        }
        match self.next().await? {
            Some(Response::Opened(opened)) => {
                self.opened = opened;
                Ok(())
            }
            Some(_) => {
                let text = format!("{} sent a message before it had opened", self.target.plugin);
                Err(GatewayError::protocol(text))
            }
            None => {
                let text = format!("{} ended the stream before it had opened", self.target.plugin);
                Err(GatewayError::closed(text))
            }
        }
    }

    /// How long a call may be silent, if the plugin says so.
    pub fn call_timeout(&self) -> Option<Duration> {
        let ms = self.opened.call_timeout_ms;
        (ms > 0).then(|| Duration::from_millis(ms.into()))
    }

    /// See [`omcp_core::Runtime::only_answers`].
    pub fn only_answers(&self) -> bool {
        self.opened.only_answers
    }

    /// What comes next but for diagnostics. Cancel safe.
    async fn next(&mut self) -> Result<Option<Response>, GatewayError> {
        loop {
            match &mut self.inbound {
                Inbound::Open(stream) => match stream.message().await {
                    Ok(Some(OpenResponse { body: Some(Response::StderrLine(line)) })) => {
                        self.stderr.line(&line)
                    }
                    Ok(Some(OpenResponse { body: Some(Response::Failure(failure)) })) => {
                        self.inbound = Inbound::Over;
                        return Err(wire::error(&failure, self.target.below));
                    }
                    Ok(Some(OpenResponse { body: Some(other) })) => return Ok(Some(other)),
                    // Said by a newer plugin, which has been told that we are older.
                    Ok(Some(OpenResponse { body: None })) => {}
                    Ok(None) => self.inbound = Inbound::Over,
                    Err(status) => self.inbound = Inbound::Broken(status),
                },
                Inbound::Broken(status) => {
                    let exit = match &self.target.run {
                        Some(run) => run.end().await,
                        None => None,
                    };
                    let error = match exit {
                        Some(how) => GatewayError::closed(how),
                        None => wire::broken(&self.target.plugin, status),
                    };
                    self.inbound = Inbound::Over;
                    return Err(error);
                }
                Inbound::Over => return Ok(None),
            }
        }
    }

    fn message(&mut self, bytes: Bytes) -> Option<McpMessage> {
        match McpMessage::parse(bytes) {
            Ok(message) => Some(message),
            Err(error) => {
                self.skipped += 1;
                if self.skipped <= SKIPPED_LOGGED_MAX {
                    tracing::debug!(%error, plugin = self.target.plugin, "skipped what is no json-rpc message");
                }
                None
            }
        }
    }

    fn not_taken(&self) -> GatewayError {
        GatewayError::closed(format!("{} takes no more messages", self.target.plugin))
    }
}

#[async_trait]
impl BackendConnection for PluginConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        match &self.outbound {
            Some(outbound) => match outbound.push(message.into_bytes()).await {
                Ok(()) => Ok(()),
                Err(Full::Gone) => Err(self.not_taken()),
                Err(Full::Late) => {
                    let ms = self.limits.write.as_millis();
                    Err(GatewayError::timeout(format!("{} read no message for {ms} ms", self.target.plugin)))
                }
            },
            None => Err(self.not_taken()),
        }
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        loop {
            match self.next().await? {
                Some(Response::Message(bytes)) => {
                    if let Some(message) = self.message(bytes) {
                        return Ok(Some(message));
                    }
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.outbound = None;
        let wait = self.limits.close;
        let ended = timeout(wait, async { while let Ok(Some(_)) = self.next().await {} }).await;
        // Dropping the stream resets it.
        self.inbound = Inbound::Over;
        ended.map_err(|_| {
            let ms = wait.as_millis();
            GatewayError::timeout(format!("{} did not end the connection in {ms} ms", self.target.plugin))
        })
    }

    fn pid(&self) -> Option<u32> {
        (self.target.local && self.opened.pid != 0).then_some(self.opened.pid)
    }
}

/// Messages on their way to the stream.
struct Outbound {
    queue: mpsc::UnboundedSender<Queued>,
    /// Bytes that may still be queued: they bound the queue.
    room: Arc<Semaphore>,
    wait: Duration,
}

/// A message and the room it takes up.
struct Queued {
    message: Bytes,
    _room: OwnedSemaphorePermit,
}

enum Full {
    Late,
    Gone,
}

impl Outbound {
    fn new(wait: Duration) -> (Self, UnboundedReceiverStream<Queued>) {
        let (queue, queued) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(QUEUE_LEN_MAX as usize));
        (Self { queue, room, wait }, UnboundedReceiverStream::new(queued))
    }

    /// A message longer than the whole queue waits until it is alone.
    async fn push(&self, message: Bytes) -> Result<(), Full> {
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX).clamp(1, QUEUE_LEN_MAX);
        let room = timeout(self.wait, self.room.clone().acquire_many_owned(len)).await;
        let room = room.map_err(|_| Full::Late)?.map_err(|_| Full::Gone)?;
        self.queue.send(Queued { message, _room: room }).map_err(|_| Full::Gone)
    }
}

impl Queued {
    fn into_request(self) -> OpenRequest {
        OpenRequest { body: Some(Request::Message(self.message)) }
    }
}
