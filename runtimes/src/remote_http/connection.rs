//! [`HttpConnection`]: many exchanges, one conversation.
//!
//! Exchanges are futures that live in the connection and run while it is polled; nothing is spawned.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use omcp_core::{BackendConnection, GatewayError, McpMessage};
use omcp_mcp::methods;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::exchange::{self, Event, Sink};
use super::listen::{self, Opening};
use super::session::{Session, modern_version};
use crate::answers;
use crate::outbox::{Outbox, is_request};

/// Messages received and not yet asked for; exchanges wait while there are more.
const EVENTS_MAX: usize = 256;
/// How long the first call waits for the session's own stream: some servers drop what they want to ask
/// while it is not open, and others never answer the request for it.
const LISTEN_WAIT: Duration = Duration::from_secs(2);

pub struct HttpConnection {
    session: Arc<Session>,
    outbox: Outbox,
    exchanges: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Requests under way by id, so that they can be cancelled.
    cancels: HashMap<Vec<u8>, Cancel>,
    sink: Sink,
    events: mpsc::Receiver<Event>,
    /// Why nothing more will be POSTed.
    lost: Option<GatewayError>,
    /// Nothing more will come.
    over: bool,
    /// The server knows, or need not be told, that the session is over.
    ended: bool,
}

struct Cancel {
    handle: AbortHandle,
    modern: bool,
}

/// What an exchange was about, once it is through.
enum Done {
    Request(Vec<u8>),
    OneWay {
        /// The request that was cancelled by it.
        cancelled: Option<Vec<u8>>,
        /// The session's own stream, asked for by it.
        listen: Option<Opening>,
    },
    Listen,
}

impl HttpConnection {
    pub fn new(session: Arc<Session>) -> Self {
        let (sink, events) = mpsc::channel(EVENTS_MAX);
        let (outbox, exchanges, cancels) = (Outbox::default(), FuturesUnordered::new(), HashMap::new());
        Self { session, outbox, exchanges, cancels, sink, events, lost: None, over: false, ended: false }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Poll::Ready(event) = self.events.poll_recv(cx) {
                return Poll::Ready(event);
            }
            self.start_exchanges();
            match self.exchanges.poll_next_unpin(cx) {
                Poll::Ready(Some(done)) => self.settle(done),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.start_exchanges();
            if self.outbox.has_room() {
                return Poll::Ready(());
            }
            match self.exchanges.poll_next_unpin(cx) {
                Poll::Ready(Some(done)) => self.settle(done),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn start_exchanges(&mut self) {
        while let Some(message) = self.outbox.take() {
            let exchange = if is_request(&message) { self.request(message) } else { self.one_way(message) };
            self.exchanges.push(exchange);
        }
    }

    fn request(&mut self, message: McpMessage) -> BoxFuture<'static, Done> {
        let id = message.id().unwrap_or_default().to_vec();
        let modern = modern_version(&message).is_some();
        let run = exchange::request(Arc::clone(&self.session), message, self.sink.clone());
        let (run, handle) = abortable(run);
        self.cancels.insert(id.clone(), Cancel { handle, modern });
        Box::pin(async move {
            let _ = run.await;
            Done::Request(id)
        })
    }

    fn one_way(&self, message: McpMessage) -> BoxFuture<'static, Done> {
        let (session, sink) = (Arc::clone(&self.session), self.sink.clone());
        Box::pin(async move {
            let accepted = exchange::one_way(&session, &message, &sink).await;
            let opens = accepted && message.method() == Some(methods::INITIALIZED) && session.is_legacy();
            let listen = if opens { Some(listening(&session).await) } else { None };
            Done::OneWay { cancelled: cancelled_id(&message), listen }
        })
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Request(id) => {
                self.cancels.remove(&id);
                self.outbox.done(true);
            }
            Done::OneWay { cancelled, listen } => {
                self.outbox.done(false);
                // The server will not answer any more, and may leave the stream open for ever.
                cancelled.and_then(|id| self.cancels.remove(&id)).inspect(|cancel| cancel.handle.abort());
                if let Some(opening) = listen {
                    let run = listen::run(Arc::clone(&self.session), opening, self.sink.clone());
                    self.exchanges.push(Box::pin(async move {
                        run.await;
                        Done::Listen
                    }));
                }
            }
            Done::Listen => {}
        }
    }

    /// What waited for its turn has not been done, which is told before the end: somebody else may do it.
    fn leave(&mut self, error: GatewayError) -> Result<Option<McpMessage>, GatewayError> {
        let Some(unsent) = self.outbox.unsent() else {
            (self.over, self.ended) = (true, true);
            return Err(error);
        };
        let not_sent = GatewayError::unreachable(format!("the request was not sent: {}", error.chain()));
        self.lost = Some(error);
        Ok(Some(answers::failure_of(unsent.id().unwrap_or_default(), &not_sent)))
    }

    /// Whether a cancellation is done without telling the server in words.
    fn cancelled_in_silence(&mut self, message: &McpMessage) -> bool {
        let Some(id) = cancelled_id(message) else { return false };
        if self.outbox.withdraw(&id) {
            return true;
        }
        match self.cancels.get(&id) {
            // In the modern era the end of the stream is the cancellation.
            Some(cancel) if cancel.modern => {
                cancel.handle.abort();
                true
            }
            Some(_) => false,
            None => !self.session.is_legacy(),
        }
    }
}

#[async_trait]
impl BackendConnection for HttpConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        if self.over || self.lost.is_some() {
            return Err(GatewayError::closed("the connection is closed"));
        }
        if self.cancelled_in_silence(&message) {
            return Ok(());
        }
        let wait = self.session.limits.write_timeout;
        if timeout(wait, poll_fn(|cx| self.poll_room(cx))).await.is_err() {
            let text = format!("the server took no message in {} ms", wait.as_millis());
            return Err(GatewayError::timeout(text));
        }
        self.outbox.push(message);
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        if self.over {
            return Ok(None);
        }
        if let Some(error) = self.lost.take() {
            return self.leave(error);
        }
        match poll_fn(|cx| self.poll_event(cx)).await {
            Some(Event::Message(message)) => Ok(Some(message)),
            Some(Event::Lost(error)) => self.leave(error),
            None => Ok(None),
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.over = true;
        self.exchanges.clear();
        self.cancels.clear();
        if !std::mem::replace(&mut self.ended, true) {
            self.session.end().await;
        }
        Ok(())
    }
}

/// Waits a little for the session's own stream, and hands it on open or still opening.
async fn listening(session: &Arc<Session>) -> Opening {
    let mut opening = listen::open(Arc::clone(session), None);
    match timeout(LISTEN_WAIT, &mut opening).await {
        Ok(opened) => Box::pin(async move { opened }),
        Err(_) => opening,
    }
}

/// The request that a cancellation is about.
fn cancelled_id(message: &McpMessage) -> Option<Vec<u8>> {
    if message.method() != Some(methods::CANCELLED) {
        return None;
    }
    message.envelope().request_id_param(message.bytes()).map(<[u8]>::to_vec)
}
