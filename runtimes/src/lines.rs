//! Newline-delimited JSON over any pair of byte streams: pipes, TCP, Unix sockets.
//!
//! Everything happens inside the polls of one owner: no task, no channel, no lock. `recv` writes what
//! `send` has queued whenever it is about to wait for input, so that many lines leave in one write
//! and many arrive in one read. An owner that has several messages sends them all before `recv`.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use omcp_core::runtime::NoStderr;
use omcp_core::{GatewayError, McpMessage, StderrSink};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use self::reader::LineReader;
use self::writer::LineWriter;

/// Most unread input held while a `send` waits for room. It lets a peer go on writing, and so
/// reading, when both pipes are full.
pub const READ_AHEAD_LEN_MAX: usize = 4 * 1024 * 1024;
/// Lines that are no JSON-RPC are quoted in the logs so many times per connection.
const SKIPPED_LOGGED_MAX: u64 = 5;
/// So much of such a line is quoted.
const SKIPPED_QUOTE_LEN: usize = 80;
/// Queued output of this size leaves although more input is at hand.
const WRITE_LEN_EAGER: usize = 64 * 1024;

/// The bounds of one [`LineConnection`].
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// Longest line accepted, bytes without its end.
    pub line_len_max: usize,
    /// `send` waits while so many bytes are queued.
    pub queue_len_max: usize,
    /// How long it waits.
    pub write_timeout: Duration,
}

impl Default for LineLimits {
    fn default() -> Self {
        Self {
            line_len_max: 16 * 1024 * 1024,
            queue_len_max: 1024 * 1024,
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// One conversation in lines. The contract of [`omcp_core::BackendConnection`] holds for `send` and `recv`.
pub struct LineConnection<R, W> {
    input: LineReader<R>,
    output: LineWriter<W>,
    limits: LineLimits,
    skipped: u64,
    /// Hears of the first lines that are no message.
    log: Arc<dyn StderrSink>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> LineConnection<R, W> {
    pub fn new(reader: R, writer: W, limits: LineLimits) -> Self {
        let input = LineReader::new(reader, limits.line_len_max);
        let log = Arc::new(NoStderr);
        Self { input, output: LineWriter::new(writer), limits, skipped: 0, log }
    }

    /// Tells `log`, which the author of a server reads, of the first lines that are no message.
    #[must_use]
    pub fn telling(self, log: Arc<dyn StderrSink>) -> Self {
        Self { log, ..self }
    }

    /// Queues one message; it leaves with the next `recv`.
    ///
    /// # Errors
    /// `Closed`: the peer takes no more input. `Timeout`: it took none for `write_timeout`.
    pub async fn send(&mut self, message: &McpMessage) -> Result<(), GatewayError> {
        if self.output.len() >= self.limits.queue_len_max {
            self.drain_below(self.limits.queue_len_max).await?;
        }
        self.output.push(message.bytes()).map_err(not_written)
    }

    /// Writes what is queued and waits for the next message. Lines that are no message are skipped.
    ///
    /// `Ok(None)` is the end of input. Cancel safe.
    ///
    /// # Errors
    /// `Protocol`: an overlong line. `Closed`: the stream broke.
    pub async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`LineConnection::recv`] for those who poll by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<McpMessage>, GatewayError>> {
        if self.output.len() >= WRITE_LEN_EAGER {
            self.write(cx);
        }
        loop {
            while let Some(line) = self.input.buffered_line()? {
                if let Some(message) = self.message(line) {
                    return Poll::Ready(Ok(Some(message)));
                }
            }
            if self.input.ended() {
                return Poll::Ready(self.input.outcome().map(|()| None));
            }
            self.write(cx);
            ready!(self.input.poll_fill(cx));
        }
    }

    /// Writes what is queued, then closes the write side.
    ///
    /// # Errors
    /// As [`LineConnection::send`]. The write side is closed all the same.
    pub async fn close_write(&mut self) -> Result<(), GatewayError> {
        let written = match self.output.len() {
            0 => Ok(()),
            _ => self.drain_below(1).await,
        };
        let shut = timeout(self.limits.write_timeout, poll_fn(|cx| self.output.poll_shutdown(cx))).await;
        self.output.close();
        written?;
        shut.map_err(|_| self.timed_out())?.map_err(not_written)
    }

    /// Closes the write side after what is queued and drops all input until its end.
    pub async fn discard(&mut self) {
        poll_fn(|cx| self.poll_discard(cx)).await;
    }

    /// Lines so far that were no JSON-RPC message.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The two streams; what was read or queued but not delivered is lost.
    pub fn into_parts(self) -> (R, Option<W>) {
        (self.input.into_inner(), self.output.into_inner())
    }

    async fn drain_below(&mut self, len: usize) -> Result<(), GatewayError> {
        match timeout(self.limits.write_timeout, poll_fn(|cx| self.poll_below(len, cx))).await {
            Ok(written) => written.map_err(not_written),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// Writes until fewer than `len` bytes are queued; meanwhile reads ahead.
    fn poll_below(&mut self, len: usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Poll::Ready(written) = self.output.poll_write(cx) {
                return Poll::Ready(written);
            }
            if self.output.len() < len {
                return Poll::Ready(Ok(()));
            }
            if self.input.ended() || self.input.len() >= READ_AHEAD_LEN_MAX {
                return Poll::Pending;
            }
            ready!(self.input.poll_fill(cx));
        }
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.output.poll_write(cx).is_ready() && self.output.poll_shutdown(cx).is_ready() {
                self.output.close();
            }
            self.input.clear();
            if self.input.ended() {
                return if self.output.is_closed() { Poll::Ready(()) } else { Poll::Pending };
            }
            ready!(self.input.poll_fill(cx));
        }
    }

    /// A failure shows in the next `send`; what the peer still has to say is read first.
    fn write(&mut self, cx: &mut Context<'_>) {
        let _ = self.output.poll_write(cx);
    }

    fn message(&mut self, line: Bytes) -> Option<McpMessage> {
        match McpMessage::parse(line.clone()) {
            Ok(message) => Some(message),
            Err(error) => {
                self.skipped += 1;
                if self.skipped <= SKIPPED_LOGGED_MAX {
                    let quote = String::from_utf8_lossy(&line[..line.len().min(SKIPPED_QUOTE_LEN)]);
                    tracing::debug!(%error, line = ?quote, "skipped a line that is no json-rpc message");
                    self.log.line(format!("[stdout, not JSON-RPC and skipped: {quote:?}]").as_bytes());
                } else if self.skipped == SKIPPED_LOGGED_MAX + 1 {
                    self.log.line(b"[stdout: further lines that are not JSON-RPC are skipped unseen]");
                }
                None
            }
        }
    }

    fn timed_out(&self) -> GatewayError {
        let timeout_ms = self.limits.write_timeout.as_millis();
        GatewayError::timeout(format!("the peer did not read its input for {timeout_ms} ms"))
    }
}

fn not_written(error: io::Error) -> GatewayError {
    GatewayError::closed("the peer reads no more input").with_source(error)
}
