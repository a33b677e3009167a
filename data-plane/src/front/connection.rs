//! One connection of a client: which HTTP it speaks, and how it ends when the node stops.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};

use super::config::FrontConfig;
use super::entrance::Door;
use super::stall::Stalling;
use crate::alarm::Alarms;

/// With which HTTP/2 begins: see RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between looks at the beginning of a preface.
const PAUSE: Duration = Duration::from_millis(10);

/// What is spoken with clients.
pub struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    header_timeout: Duration,
    write_stall: Duration,
}

impl Protocols {
    pub fn new(config: &FrontConfig) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .header_read_timeout(config.header_timeout)
            .max_buf_size(config.header_len_max.max(8 * 1024))
            .max_headers(config.headers_max);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(100)
            .max_header_list_size(u32::try_from(config.header_len_max).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        let (header_timeout, write_stall) = (config.header_timeout, config.write_stall);
        Self { http1, http2, header_timeout, write_stall }
    }

    /// Serves a connection to its end; once `stop` changes, to the end of what is under way. Its place is free then.
    pub async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        door: Door,
        mut stop: watch::Receiver<bool>,
        _place: OwnedSemaphorePermit,
    ) {
        drop(stream.set_nodelay(true));
        let opened = tokio::select! {
            biased;
            opened = timeout(self.header_timeout, opens_http2(&stream)) => opened,
            _ = stop.changed() => return,
        };
        let stream = || TokioIo::new(Stalling::new(stream, self.write_stall));
        match opened {
            Ok(Ok(false)) => {
                let mut http1 = self.http1.clone();
                http1.timer(Alarms::default());
                let connection = pin!(http1.serve_connection(stream(), door));
                until_over(connection, stop).await;
            }
            Ok(Ok(true)) => {
                until_over(Box::pin(self.http2.serve_connection(stream(), door)).as_mut(), stop).await
            }
            Ok(Err(error)) => tracing::trace!(%error, "a client connection ended before its first request"),
            Err(_) => tracing::trace!("a client connection was silent for too long"),
        }
    }
}

/// Looks at the first bytes, and leaves them where they are.
async fn opens_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; PREFACE.len()];
    loop {
        let len = stream.peek(&mut start).await?;
        if len == 0 || start[..len] != PREFACE[..len] {
            return Ok(false);
        }
        if len == PREFACE.len() {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
}

async fn until_over<C: GracefulConnection<Error: Error>>(
    mut connection: Pin<&mut C>,
    stop: watch::Receiver<bool>,
) {
    let mut heard = stop.clone();
    let mut stopped = pin!(heard.changed());
    let (mut waits, mut ending) = (false, false);
    let over = poll_fn(|context| {
        // One task polls all this, and what wakes it stays the same: so it is enough to wait once, and to look.
        if !waits || !ending && stop.has_changed().unwrap_or(true) {
            waits = true;
            if stopped.as_mut().poll(context).is_ready() {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        connection.as_mut().poll(context)
    });
    if let Err(error) = over.await {
        tracing::trace!(%error, "a client connection ended early");
    }
}
