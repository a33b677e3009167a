//! [`DockerConnection`]: one conversation with one container.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use omcp_core::{BackendConnection, ErrorKind, GatewayError, McpMessage};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, sleep_until, timeout};

use super::container::Container;
use super::output::Output;
use crate::lines::LineConnection;

/// The conversation as lines.
pub type Lines = LineConnection<Output, Pin<Box<dyn AsyncWrite + Send>>>;

/// The waits of a connection.
#[derive(Clone, Copy)]
pub struct Waits {
    /// From the first message sent to the first received.
    pub start: Duration,
    /// From the end of the input.
    pub stop: Duration,
    /// From the stop signal.
    pub kill: Duration,
}

pub struct DockerConnection {
    lines: Lines,
    container: Container,
    waits: Waits,
    first: First,
    state: State,
}

/// Whether the container has shown that it speaks.
#[derive(Clone, Copy)]
enum First {
    /// Nothing was sent yet.
    Idle,
    Awaited(Instant),
    Seen,
}

enum State {
    Open,
    /// The streams ended; the engine is asked how.
    Ending(BoxFuture<'static, GatewayError>),
    /// The end was reported, or we ended it.
    Over,
}

impl DockerConnection {
    pub fn new(lines: Lines, container: Container, waits: Waits) -> Self {
        Self { lines, container, waits, first: First::Idle, state: State::Open }
    }

    /// A container that takes no more input has usually ended; how, says more than a broken pipe.
    async fn why_closed(&mut self, error: GatewayError) -> GatewayError {
        self.state = State::Over;
        self.container.end().await.with_source(error)
    }

    fn late(&mut self) -> GatewayError {
        self.state = State::Over;
        let (name, timeout_ms) = (self.container.name(), self.waits.start.as_millis());
        let text = format!("container {name} wrote no message in {timeout_ms} ms; see start_timeout_ms");
        GatewayError::timeout(text)
    }
}

#[async_trait]
impl BackendConnection for DockerConnection {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        if matches!(self.first, First::Idle) {
            self.first = First::Awaited(Instant::now() + self.waits.start);
        }
        match self.lines.send(&message).await {
            Err(error) if error.kind() == ErrorKind::Closed => Err(self.why_closed(error).await),
            sent => sent,
        }
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        loop {
            match &mut self.state {
                State::Over => return Ok(None),
                State::Ending(end) => {
                    let error = end.await;
                    self.state = State::Over;
                    return Err(error);
                }
                State::Open => {}
            }
            tokio::select! {
                biased;
                message = self.lines.recv() => match message {
                    Ok(Some(message)) => {
                        self.first = First::Seen;
                        return Ok(Some(message));
                    }
                    Err(error) if error.kind() != ErrorKind::Closed => return Err(error),
                    _ => self.state = State::Ending(Box::pin(self.container.end())),
                },
                () = passed(self.first) => return Err(self.late()),
            }
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        self.state = State::Over;
        if timeout(self.waits.stop, self.lines.discard()).await.is_err() {
            let silent = async {
                self.lines.discard().await;
                pending::<()>().await;
            };
            tokio::select! {
                () = self.container.stop(self.waits.kill) => {}
                () = silent => {}
            }
        }
        self.container.remove().await
    }
}

async fn passed(first: First) {
    match first {
        First::Awaited(until) => sleep_until(until).await,
        First::Idle | First::Seen => pending().await,
    }
}
