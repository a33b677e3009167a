//! [`EventStream`]: the body of a `text/event-stream` answer, event by event.

use std::time::Duration;

use http::{Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::sse::{Decoder, Event};
use tokio::time::{Instant, timeout_at};

use crate::answers;

/// What an event may hold beside its message, bytes: an id, a name, the names of the fields.
const EVENT_FRAME_LEN_MAX: usize = 1024;

/// Whether an answer is an event stream.
pub fn is_event_stream<B>(response: &Response<B>) -> bool {
    has_media_type(response, "text/event-stream")
}

/// Whether the media type of an answer is `wanted`, parameters aside.
pub fn has_media_type<B>(response: &Response<B>, wanted: &str) -> bool {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next());
    media_type.is_some_and(|found| found.trim().eq_ignore_ascii_case(wanted))
}

/// Events of one answer, and where to go on once it breaks.
pub struct EventStream {
    body: Incoming,
    decoder: Decoder,
    message_len_max: usize,
    idle_timeout: Option<Duration>,
    idle_until: Option<Instant>,
    ended: bool,
    last_event_id: Option<Box<str>>,
    retry: Option<Duration>,
}

impl EventStream {
    /// `idle_timeout` is reset by every byte, comments included.
    pub fn new(body: Incoming, message_len_max: usize, idle_timeout: Option<Duration>) -> Self {
        let decoder = Decoder::new(message_len_max.saturating_add(EVENT_FRAME_LEN_MAX));
        let idle_until = idle_timeout.map(|idle| Instant::now() + idle);
        Self {
            body,
            decoder,
            message_len_max,
            idle_timeout,
            idle_until,
            ended: false,
            last_event_id: None,
            retry: None,
        }
    }

    /// The next event; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// `Closed`: the stream broke. `Timeout`: it was silent for too long. `Protocol`: an overlong event.
    pub async fn next(&mut self) -> Result<Option<Event>, GatewayError> {
        loop {
            let event = self.decoder.next_event().map_err(|_| self.too_long())?;
            if let Some(event) = event.or_else(|| if self.ended { self.decoder.finish() } else { None }) {
                self.note(&event);
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// The messages of the next event that holds any: one, or a batch. Other events are skipped. Cancel safe.
    ///
    /// # Errors
    /// As [`EventStream::next`].
    pub async fn messages(&mut self) -> Result<Option<Vec<McpMessage>>, GatewayError> {
        while let Some(event) = self.next().await? {
            if event.event.is_some() || event.data.is_empty() {
                continue;
            }
            if event.data.len() > self.message_len_max {
                return Err(self.too_long());
            }
            match answers::messages(event.data) {
                Ok(messages) => return Ok(Some(messages)),
                Err(error) => tracing::debug!(%error, "skipped an event that is no json-rpc message"),
            }
        }
        Ok(None)
    }

    /// The last event id seen.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// The delay the server asked for before the next request.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    async fn fill(&mut self) -> Result<(), GatewayError> {
        let frame = match self.idle_until {
            Some(until) => timeout_at(until, self.body.frame()).await.map_err(|_| self.silent())?,
            None => self.body.frame().await,
        };
        self.idle_until = self.idle_timeout.map(|idle| Instant::now() + idle);
        match frame {
            None => self.ended = true,
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    self.decoder.push_chunk(chunk);
                }
            }
            Some(Err(error)) => {
                self.ended = true;
                return Err(GatewayError::closed("the event stream broke").with_source(error));
            }
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        if let Some(id) = &event.id {
            // An empty id takes back the one before.
            self.last_event_id = Some(id.clone()).filter(|id| !id.is_empty());
        }
        self.retry = event.retry_ms.map(Duration::from_millis).or(self.retry);
    }

    fn too_long(&self) -> GatewayError {
        GatewayError::protocol(format!(
            "the server sent a message longer than {} bytes",
            self.message_len_max
        ))
    }

    fn silent(&self) -> GatewayError {
        let idle_ms = self.idle_timeout.unwrap_or_default().as_millis();
        GatewayError::timeout(format!("the event stream was silent for {idle_ms} ms"))
    }
}
