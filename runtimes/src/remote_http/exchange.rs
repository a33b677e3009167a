//! One POST: from the message to the last thing the server has to say about it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::envelope::{Kind, canonical_id};
use omcp_mcp::methods;
use omcp_mcp::refusal::says_session_is_gone;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::session::{Legacy, Limits, Session, id_of, modern_version};
use super::{healing, mirrored};
use crate::answers;
use crate::event_stream::{EventStream, has_media_type, is_event_stream};
use crate::http_client::{drop_body, read_body};

/// How long a stream may stay open behind its final answer, so that its connection can be used again.
const LINGER: Duration = Duration::from_secs(1);
/// Wait before a broken stream is asked for again, unless the server named another.
pub const RETRY_DEFAULT: Duration = Duration::from_secs(1);
/// A server may not make us wait longer than this.
pub const RETRY_MAX: Duration = Duration::from_secs(30);
/// A server may not make us come back in a busy loop.
pub const RETRY_MIN: Duration = Duration::from_millis(100);
/// What is read of a refusal's body: an error message, not a payload.
const REFUSAL_LEN_MAX: usize = 64 * 1024;

/// What exchanges hand to the owner of the connection.
pub enum Event {
    Message(McpMessage),
    /// The session is gone; the connection is of no more use.
    Lost(GatewayError),
}

/// Where they hand it to. Bounded: an exchange waits while the owner is busy.
pub type Sink = mpsc::Sender<Event>;

/// Delivers to the owner. If it is gone, so are its exchanges.
pub async fn deliver(sink: &Sink, event: Event) {
    let _ = sink.send(event).await;
}

/// POSTs a request and delivers everything up to its answer. There always is one: if the server gives
/// none, it is an error written here.
pub async fn request(session: Arc<Session>, message: McpMessage, sink: Sink) {
    let exchange = Exchange { session: &session, message: &message, sink: &sink };
    if let Err(error) = exchange.run().await {
        exchange.fail(&error).await;
    }
}

/// POSTs a notification or a response. True if the server accepted it.
pub async fn one_way(session: &Session, message: &McpMessage, sink: &Sink) -> bool {
    let used = session.legacy();
    let method = message.method();
    let error = match post_one_way(session, message).await {
        Ok(()) => return true,
        // The handshake's own second half: nothing to open anew yet.
        Err(Refused::SessionLost) if method != Some(methods::INITIALIZED) => {
            let healed = match &used {
                Some(forgotten) => healing::heal(session, forgotten).await,
                None => Err(lost()),
            };
            if let Err(error) = healed {
                deliver(sink, Event::Lost(error)).await;
                return false;
            }
            // An answer or a cancellation is about something that the old session took with it.
            if method.is_none() || method == Some(methods::CANCELLED) {
                return false;
            }
            match post_one_way(session, message).await {
                Ok(()) => return true,
                Err(refused) => refused.into_error(),
            }
        }
        Err(refused) => refused.into_error(),
    };
    tracing::debug!(error = %error.chain(), method, "the server did not take a message");
    if method == Some(methods::INITIALIZED) {
        deliver(sink, Event::Lost(error)).await;
    }
    false
}

/// Why a one-way message was not taken.
enum Refused {
    SessionLost,
    Because(GatewayError),
}

impl Refused {
    fn into_error(self) -> GatewayError {
        match self {
            Self::SessionLost => lost(),
            Self::Because(error) => error,
        }
    }
}

async fn post_one_way(session: &Session, message: &McpMessage) -> Result<(), Refused> {
    let (wait, used) = (session.limits.write_timeout, session.legacy());
    let response = session.post(message, wait).await.map_err(Refused::Because)?;
    if response.status().is_success() {
        drop_body(response.into_body()).await;
        return Ok(());
    }
    let (status, body) = refusal(response, wait).await;
    if session_lost(used.as_ref(), status, &body) {
        return Err(Refused::SessionLost);
    }
    Err(Refused::Because(GatewayError::unreachable(format!("the server answered with status {status}"))))
}

/// Whether an answer says that the session is gone.
pub fn session_lost(used: Option<&Arc<Legacy>>, status: StatusCode, body: &[u8]) -> bool {
    used.is_some_and(|legacy| legacy.has_id()) && says_session_is_gone(status.as_u16(), body)
}

pub fn lost() -> GatewayError {
    GatewayError::closed("the server no longer knows the session; it has to be initialized again")
}

pub async fn refusal(response: Response<Incoming>, wait: Duration) -> (StatusCode, Bytes) {
    let status = response.status();
    (status, read_body(response.into_body(), REFUSAL_LEN_MAX, wait).await.unwrap_or_default())
}

struct Exchange<'a> {
    session: &'a Session,
    message: &'a McpMessage,
    sink: &'a Sink,
}

impl Exchange<'_> {
    async fn run(&self) -> Result<(), GatewayError> {
        let used = self.session.legacy();
        let response = self.session.post(self.message, self.session.limits.call_timeout).await?;
        if response.status().is_success() {
            return self.accepted(response).await;
        }
        let (status, body) = refusal(response, self.session.limits.write_timeout).await;
        if self.is_modern() && mirrored::is_missed(self.message, status, &body) {
            return self.with_headers(status, &body).await;
        }
        let Some(forgotten) = used.filter(|used| self.lost_its_session(used, status, &body)) else {
            self.refused(status, &body).await;
            return Ok(());
        };
        if healing::heal(self.session, &forgotten).await.is_err() {
            self.session_lost(status).await;
            return Ok(());
        }
        // The server refused it because of its session, so it was not executed: once more, and no more.
        let used = self.session.legacy();
        let response = self.session.post(self.message, self.session.limits.call_timeout).await?;
        if response.status().is_success() {
            return self.accepted(response).await;
        }
        let (status, body) = refusal(response, self.session.limits.write_timeout).await;
        match used.is_some_and(|used| self.lost_its_session(&used, status, &body)) {
            true => self.session_lost(status).await,
            false => self.refused(status, &body).await,
        }
        Ok(())
    }

    /// Once more with the headers that the server missed, if it tells which they are.
    async fn with_headers(&self, status: StatusCode, body: &[u8]) -> Result<(), GatewayError> {
        if !mirrored::learn(self.session, self.message).await.unwrap_or(false) {
            self.refused(status, body).await;
            return Ok(());
        }
        let response = self.session.post(self.message, self.session.limits.call_timeout).await?;
        if response.status().is_success() {
            return self.accepted(response).await;
        }
        let (status, body) = refusal(response, self.session.limits.write_timeout).await;
        self.refused(status, &body).await;
        Ok(())
    }

    async fn accepted(&self, response: Response<Incoming>) -> Result<(), GatewayError> {
        let limits = self.session.limits;
        let session_id = id_of(&response).cloned();
        if is_event_stream(&response) {
            return self.stream(response, session_id.as_ref()).await;
        }
        if !has_media_type(&response, "application/json") {
            let status = response.status();
            return Err(GatewayError::protocol(format!(
                "the server answered without json or events (status {status})"
            )));
        }
        let body = read_body(response.into_body(), limits.message_len_max, limits.call_timeout).await?;
        match self.body(body, session_id.as_ref()).await? {
            true => Ok(()),
            false => Err(GatewayError::protocol("the body holds no answer to the request")),
        }
    }

    /// Relays a stream until the answer; asks for it again when it breaks before.
    async fn stream(
        &self,
        response: Response<Incoming>,
        session_id: Option<&HeaderValue>,
    ) -> Result<(), GatewayError> {
        let mut stream = self.events(response);
        let mut resume_at: Option<Box<str>> = None;
        let mut until = self.patience();
        loop {
            let broken = match stream.messages().await {
                Ok(Some(messages)) => {
                    until = self.patience();
                    if self.deliver_all(messages, session_id).await {
                        finish(stream).await;
                        return Ok(());
                    }
                    continue;
                }
                Ok(None) => GatewayError::closed("the stream ended before the answer"),
                Err(error) if error.kind() == ErrorKind::Closed => error,
                // What is too long or too slow once is so again.
                Err(error) => return Err(error),
            };
            resume_at = stream.last_event_id().map(Into::into).or(resume_at);
            let Some(from) = resume_at.as_deref().filter(|_| self.resumable()) else { return Err(broken) };
            let pause = stream.retry().unwrap_or(RETRY_DEFAULT).clamp(RETRY_MIN, RETRY_MAX);
            match timeout_at(until, self.resume(from, pause)).await {
                Ok(Some(resumed)) => stream = resumed,
                Ok(None) | Err(_) => return Err(broken),
            }
        }
    }

    /// Until when a stream that brings no message is asked for again.
    fn patience(&self) -> Instant {
        Instant::now() + self.session.limits.call_timeout
    }

    /// The stream from the event after `from` on, if the server goes on with it.
    async fn resume(&self, from: &str, pause: Duration) -> Option<EventStream> {
        loop {
            sleep(pause).await;
            let response = self.session.get(Some(from), self.session.limits.call_timeout).await;
            match response {
                Ok(response) if response.status().is_success() && is_event_stream(&response) => {
                    return Some(self.events(response));
                }
                Ok(response) if !response.status().is_server_error() => return None,
                _ => {}
            }
        }
    }

    /// Delivers a body; true if the answer was in it.
    async fn body(&self, data: Bytes, session_id: Option<&HeaderValue>) -> Result<bool, GatewayError> {
        let messages = answers::messages(data).map_err(|error| {
            GatewayError::protocol("the server sent something that is no message").with_source(error)
        })?;
        Ok(self.deliver_all(messages, session_id).await)
    }

    /// Delivers messages; true if the answer was among them.
    async fn deliver_all(&self, messages: Vec<McpMessage>, session_id: Option<&HeaderValue>) -> bool {
        let mut answered = false;
        for message in messages {
            if self.is_answer(&message) {
                answered = true;
                if self.message.method() == Some(methods::INITIALIZE) && !self.is_modern() {
                    self.session.adopt(self.message, session_id, &message);
                } else if message.envelope().kind() == Kind::Response {
                    self.session.told.keep(self.message);
                    if self.is_modern() && self.message.method() == Some(methods::TOOLS_LIST) {
                        self.session.mirrored.read(&message);
                    }
                }
            }
            deliver(self.sink, Event::Message(message)).await;
        }
        answered
    }

    fn is_answer(&self, message: &McpMessage) -> bool {
        is_answer_to(message, self.message)
    }

    fn lost_its_session(&self, used: &Arc<Legacy>, status: StatusCode, body: &[u8]) -> bool {
        !self.is_modern() && session_lost(Some(used), status, body)
    }

    async fn refused(&self, status: StatusCode, body: &[u8]) {
        let id = self.message.id().unwrap_or_default();
        deliver(self.sink, Event::Message(answers::refusal(id, status, body))).await;
    }

    /// The server does not open the session anew: the connection is of no more use.
    async fn session_lost(&self, status: StatusCode) {
        let id = self.message.id().unwrap_or_default();
        let answer = answers::failure(id, "session_lost", &lost().to_string(), Some(status));
        deliver(self.sink, Event::Message(answer)).await;
        deliver(self.sink, Event::Lost(lost())).await;
    }

    async fn fail(&self, error: &GatewayError) {
        let answer = answers::failure_of(self.message.id().unwrap_or_default(), error);
        deliver(self.sink, Event::Message(answer)).await;
    }

    fn events(&self, response: Response<Incoming>) -> EventStream {
        let limits = self.session.limits;
        // A subscription is silent until something changes.
        let listens = self.message.method() == Some(methods::SUBSCRIPTIONS_LISTEN);
        let idle = (!listens).then_some(limits.call_timeout);
        EventStream::new(response.into_body(), limits.message_len_max, idle)
    }

    fn is_modern(&self) -> bool {
        modern_version(self.message).is_some()
    }

    /// The modern era has no resumption: a broken stream is a lost request.
    fn resumable(&self) -> bool {
        !self.is_modern()
    }
}

/// What a response brings up to the answer to `request`.
pub async fn heard(
    limits: Limits,
    response: Response<Incoming>,
    request: &McpMessage,
) -> Result<Vec<McpMessage>, GatewayError> {
    if !is_event_stream(&response) {
        let body = read_body(response.into_body(), limits.message_len_max, limits.write_timeout).await?;
        return answers::messages(body).map_err(|error| {
            GatewayError::protocol("the server sent something that is no message").with_source(error)
        });
    }
    let mut stream =
        EventStream::new(response.into_body(), limits.message_len_max, Some(limits.write_timeout));
    let mut heard = Vec::new();
    while let Some(messages) = stream.messages().await? {
        heard.extend(messages);
        if heard.iter().any(|message| is_answer_to(message, request)) {
            break;
        }
    }
    Ok(heard)
}

/// Whether `message` is the answer to `request`.
pub fn is_answer_to(message: &McpMessage, request: &McpMessage) -> bool {
    let same = |a: &[u8], b: &[u8]| a == b || canonical_id(a) == canonical_id(b);
    message.method().is_none() && matches!((message.id(), request.id()), (Some(a), Some(b)) if same(a, b))
}

async fn finish(mut stream: EventStream) {
    let _ = timeout(LINGER, async { while let Ok(Some(_)) = stream.next().await {} }).await;
}
