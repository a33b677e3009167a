//! Ids as they are spelled: strings and integers.

use std::borrow::Cow;

use crate::json;

/// Longest id, bytes as spelled. Ids are copied into maps and sealed tokens.
pub const ID_LEN_MAX: usize = 1024;

/// One spelling for ids that are equal: `1.0` is `1`, and strings lose their escapes.
///
/// Use it as a map key when a peer may spell an id differently from the other.
pub fn canonical_id(raw: &[u8]) -> Cow<'_, [u8]> {
    if raw.first() != Some(&b'"') {
        let end = raw.iter().position(|byte| *byte == b'.').unwrap_or(raw.len());
        return Cow::Borrowed(&raw[..end]);
    }
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let Some(text) = json::text(raw) else {
        return Cow::Borrowed(raw);
    };
    let mut canonical = Vec::with_capacity(raw.len());
    json::write_text(&text, &mut canonical);
    Cow::Owned(canonical)
}

/// A string, or digits with an optional fraction of zeros: `1.0` is the integer 1.
pub(super) fn is_id(raw: &[u8]) -> bool {
    raw.len() <= ID_LEN_MAX && (raw.first() == Some(&b'"') || integer_digits(raw).is_some())
}

/// The sign and digits of a JSON number without exponent whose fraction, if any, is zero.
fn integer_digits(raw: &[u8]) -> Option<&[u8]> {
    let point = raw.iter().position(|byte| *byte == b'.').unwrap_or(raw.len());
    let (digits, fraction) = raw.split_at(point);
    let digit = |byte: &u8| byte.is_ascii_digit();
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let whole = !unsigned.is_empty() && unsigned.iter().all(digit);
    (whole && fraction.iter().skip(1).all(|byte| *byte == b'0')).then_some(digits)
}

pub(super) fn integer(raw: &[u8]) -> Option<i64> {
    std::str::from_utf8(integer_digits(raw)?).ok()?.parse().ok()
}
