//! [`LambdaConnection`]: many invocations, one conversation.
//!
//! Invocations are futures that live in the connection and run while it is polled; nothing is spawned, and
//! nothing runs while nothing was asked.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use omcp_core::{BackendConnection, GatewayError, McpMessage};
use omcp_mcp::envelope::{Kind, META_SUBSCRIPTION_ID};
use omcp_mcp::{compose, methods};
use tokio::time::timeout;

use super::exchange;
use super::failure::Failure;
use super::function::Function;
use super::handshake::Handshake;
use crate::outbox::{Outbox, is_request};

/// Messages that wait for their invocation: more than a lane ever has, so that one slow function does not
/// hold up the answers of others.
const WAITING_MAX: usize = 512;
/// Answers not asked for yet; while there are more, `send` waits.
const ANSWERS_MAX: usize = 256;
/// How long `send` waits for room before the connection is given up.
const SEND_WAIT: Duration = Duration::from_secs(30);

pub struct LambdaConnection {
    function: Arc<Function>,
    handshake: Arc<Handshake>,
    outbox: Outbox,
    invocations: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Requests under way by id, so that they can be cancelled.
    cancels: HashMap<Vec<u8>, AbortHandle>,
    answers: VecDeque<McpMessage>,
    /// Why no further answer will come, once those at hand are delivered.
    gone: Option<GatewayError>,
    over: bool,
}

/// What an invocation was about, once it is through.
enum Done {
    /// No outcome if it was cancelled.
    Request {
        id: Vec<u8>,
        outcome: Option<Box<Result<McpMessage, Failure>>>,
    },
    OneWay,
}

impl LambdaConnection {
    pub fn new(function: Arc<Function>) -> Self {
        let outbox = Outbox::with_bounds(function.concurrency_max.into(), WAITING_MAX);
        Self {
            function,
            handshake: Arc::default(),
            outbox,
            invocations: FuturesUnordered::new(),
            cancels: HashMap::new(),
            answers: VecDeque::new(),
            gone: None,
            over: false,
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<McpMessage, GatewayError>> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Poll::Ready(Ok(answer));
            }
            if let Some(error) = self.gone.take() {
                return Poll::Ready(Err(error));
            }
            if !self.work(cx) {
                return Poll::Pending;
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.outbox.has_room() && self.answers.len() < ANSWERS_MAX {
                return Poll::Ready(());
            }
            if self.answers.len() >= ANSWERS_MAX || !self.work(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Starts what may start and takes what is through. False if nothing is.
    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(message) = self.outbox.take() {
            let invocation = if is_request(&message) { self.request(message) } else { self.one_way(message) };
            self.invocations.push(invocation);
        }
        let Poll::Ready(Some(done)) = self.invocations.poll_next_unpin(cx) else { return false };
        self.settle(done);
        true
    }

    fn request(&mut self, message: McpMessage) -> BoxFuture<'static, Done> {
        let id = message.id().unwrap_or_default().to_vec();
        let (function, handshake) = (Arc::clone(&self.function), Arc::clone(&self.handshake));
        let (run, handle) = abortable(async move { exchange::request(function, handshake, &message).await });
        self.cancels.insert(id.clone(), handle);
        Box::pin(async move { Done::Request { id, outcome: run.await.ok().map(Box::new) } })
    }

    fn one_way(&self, message: McpMessage) -> BoxFuture<'static, Done> {
        let (function, handshake) = (Arc::clone(&self.function), Arc::clone(&self.handshake));
        Box::pin(async move {
            let unwanted = message.method() == Some(methods::INITIALIZED) && handshake.is_not_needed();
            if !unwanted {
                exchange::notify(&function, &message).await;
            }
            Done::OneWay
        })
    }

    fn settle(&mut self, done: Done) {
        let Done::Request { id, outcome } = done else { return self.outbox.done(false) };
        self.outbox.done(true);
        self.cancels.remove(&id);
        match outcome.map(|outcome| *outcome) {
            Some(Ok(answer)) => self.answers.push_back(answer),
            Some(Err(failure)) => {
                self.answers.push_back(failure.answer(&id));
                self.gone = failure.gone.then_some(failure.error).or(self.gone.take());
            }
            None => {}
        }
    }

    /// Whether the message is dealt with without any invocation.
    fn stays_here(&mut self, message: &McpMessage) -> bool {
        let envelope = message.envelope();
        match message.method() {
            // The function cannot be told: what it still does is not waited for.
            Some(methods::CANCELLED) => {
                let id = envelope.request_id_param(message.bytes()).unwrap_or_default();
                if !self.outbox.withdraw(id) {
                    self.cancels.get(id).inspect(|handle| handle.abort());
                }
                true
            }
            // Nothing will ever be said on it: a function speaks when it is asked only.
            Some(methods::SUBSCRIPTIONS_LISTEN) if envelope.kind() == Kind::Request => {
                self.answers.push_back(listening(message.id().unwrap_or_default()));
                true
            }
            // Functions ask nothing, so this answers nothing.
            None => {
                tracing::debug!("dropped a response: a function asks nothing");
                true
            }
            _ => false,
        }
    }
}

#[async_trait]
impl BackendConnection for LambdaConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        if self.over {
            return Err(GatewayError::closed("the connection is closed"));
        }
        if timeout(SEND_WAIT, poll_fn(|cx| self.poll_room(cx))).await.is_err() {
            let text =
                format!("function {} took no message in {} ms", self.function.name(), SEND_WAIT.as_millis());
            return Err(GatewayError::timeout(text));
        }
        if !self.stays_here(&message) {
            self.outbox.push(message);
        }
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        if self.over {
            return Ok(None);
        }
        let received = poll_fn(|cx| self.poll_answer(cx)).await;
        self.over = received.is_err();
        received.map(Some)
    }

    /// Nothing is left running here; an invocation that AWS has begun runs to its end there.
    async fn close(&mut self) -> Result<(), GatewayError> {
        self.over = true;
        self.invocations.clear();
        self.cancels.clear();
        self.answers.clear();
        Ok(())
    }
}

/// The acknowledgement of a subscription to nothing.
fn listening(id: &[u8]) -> McpMessage {
    let meta = format!(r#"{{"notifications":{{}},"_meta":{{"{META_SUBSCRIPTION_ID}":"#);
    let params = [meta.as_bytes(), id, b"}}"].concat();
    McpMessage::trusted(compose::notification(methods::SUBSCRIPTIONS_ACKNOWLEDGED, Some(&params)).into())
}
