//! Client connections that wait for their next request.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Idle connections to one address. As many as were ever in use at once.
#[derive(Debug)]
pub struct Pool {
    to: SocketAddr,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    /// An empty pool.
    pub fn new(to: SocketAddr) -> Self {
        Self { to, idle: Mutex::new(Vec::new()) }
    }

    /// An idle connection that is still open, or a new one.
    pub async fn take(&self) -> Result<SendRequest<Incoming>> {
        while let Some(mut connection) = self.pop() {
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>> {
        let stream = TcpStream::connect(self.to).await.with_context(|| format!("connect to {}", self.to))?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }

    fn pop(&self) -> Option<SendRequest<Incoming>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn push(&self, connection: SendRequest<Incoming>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// A response body that gives its connection back when it ends.
#[derive(Debug)]
pub struct Streamed {
    body: Incoming,
    connection: Option<SendRequest<Incoming>>,
    pool: Arc<Pool>,
}

impl Streamed {
    /// A body that arrives over a connection of a pool.
    pub fn new(body: Incoming, connection: SendRequest<Incoming>, pool: Arc<Pool>) -> Self {
        let mut streamed = Self { body, connection: Some(connection), pool };
        streamed.give_back_at_end();
        streamed
    }

    fn give_back_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(connection) = self.connection.take()
        {
            self.pool.push(connection);
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.connection = None,
            _ => self.give_back_at_end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
