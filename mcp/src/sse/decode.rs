//! From bytes to events.

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One block of a stream that said anything.
///
/// Unlike a browser this also reports blocks without `data` that carry an id or a retry delay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `id` of this block.
    pub id: Option<Box<str>>,
    /// `event` of this block; none for the default, `message`.
    pub event: Option<Box<str>>,
    /// The `data` lines joined by `\n`. Shares the buffer if there was one line.
    pub data: Bytes,
    /// `retry` of this block, milliseconds.
    pub retry_ms: Option<u64>,
}

/// An event outgrew its limit. The stream cannot be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventTooLong {
    pub max_event_bytes: usize,
}

impl fmt::Display for EventTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an event of the stream is longer than {} bytes",
            self.max_event_bytes
        )
    }
}

impl std::error::Error for EventTooLong {}

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct Decoder {
    lines: Lines,
    draft: Draft,
    max_event_bytes: usize,
    failed: bool,
}

impl Decoder {
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            lines: Lines::default(),
            draft: Draft::default(),
            max_event_bytes,
            failed: false,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.buffer.extend_from_slice(bytes);
    }

    /// Takes over a chunk; without copying it, if nothing is waiting and nobody else holds it.
    pub fn push_chunk(&mut self, chunk: Bytes) {
        if !self.lines.buffer.is_empty() {
            return self.push(&chunk);
        }
        self.lines.buffer = chunk
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    }

    /// The next whole event. `Ok(None)` until more bytes arrive.
    ///
    /// # Errors
    /// An event is longer than allowed; every further call says so too.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLong> {
        while !self.failed {
            let Some(line) = self.lines.next() else { break };
            if line.is_empty() {
                if let Some(event) = self.draft.take() {
                    return Ok(Some(event));
                }
            } else {
                self.draft.field(&line);
            }
            self.failed = self.draft.len > self.max_event_bytes;
        }
        let held = self.draft.len + self.lines.buffer.len();
        self.failed |= held > self.max_event_bytes.saturating_add(FIELD_NAME_LEN);
        if self.failed {
            Err(EventTooLong {
                max_event_bytes: self.max_event_bytes,
            })
        } else {
            Ok(None)
        }
    }

    /// The event that was under way when the stream ended. A browser drops it; here the last message of a
    /// server that forgot the blank line counts, and a torn one fails when it is parsed.
    pub fn finish(&mut self) -> Option<Event> {
        let line = self.lines.rest();
        if !line.is_empty() {
            self.draft.field(&line);
        }
        self.draft
            .take()
            .filter(|_| !self.failed && self.draft.len <= self.max_event_bytes)
    }
}

/// Room for `data: ` and a line end in front of a value that just fits.
const FIELD_NAME_LEN: usize = 8;

#[derive(Debug, Default)]
struct Lines {
    buffer: BytesMut,
    /// Bytes at the front known to hold no end of line.
    searched: usize,
    /// The last line ended with `\r`: a `\n` that follows belongs to it.
    after_cr: bool,
    started: bool,
}

impl Lines {
    fn next(&mut self) -> Option<Bytes> {
        if !self.skip_prefix() {
            return None;
        }
        let Some(at) = memchr2(b'\n', b'\r', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + at).freeze();
        self.searched = 0;
        self.after_cr = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        Some(line)
    }

    /// Skips a byte order mark and the second half of a `\r\n`; false if more bytes are needed to tell.
    fn skip_prefix(&mut self) -> bool {
        if !self.started {
            if self.buffer.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&self.buffer) {
                return false;
            }
            self.started = true;
            if self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.advance(BYTE_ORDER_MARK.len());
            }
        }
        if self.after_cr && self.searched == 0 && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
        }
        true
    }

    fn rest(&mut self) -> Bytes {
        self.skip_prefix();
        self.searched = 0;
        self.buffer.split().freeze()
    }
}

/// The event under way.
#[derive(Debug, Default)]
struct Draft {
    event: Event,
    data: Data,
    /// Bytes of all values taken in.
    len: usize,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Draft {
    fn field(&mut self, line: &Bytes) {
        let colon = memchr(b':', line).unwrap_or(line.len());
        let mut value_at = (colon + 1).min(line.len());
        if line.get(value_at) == Some(&b' ') {
            value_at += 1;
        }
        let value = line.slice(value_at..);
        let taken = value.len();
        match &line[..colon] {
            b"data" => self.data.add(value),
            b"id" if memchr(0, &value).is_none() => self.event.id = Some(text(&value)),
            b"event" => {
                self.event.event = Some(text(&value)).filter(|name| !matches!(&**name, "" | "message"))
            }
            b"retry" => self.event.retry_ms = milliseconds(&value).or(self.event.retry_ms),
            _ => return,
        }
        self.len += taken + 1;
    }

    /// The finished event, if the block held anything that counts.
    fn take(&mut self) -> Option<Event> {
        let Self { mut event, data, .. } = std::mem::take(self);
        let counts = !matches!(data, Data::None) || event.id.is_some() || event.retry_ms.is_some();
        event.data = data.join();
        counts.then_some(event)
    }
}

impl Data {
    fn add(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => Self::Many(joined(BytesMut::from(&first[..]), &line)),
            Self::Many(lines) => Self::Many(joined(lines, &line)),
        };
    }

    fn join(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(line) => line,
            Self::Many(lines) => lines.freeze(),
        }
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}

fn text(value: &[u8]) -> Box<str> {
    String::from_utf8_lossy(value).into()
}

/// Digits only, as the standard asks.
fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}
