//! A client connection: HTTP/1.1 by hand, because it has to cost less than what it measures.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room for one read.
const READ_LEN: usize = 32 * 1024;
/// Longest part of a body that an error message shows, bytes.
const SHOWN_LEN: usize = 400;

/// An answer. It is reused from call to call.
#[derive(Debug, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Value of `Mcp-Session-Id`; empty if there is none.
    pub session: String,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(SHOWN_LEN)];
        write!(f, "HTTP {}: {}", self.status, String::from_utf8_lossy(shown))
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// One connection, one call at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What of the buffer has been used.
    used: usize,
    reply: Reply,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_LEN), used: 0, reply: Reply::default() })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// If the connection breaks or the answer is not HTTP/1.1.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<&Reply> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        self.used = 0;
        self.reply.body.clear();
        match self.read_head().await? {
            Framing::Length(len) => self.read_exactly(len).await?,
            Framing::Chunked => while self.read_chunk().await? {},
        }
        Ok(&self.reply)
    }

    async fn read_head(&mut self) -> Result<Framing> {
        let len = self.find(b"\r\n\r\n").await?;
        let head = std::str::from_utf8(&self.buffer[..len]).context("headers are not text")?;
        let framing = read_headers(head, &mut self.reply)?;
        self.used = len + 4;
        Ok(framing)
    }

    /// Reads one chunk; false if it was the last one.
    async fn read_chunk(&mut self) -> Result<bool> {
        let line_len = self.find(b"\r\n").await?;
        let line = std::str::from_utf8(&self.buffer[self.used..self.used + line_len])?;
        let len = usize::from_str_radix(line.trim(), 16)
            .with_context(|| format!("{line:?} is not a chunk length"))?;
        self.used += line_len + 2;
        self.read_exactly(len).await?;
        self.fill(2).await?;
        self.used += 2;
        Ok(len > 0)
    }

    async fn read_exactly(&mut self, len: usize) -> Result<()> {
        self.fill(len).await?;
        self.reply.body.extend_from_slice(&self.buffer[self.used..self.used + len]);
        self.used += len;
        Ok(())
    }

    /// Reads until the mark is there; returns the length of what stands before it.
    async fn find(&mut self, mark: &[u8]) -> Result<usize> {
        loop {
            if let Some(len) = memmem::find(&self.buffer[self.used..], mark) {
                return Ok(len);
            }
            self.read().await?;
        }
    }

    /// Reads until so many unused bytes are there.
    async fn fill(&mut self, len: usize) -> Result<()> {
        while self.buffer.len() - self.used < len {
            self.read().await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<()> {
        self.buffer.reserve(READ_LEN);
        let len = self.stream.read_buf(&mut self.buffer).await?;
        anyhow::ensure!(len > 0, "the server closed the connection in the middle of an answer");
        Ok(())
    }
}

fn read_headers(head: &str, reply: &mut Reply) -> Result<Framing> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
    reply.status = status.context("not an HTTP/1.1 answer")?.parse()?;
    let mut framing = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            framing = Some(Framing::Length(value.parse()?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked);
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            value.clone_into(&mut reply.session);
        }
    }
    match framing {
        Some(framing) => Ok(framing),
        None if matches!(reply.status, 202 | 204 | 304) => Ok(Framing::Length(0)),
        None => bail!("the answer has neither a length nor chunks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_tell_how_the_body_ends() {
        let mut reply = Reply::default();
        let read = |head: &str, reply: &mut Reply| read_headers(head, reply).unwrap();
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 12", &mut reply), Framing::Length(12));
        assert_eq!(
            read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nMcp-Session-Id: s", &mut reply),
            Framing::Chunked
        );
        assert_eq!((reply.status, reply.session.as_str()), (200, "s"));
        assert_eq!(read("HTTP/1.1 202 Accepted", &mut reply), Framing::Length(0));
        assert!(read_headers("HTTP/1.1 200 OK", &mut reply).is_err());
    }
}
