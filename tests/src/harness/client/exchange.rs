//! One JSON-RPC request and everything that comes back.

use anyhow::{Context, Result, bail, ensure};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::events::{Event, Events};
use super::http::Reply;

/// A request that was sent: its answer is JSON or a stream of events.
pub struct Exchange {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub id: Value,
    body: Body,
    /// The newest event id that was seen, to go on from.
    pub last_event_id: Option<String>,
    /// What came before the answer: notifications, and requests of the server.
    pub before: Vec<Value>,
}

enum Body {
    Events(Events),
    Json(Option<Value>),
}

impl Exchange {
    /// # Errors
    /// The answer is neither JSON nor a stream of events.
    pub async fn new(id: Value, reply: Reply) -> Result<Self> {
        let (status, headers) = (reply.status, reply.headers.clone());
        let body = if reply.is_events() {
            Body::Events(reply.events())
        } else {
            Body::Json(Some(reply.json().await?))
        };
        Ok(Self { status, headers, id, body, last_event_id: None, before: Vec::new() })
    }

    /// The next message; none at the end.
    ///
    /// # Errors
    /// The stream breaks off, or nothing comes in time.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            match &mut self.body {
                Body::Json(message) => return Ok(message.take().filter(|message| !message.is_null())),
                Body::Events(events) => {
                    let Some(event) = events.next().await? else { return Ok(None) };
                    self.last_event_id = event.id.clone().or(self.last_event_id.take());
                    if let Some(message) = event.message()? {
                        return Ok(Some(message));
                    }
                }
            }
        }
    }

    /// The next event, priming events included.
    ///
    /// # Errors
    /// As [`Exchange::next`]; or the answer is JSON.
    pub async fn event(&mut self) -> Result<Option<Event>> {
        match &mut self.body {
            Body::Events(events) => events.next().await,
            Body::Json(_) => bail!("the answer is no stream of events"),
        }
    }

    /// Reads on until the server has shown by progress that it has the call.
    ///
    /// # Errors
    /// Something else comes first, or nothing in time.
    pub async fn under_way(mut self) -> Result<Self> {
        let progress = self.next().await?.context("the call has ended")?;
        ensure!(progress["method"] == "notifications/progress", "no progress but {progress}");
        Ok(self)
    }

    /// Reads on until the answer to the request.
    ///
    /// # Errors
    /// It never comes.
    pub async fn answer(&mut self) -> Result<Value> {
        loop {
            let message = self
                .next()
                .await?
                .with_context(|| format!("no answer to {}, but {:?}", self.id, self.before))?;
            if message.get("method").is_none()
                && (message.get("id") == Some(&self.id) || message.get("id").is_none())
            {
                return Ok(message);
            }
            self.before.push(message);
        }
    }

    /// The result of the answer.
    ///
    /// # Errors
    /// It is an error, or never comes.
    pub async fn result(&mut self) -> Result<Value> {
        let mut answer = self.answer().await?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => bail!("HTTP {} with {answer}", self.status),
        }
    }

    /// The error of the answer.
    ///
    /// # Errors
    /// It is a result, or never comes.
    pub async fn error(&mut self) -> Result<Value> {
        let mut answer = self.answer().await?;
        match answer.get_mut("error") {
            Some(error) => Ok(error.take()),
            None => bail!("no error but {answer}"),
        }
    }
}
