//! The standard's own steps, over a stream that is there as a whole.

use crate::sse::Event;

/// All events; the one under way at the end counts.
pub(super) fn events(stream: &[u8]) -> Vec<Event> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let lines = lines(stream);
    lines.split(|line| line.is_empty()).filter_map(event).collect()
}

/// Split at `\r\n`, `\r` and `\n`.
pub(super) fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        lines.push(&rest[..end]);
        rest = rest[end..].strip_prefix(b"\r\n").unwrap_or(&rest[end + 1..]);
    }
    lines.push(rest);
    lines
}

fn event(block: &[&[u8]]) -> Option<Event> {
    let mut event = Event::default();
    let mut data: Vec<&[u8]> = Vec::new();
    for line in block {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = String::from_utf8_lossy(value);
        match &line[..colon] {
            b"data" => data.push(value),
            b"id" if !text.contains('\0') => event.id = Some(text.into()),
            b"event" => event.event = named(text.into()),
            b"retry" if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                event.retry_ms = text.parse().ok().or(event.retry_ms);
            }
            _ => {}
        }
    }
    let counts = !data.is_empty() || event.id.is_some() || event.retry_ms.is_some();
    event.data = data.join(&b'\n').into();
    counts.then_some(event)
}

/// The default has no name.
fn named(name: Box<str>) -> Option<Box<str>> {
    (!matches!(&*name, "" | "message")).then_some(name)
}
