//! The output side: lines are queued in one buffer, so that one write takes many.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncWrite;

/// An empty buffer larger than this is given back.
const BUFFER_LEN_KEPT: usize = 256 * 1024;

pub(super) struct LineWriter<W> {
    /// `None` once closed by us or broken by the peer.
    writer: Option<W>,
    buffer: BytesMut,
    unflushed: bool,
}

impl<W: AsyncWrite + Unpin> LineWriter<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer: Some(writer), buffer: BytesMut::new(), unflushed: false }
    }

    pub(super) fn push(&mut self, line: &[u8]) -> io::Result<()> {
        if self.writer.is_none() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.buffer.reserve(line.len() + 1);
        self.buffer.put_slice(line);
        self.buffer.put_u8(b'\n');
        Ok(())
    }

    /// Bytes queued.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Writes until nothing is queued. A failure closes the writer.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = ready!(self.poll_write_all(cx));
        if written.is_err() {
            self.close();
        }
        Poll::Ready(written)
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        let Some(writer) = &mut self.writer else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        while !self.buffer.is_empty() {
            self.unflushed = true;
            match ready!(Pin::new(&mut *writer).poll_write(cx, &self.buffer))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.buffer.advance(written),
            }
        }
        ready!(Pin::new(writer).poll_flush(cx))?;
        self.unflushed = false;
        if self.buffer.capacity() > BUFFER_LEN_KEPT {
            self.buffer = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Flushes first: the shutdown of standard output does not.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.writer {
            Some(writer) => {
                ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                Pin::new(writer).poll_shutdown(cx)
            }
            None => Poll::Ready(Ok(())),
        }
    }

    /// Drops the writer: for a pipe that is the only way to close it.
    pub(super) fn close(&mut self) {
        self.writer = None;
        self.unflushed = false;
        self.buffer = BytesMut::new();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.writer.is_none()
    }

    pub(super) fn into_inner(self) -> Option<W> {
        self.writer
    }
}
