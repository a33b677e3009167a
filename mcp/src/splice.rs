//! Changes a message without decoding it: what stays is copied as bytes.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

use crate::envelope::Envelope;

/// Replaces byte ranges of `src`. One allocation of exactly the right size.
///
/// # Panics
/// The ranges are not in order, overlap, or reach behind the end of `src`: a defect of the caller.
pub fn splice(src: &[u8], edits: &[(Range<usize>, &[u8])]) -> Bytes {
    let removed: usize = edits.iter().map(|(range, _)| range.len()).sum();
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(src.len() + added - removed);
    let mut from = 0;
    for (range, text) in edits {
        out.extend_from_slice(&src[from..range.start]);
        out.extend_from_slice(text);
        from = range.end;
    }
    out.extend_from_slice(&src[from..]);
    out.into()
}

/// The message with another id. `new_id` is a JSON value. A message without an id stays as it is.
pub fn with_id(bytes: &[u8], envelope: &Envelope, new_id: &[u8]) -> Bytes {
    match envelope.id_range() {
        Some(id) => splice(bytes, &[(id, new_id)]),
        None => Bytes::copy_from_slice(bytes),
    }
}

/// The message with another id and another progress token. What the message lacks is not added.
pub fn with_id_and_progress_token(
    bytes: &[u8],
    envelope: &Envelope,
    new_id: &[u8],
    new_token: &[u8],
) -> Bytes {
    match (envelope.id_range(), envelope.progress_token_range()) {
        (Some(id), Some(token)) if id.start < token.start => {
            splice(bytes, &[(id, new_id), (token, new_token)])
        }
        (Some(id), Some(token)) => splice(bytes, &[(token, new_token), (id, new_id)]),
        (None, Some(token)) => splice(bytes, &[(token, new_token)]),
        (_, None) => with_id(bytes, envelope, new_id),
    }
}

/// An edit for [`splice`] that puts `member` (`"name":value`) first into the object at `object`.
///
/// # Panics
/// `object` is not the range of an object in `src`: a defect of the caller.
pub fn prepend_member(src: &[u8], object: Range<usize>, member: &[u8]) -> (Range<usize>, Vec<u8>) {
    let at = object.start + 1;
    let empty = src[at..object.end - 1].iter().all(u8::is_ascii_whitespace);
    let mut text = member.to_vec();
    if !empty {
        text.push(b',');
    }
    (at..at, text)
}

/// JSON text without the whitespace between its tokens, so without any raw newline.
///
/// The text has to be well-formed; other text may lose whitespace it needs.
pub fn compact(src: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(src.len());
    let mut rest = src;
    while let Some((byte, tail)) = rest.split_first() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => rest = tail,
            b'"' => {
                let (text, tail) = rest.split_at(1 + string_len(tail));
                out.extend_from_slice(text);
                rest = tail;
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

/// Bytes up to and including the closing quote.
fn string_len(src: &[u8]) -> usize {
    let mut pos = 0;
    while let Some(at) = src.get(pos..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        pos += at + 1;
        if src[pos - 1] == b'"' {
            return pos;
        }
        pos += 1;
    }
    src.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::ScanLimits;

    fn scan(text: &str) -> Envelope {
        Envelope::scan(text.as_bytes(), &ScanLimits::default()).unwrap()
    }

    #[test]
    fn splice_replaces_inserts_and_removes() {
        let edits: [(Range<usize>, &[u8]); 3] = [(0..1, b"xyz"), (3..3, b"-"), (4..6, b"")];
        assert_eq!(splice(b"abcdefg", &edits), &b"xyzbc-dg"[..]);
        assert_eq!(splice(b"abc", &[]), &b"abc"[..]);
    }

    #[test]
    fn ids_and_tokens_change_in_either_order() {
        for (text, want) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":"t"}}}"#,
                r#"{"jsonrpc":"2.0","id":77,"method":"a","params":{"_meta":{"progressToken":9}}}"#,
            ),
            (
                r#"{"params":{"_meta":{"progressToken":5}},"jsonrpc":"2.0","method":"a","id":"x"}"#,
                r#"{"params":{"_meta":{"progressToken":9}},"jsonrpc":"2.0","method":"a","id":77}"#,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#, r#"{"jsonrpc":"2.0","id":77,"method":"a"}"#),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"u"}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":9}}"#,
            ),
        ] {
            assert_eq!(with_id_and_progress_token(text.as_bytes(), &scan(text), b"77", b"9"), want);
        }
    }

    #[test]
    fn a_message_without_id_keeps_its_bytes() {
        let text = r#"{"jsonrpc":"2.0","method":"a"}"#;
        assert_eq!(with_id(text.as_bytes(), &scan(text), b"1"), text);
    }

    #[test]
    fn members_are_put_first() {
        for (src, want) in [("{}", "{\"a\":1}"), ("{ }", "{\"a\":1 }"), ("{\"b\":2}", "{\"a\":1,\"b\":2}")] {
            let (at, text) = prepend_member(src.as_bytes(), 0..src.len(), b"\"a\":1");
            assert_eq!(splice(src.as_bytes(), &[(at, &text)]), want);
        }
    }

    #[test]
    fn compact_keeps_strings_as_they_are() {
        let src = "{ \"a \\\" b\\\\\" :\r\n [ 1 ,\t\"c d\" ] }";
        assert_eq!(compact(src.as_bytes()), b"{\"a \\\" b\\\\\":[1,\"c d\"]}");
    }

    proptest! {
        #[test]
        fn compact_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(compact(&bytes).len() <= bytes.len());
        }
    }
}
