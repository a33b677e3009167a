//! MCP values inside HTTP header fields [2026-07-28 Streamable HTTP: Value Encoding].
//!
//! Text that a header field cannot carry as it is travels as `=?base64?...?=`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// A header field that carries no valid MCP value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidHeaderValue {
    /// A byte that is neither visible ASCII nor an inner space or tab.
    Characters,
    /// Marked as Base64, but alphabet or padding are wrong.
    Base64,
    /// Base64 of something that is not UTF-8.
    NotUtf8,
}

impl std::fmt::Display for InvalidHeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Characters => "has characters that a header value cannot hold",
            Self::Base64 => "is not valid Base64 between its markers",
            Self::NotUtf8 => "is Base64 of something that is not UTF-8",
        })
    }
}

impl std::error::Error for InvalidHeaderValue {}

/// The text that a header field carries; spaces and tabs around it do not count.
///
/// # Errors
/// The field holds bytes it must not, or its Base64 is broken.
pub fn decode(field: &[u8]) -> Result<Cow<'_, str>, InvalidHeaderValue> {
    let field = trim(field);
    if !field.iter().all(|byte| is_plain(*byte)) {
        return Err(InvalidHeaderValue::Characters);
    }
    let text = std::str::from_utf8(field).map_err(|_| InvalidHeaderValue::Characters)?;
    let Some(payload) = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else {
        return Ok(Cow::Borrowed(text));
    };
    let decoded = STANDARD.decode(payload).map_err(|_| InvalidHeaderValue::Base64)?;
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| InvalidHeaderValue::NotUtf8)
}

/// The field value for `text`: the text itself where a header field can carry it, else Base64.
pub fn encode_if_needed(text: &str) -> Cow<'_, str> {
    let plain = text.bytes().all(is_plain) && trim(text.as_bytes()).len() == text.len();
    let looks_encoded = text.starts_with(PREFIX) && text.ends_with(SUFFIX);
    if plain && !looks_encoded {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(PREFIX.len() + text.len().div_ceil(3) * 4 + SUFFIX.len());
    encoded.push_str(PREFIX);
    STANDARD.encode_string(text, &mut encoded);
    encoded.push_str(SUFFIX);
    Cow::Owned(encoded)
}

/// `field` without the optional whitespace around it (RFC 9110, section 5.6.3).
pub fn trim(field: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = field.iter().position(|byte| !is_space(byte)) else {
        return b"";
    };
    let end = field.iter().rposition(|byte| !is_space(byte)).unwrap_or(start);
    &field[start..=end]
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        for (text, field) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("two words", "two words"),
            ("", ""),
        ] {
            assert_eq!(encode_if_needed(text), field);
            assert_eq!(decode(field.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn markers_are_case_sensitive_and_whitespace_around_is_ignored() {
        assert_eq!(decode(b"=?BASE64?YQ==?=").unwrap(), "=?BASE64?YQ==?=");
        assert_eq!(decode(b"=?base64?=").unwrap(), "=?base64?=");
        assert_eq!(decode(b" \t=?base64?YQ==?= ").unwrap(), "a");
        assert_eq!(decode(b"=?base64??=").unwrap(), "");
    }

    #[test]
    fn broken_fields_are_refused() {
        for (field, why) in [
            (&b"caf\xC3\xA9"[..], InvalidHeaderValue::Characters),
            (b"a\x01b", InvalidHeaderValue::Characters),
            (b"a\x7Fb", InvalidHeaderValue::Characters),
            (b"=?base64?YQ?=", InvalidHeaderValue::Base64),
            (b"=?base64?Y Q==?=", InvalidHeaderValue::Base64),
            (b"=?base64?YR==?=", InvalidHeaderValue::Base64),
            (b"=?base64?_w==?=", InvalidHeaderValue::Base64),
            (b"=?base64?/w==?=", InvalidHeaderValue::NotUtf8),
        ] {
            assert_eq!(decode(field), Err(why), "{}", String::from_utf8_lossy(field));
        }
    }

    proptest! {
        #[test]
        fn every_text_survives(text in any::<String>()) {
            let field = encode_if_needed(&text);
            prop_assert!(field.bytes().all(is_plain));
            prop_assert_eq!(decode(field.as_bytes()).unwrap(), text.as_str());
        }

        #[test]
        fn any_field_is_decoded_or_refused(field in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decode(&field) {
                prop_assert!(!text.starts_with(' ') || field.starts_with(b" ") || field.contains(&b'?'));
            }
        }
    }
}
