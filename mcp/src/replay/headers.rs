//! MCP values in HTTP header fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::header_value::{InvalidHeaderValue, decode, encode_if_needed};

const PREFIX: &str = "=?base64?";

/// Takes the input for a field, and for a text to be put into one.
///
/// # Panics
/// A field is not read by the rules, or a text does not survive its travel.
pub fn run(input: &[u8]) {
    let read = decode(input);
    assert_eq!(read.as_deref(), expected(input).as_deref(), "what a field says");
    if let Ok(text) = &read {
        sent(text);
    }
    sent(&String::from_utf8_lossy(input));
}

fn sent(text: &str) {
    let field = encode_if_needed(text);
    assert!(field.bytes().all(is_plain), "{field:?} is no header value");
    assert_eq!(decode(field.as_bytes()).as_deref(), Ok(text), "what came back of {field:?}");
    // What looks marked is marked, though a reader may see that its two marks overlap.
    let plain = expected(text.as_bytes()).as_deref() == Ok(text) && !text.starts_with(PREFIX);
    assert!(field == text || !plain, "{text:?} needs no Base64");
}

/// What the specification says that a field means.
fn expected(field: &[u8]) -> Result<String, InvalidHeaderValue> {
    if !field.iter().copied().all(is_plain) {
        return Err(InvalidHeaderValue::Characters);
    }
    let text = String::from_utf8_lossy(field);
    let text = text.trim_matches([' ', '\t']);
    let marked = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix("?="));
    let Some(payload) = marked else { return Ok(text.to_owned()) };
    let bytes = from_base64(payload).ok_or(InvalidHeaderValue::Base64)?;
    // One text has one spelling.
    assert_eq!(STANDARD.encode(&bytes), payload);
    String::from_utf8(bytes).map_err(|_| InvalidHeaderValue::NotUtf8)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7E)
}

/// RFC 4648, section 4, digit by digit; padding is required, and the bits it stands for are zero.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let whole = text.len().is_multiple_of(4) && text.len() - digits.len() <= 2;
    let (mut bits, mut width) = (0_u32, 0_u32);
    let mut bytes = Vec::new();
    for digit in digits.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        bits = bits << 6 | value as u32;
        width += 6;
        if width >= 8 {
            width -= 8;
            bytes.push((bits >> width) as u8);
            bits &= (1 << width) - 1;
        }
    }
    (whole && bits == 0).then_some(bytes)
}
