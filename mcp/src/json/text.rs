//! Strings: where they end, and what they say.

use std::borrow::Cow;

use memchr::memchr2;

/// Bytes of a string looked at word by word before the search for its end turns to wide registers.
const SHORT_STRING_LEN: usize = 64;

/// The first byte from `pos` on that ends a run of plain string text: a quote, a backslash or a control.
#[inline]
pub(super) fn plain_end(src: &[u8], mut pos: usize) -> usize {
    let long = pos + SHORT_STRING_LEN;
    while let Some(word) = src[pos..].first_chunk::<8>() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return pos + stops.trailing_zeros() as usize / 8;
        }
        pos += 8;
        if pos >= long {
            return long_plain_end(src, pos);
        }
    }
    let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    src[pos..].iter().position(is_stop).map_or(src.len(), |at| pos + at)
}

#[inline(never)]
fn long_plain_end(src: &[u8], pos: usize) -> usize {
    let rest = &src[pos..];
    let run = &rest[..memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
    // A fold over every byte, and no early exit, so that it compiles to wide instructions.
    let controls = run.iter().fold(false, |found, byte| found | (*byte < 0x20));
    if controls {
        pos + run.iter().position(|byte| *byte < 0x20).unwrap_or(run.len())
    } else {
        pos + run.len()
    }
}

/// Marks the high bit of bytes that are a quote, a backslash or a control. The lowest mark is exact.
#[inline]
pub(super) fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash | control) & HIGHS
}

/// Decodes a string as it stands in JSON text, quotes included. `None` if it is none.
pub fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if plain_end(inner, 0) == inner.len() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(raw).ok().map(Cow::Owned)
}

/// Appends `value` to `out` as a JSON string, quotes included.
pub fn write_text(value: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a string always serialises into memory");
}
