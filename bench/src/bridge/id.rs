//! Finding the id of a message by the simplest means: the first `"id":` is it.

use std::ops::Range;

use memchr::memmem;

const KEY: &[u8] = b"\"id\":";

/// Where the value of the id stands; `None` if the message has none.
pub fn find(message: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(message, KEY)? + KEY.len();
    let len = message[start..].iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some(start..start + len)
}

/// The message with another id.
pub fn replace(message: &[u8], id: Range<usize>, with: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&message[..id.start]);
    out.extend_from_slice(with);
    out.extend_from_slice(&message[id.end..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_and_replaced() {
        let message = br#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#;
        let id = find(message).unwrap();
        assert_eq!(&message[id.clone()], b"\"a\"");
        let mut out = Vec::new();
        replace(message, id, b"7", &mut out);
        assert_eq!(out, br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
    }

    #[test]
    fn a_notification_has_none() {
        assert_eq!(find(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), None);
    }
}
