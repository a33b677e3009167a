//! The input side: bytes become lines, without a copy.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use omcp_core::GatewayError;
use omcp_mcp::lines::{LineDecoder, LineTooLong};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room for one read: what a Linux pipe holds.
const READ_LEN: usize = 64 * 1024;
/// An empty buffer larger than this is given back; one long line must not cost memory for ever.
const BUFFER_LEN_KEPT: usize = 4 * READ_LEN;

pub(super) struct LineReader<R> {
    reader: R,
    decoder: LineDecoder,
    line_len_max: usize,
    end: Option<End>,
}

enum End {
    Clean,
    Failed(io::Error),
    Overlong(LineTooLong),
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(reader: R, line_len_max: usize) -> Self {
        Self { reader, decoder: LineDecoder::new(line_len_max), line_len_max, end: None }
    }

    /// The next line that was read already, without its end. The last line needs no end.
    pub(super) fn buffered_line(&mut self) -> Result<Option<Bytes>, GatewayError> {
        let line = match (self.decoder.next_line(), &self.end) {
            (None, Some(End::Clean)) => self.decoder.finish(),
            (line, _) => line,
        };
        line.transpose().map_err(|overlong| {
            self.clear();
            self.end = Some(End::Overlong(overlong));
            too_long(overlong)
        })
    }

    /// Reads once. The end and failures are kept for [`LineReader::outcome`].
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.make_room();
        // The future holds nothing between two polls, so that a new one goes on where the last one was.
        let read = ready!(pin!(self.reader.read_buf(self.decoder.buffer())).poll(cx));
        match read {
            Ok(0) => self.end = Some(End::Clean),
            Ok(_) => {}
            Err(error) => self.end = Some(End::Failed(error)),
        }
        Poll::Ready(())
    }

    pub(super) fn ended(&self) -> bool {
        self.end.is_some()
    }

    /// How the input ended. An error is told in full only once.
    pub(super) fn outcome(&mut self) -> Result<(), GatewayError> {
        match &mut self.end {
            None | Some(End::Clean) => Ok(()),
            Some(End::Overlong(overlong)) => Err(too_long(*overlong)),
            Some(End::Failed(error)) => {
                let error = std::mem::replace(error, io::ErrorKind::ConnectionAborted.into());
                Err(GatewayError::closed("the stream from the peer broke").with_source(error))
            }
        }
    }

    pub(super) fn len(&mut self) -> usize {
        self.decoder.buffer().len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&mut self) -> usize {
        self.decoder.buffer().capacity()
    }

    pub(super) fn clear(&mut self) {
        self.decoder = LineDecoder::new(self.line_len_max);
    }

    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    fn make_room(&mut self) {
        let buffer = self.decoder.buffer();
        if buffer.is_empty() && buffer.capacity() > BUFFER_LEN_KEPT {
            *buffer = BytesMut::new();
        }
        if buffer.capacity() - buffer.len() < READ_LEN / 4 {
            buffer.reserve(READ_LEN);
        }
    }
}

fn too_long(line: LineTooLong) -> GatewayError {
    GatewayError::protocol(format!("the peer sent a line longer than {} bytes", line.max_line_bytes))
}
