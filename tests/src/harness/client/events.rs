//! A `text/event-stream`.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

/// One event, with what came before its empty line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Empty if it is none.
    pub name: String,
    pub id: Option<String>,
    pub retry_ms: Option<u64>,
    pub data: String,
}

impl Event {
    /// The JSON-RPC message it carries; none for a priming event.
    ///
    /// # Errors
    /// Its data is something else.
    pub fn message(&self) -> Result<Option<Value>> {
        if self.data.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&self.data).map(Some).with_context(|| format!("an event with {:?}", self.data))
    }
}

pub struct Events {
    body: Incoming,
    /// Longest wait for one event.
    limit: Duration,
    rest: Vec<u8>,
    event: Event,
    ready: VecDeque<Event>,
}

impl Events {
    pub fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, limit, rest: Vec::new(), event: Event::default(), ready: VecDeque::new() }
    }

    /// The next event; none at the end of the stream.
    ///
    /// # Errors
    /// The stream breaks off, or nothing comes in time.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        timeout(self.limit, self.read()).await.context("no event in time")?
    }

    /// The next piece of the stream, as it comes over the wire.
    ///
    /// # Errors
    /// As [`Events::next`].
    pub async fn piece(&mut self) -> Result<Bytes> {
        let frame = timeout(self.limit, self.body.frame()).await.context("nothing in time")?;
        let frame = frame.context("the stream ends")?.context("the stream breaks off")?;
        frame.into_data().ok().context("trailers")
    }

    /// The next message, past priming events.
    ///
    /// # Errors
    /// As [`Events::next`]; or it is no JSON.
    pub async fn message(&mut self) -> Result<Option<Value>> {
        while let Some(event) = self.next().await? {
            if let Some(message) = event.message()? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame.context("the stream breaks off")?.into_data() {
                self.rest.extend_from_slice(&data);
                self.take_lines();
            }
        }
    }

    fn take_lines(&mut self) {
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\n', '\r']));
        }
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if event != Event::default() {
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "id" => self.event.id = Some(value.to_owned()),
            "retry" => self.event.retry_ms = value.parse().ok(),
            "data" if self.event.data.is_empty() => self.event.data = value.to_owned(),
            "data" => self.event.data.extend(["\n", value]),
            _ => {}
        }
    }
}
