//! From messages to event text.

use bytes::{BufMut, BytesMut};
use memchr::memchr2;

/// A comment: keeps the connection alive and means nothing.
pub const COMMENT_KEEPALIVE: &[u8] = b":\n\n";

/// Appends a `message` event. `data` with line ends becomes several `data` lines.
pub fn encode(event_id: Option<&str>, data: &[u8], out: &mut BytesMut) {
    encode_named("message", event_id, data, out);
}

/// Appends an event called `event`, for instance `endpoint`.
///
/// An id that an event stream cannot carry (a line end or NUL in it) is left out.
pub fn encode_named(event: &str, event_id: Option<&str>, data: &[u8], out: &mut BytesMut) {
    out.reserve(event.len() + event_id.map_or(0, str::len) + data.len() + FRAME_LEN);
    put_field(b"event: ", event.as_bytes(), out);
    put_id(event_id, out);
    put_data(data, out);
    out.put_u8(b'\n');
}

/// Appends an event with an id and empty data: where to resume before anything was said. Only for clients
/// of 2025-11-25 and later; older ones parse the empty data.
pub fn encode_priming(event_id: &str, retry_ms: Option<u64>, out: &mut BytesMut) {
    put_id(Some(event_id), out);
    if let Some(retry_ms) = retry_ms {
        put_field(b"retry: ", retry_ms.to_string().as_bytes(), out);
    }
    out.put_slice(b"data: \n\n");
}

/// Appends the delay after which a client shall come back, milliseconds.
pub fn encode_retry(retry_ms: u64, out: &mut BytesMut) {
    put_field(b"retry: ", retry_ms.to_string().as_bytes(), out);
    out.put_u8(b'\n');
}

/// Room for field names and line ends of one event, bytes.
const FRAME_LEN: usize = 32;

fn put_field(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.put_slice(name);
    out.put_slice(value);
    out.put_u8(b'\n');
}

fn put_id(event_id: Option<&str>, out: &mut BytesMut) {
    if let Some(id) = event_id.filter(|id| !id.contains(['\n', '\r', '\0'])) {
        put_field(b"id: ", id.as_bytes(), out);
    }
}

fn put_data(data: &[u8], out: &mut BytesMut) {
    let mut rest = data;
    while let Some(end) = memchr2(b'\n', b'\r', rest) {
        put_field(b"data: ", &rest[..end], out);
        rest = rest[end..].strip_prefix(b"\r\n").unwrap_or(&rest[end + 1..]);
    }
    put_field(b"data: ", rest, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn events_have_the_documented_form() {
        for (got, want) in [
            (text(|out| encode(None, b"{}", out)), "event: message\ndata: {}\n\n"),
            (text(|out| encode(Some("7"), b"a", out)), "event: message\nid: 7\ndata: a\n\n"),
            (text(|out| encode(Some("7\n8"), b"", out)), "event: message\ndata: \n\n"),
            (
                text(|out| encode(None, b"a\r\nb\n\rc\n", out)),
                "event: message\ndata: a\ndata: b\ndata: \ndata: c\ndata: \n\n",
            ),
            (text(|out| encode_named("endpoint", None, b"/m", out)), "event: endpoint\ndata: /m\n\n"),
            (text(|out| encode_priming("9", Some(500), out)), "id: 9\nretry: 500\ndata: \n\n"),
            (text(|out| encode_retry(3000, out)), "retry: 3000\n\n"),
        ] {
            assert_eq!(got, want);
        }
    }
}
