//! From bytes to events.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

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
        write!(f, "an event of the stream is longer than {} bytes", self.max_event_bytes)
    }
}

impl std::error::Error for EventTooLong {}

/// Cuts a byte stream into events.
#[derive(Debug, Default)]
pub struct Decoder {
    /// From the first byte of the event under way on.
    buffer: BytesMut,
    /// Where the current line starts.
    line: usize,
    /// Bytes known to hold no end of the current line.
    searched: usize,
    /// The last line ended with `\r`: a `\n` that follows belongs to it.
    after_cr: bool,
    started: bool,
    draft: Draft,
    max_event_bytes: usize,
    failed: bool,
}

impl Decoder {
    /// `max_event_bytes` bounds one event as it stands in the stream, field names included.
    pub fn new(max_event_bytes: usize) -> Self {
        Self { max_event_bytes, ..Self::default() }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes over a chunk; without copying it, if nothing is waiting and nobody else holds it.
    pub fn push_chunk(&mut self, chunk: Bytes) {
        if !self.buffer.is_empty() {
            return self.push(&chunk);
        }
        self.buffer = chunk.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    }

    /// The next whole event. `Ok(None)` until more bytes arrive.
    ///
    /// # Errors
    /// An event is longer than allowed; every further call says so too.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLong> {
        while !self.failed {
            let Some(line) = self.next_line() else {
                self.failed = self.buffer.len() > self.max_event_bytes;
                break;
            };
            self.failed = self.line > self.max_event_bytes;
            if !line.is_empty() {
                self.take_field(line);
            } else if let Some(event) = self.close().filter(|_| !self.failed) {
                return Ok(Some(event));
            }
        }
        if self.failed { Err(EventTooLong { max_event_bytes: self.max_event_bytes }) } else { Ok(None) }
    }

    /// The event that was under way when the stream ended. A browser drops it; here the last message of a
    /// server that forgot the blank line counts, and a torn one fails when it is parsed.
    pub fn finish(&mut self) -> Option<Event> {
        self.skip_prefix();
        let line = self.line..self.buffer.len();
        if !line.is_empty() {
            self.draft.field(&self.buffer, line);
        }
        self.line = self.buffer.len();
        let fits = !self.failed && self.line <= self.max_event_bytes;
        self.close().filter(|_| fits)
    }

    /// Where the next whole line stands, without its end.
    fn next_line(&mut self) -> Option<Range<usize>> {
        if !self.skip_prefix() {
            return None;
        }
        let from = self.searched.max(self.line);
        let Some(at) = memchr2(b'\n', b'\r', &self.buffer[from..]) else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.line..from + at;
        self.after_cr = self.buffer[line.end] == b'\r';
        self.line = line.end + 1;
        Some(line)
    }

    fn take_field(&mut self, line: Range<usize>) {
        self.draft.field(&self.buffer, line);
        if !self.draft.touched {
            // Comments that keep an idle stream alive must not pile up.
            self.drop_block();
        }
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
        if self.after_cr && self.line < self.buffer.len() {
            self.after_cr = false;
            self.line += usize::from(self.buffer[self.line] == b'\n');
        }
        true
    }

    /// Ends the block before the current line; the event, if it held anything that counts.
    fn close(&mut self) -> Option<Event> {
        let draft = std::mem::take(&mut self.draft);
        let counts = draft.data.is_some() || draft.event.id.is_some() || draft.event.retry_ms.is_some();
        if !counts {
            self.drop_block();
            return None;
        }
        let block = self.buffer.split_to(self.line).freeze();
        (self.line, self.searched) = (0, 0);
        Some(draft.into_event(&block))
    }

    fn drop_block(&mut self) {
        self.buffer.advance(self.line);
        (self.line, self.searched) = (0, 0);
    }
}

/// The event under way.
#[derive(Debug, Default)]
struct Draft {
    event: Event,
    data: Option<Data>,
    /// A field came, so the bytes of the block are still needed.
    touched: bool,
}

#[derive(Debug)]
enum Data {
    One(Range<usize>),
    Many(BytesMut),
}

impl Draft {
    fn field(&mut self, buffer: &[u8], line: Range<usize>) {
        let text = &buffer[line.clone()];
        let colon = memchr(b':', text).unwrap_or(text.len());
        if colon == 0 {
            return;
        }
        self.touched = true;
        let space = usize::from(text.get(colon + 1) == Some(&b' '));
        let value_at = (colon + 1 + space).min(text.len());
        let value = &text[value_at..];
        match &text[..colon] {
            b"data" => self.add_data(buffer, line.start + value_at..line.end),
            b"id" if memchr(0, value).is_none() => self.event.id = Some(utf8(value)),
            b"event" => {
                self.event.event = Some(utf8(value)).filter(|name| !matches!(&**name, "" | "message"));
            }
            b"retry" => self.event.retry_ms = milliseconds(value).or(self.event.retry_ms),
            _ => {}
        }
    }

    fn add_data(&mut self, buffer: &[u8], line: Range<usize>) {
        let mut lines = match self.data.take() {
            None => {
                self.data = Some(Data::One(line));
                return;
            }
            Some(Data::One(first)) => BytesMut::from(&buffer[first]),
            Some(Data::Many(lines)) => lines,
        };
        lines.extend_from_slice(b"\n");
        lines.extend_from_slice(&buffer[line]);
        self.data = Some(Data::Many(lines));
    }

    fn into_event(self, block: &Bytes) -> Event {
        let data = match self.data {
            None => Bytes::new(),
            Some(Data::One(line)) => block.slice(line),
            Some(Data::Many(lines)) => lines.freeze(),
        };
        Event { data, ..self.event }
    }
}

fn utf8(value: &[u8]) -> Box<str> {
    String::from_utf8_lossy(value).into()
}

/// Digits only, as the standard asks.
fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}
