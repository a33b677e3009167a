//! Reads single members out of JSON text that was already checked, without decoding the rest.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{DEPTH_CEILING, Reader, Span, Text};

/// The members of one object: name, and where the value stands in `src`.
///
/// Ends early, without an error, at text that is no JSON: what was checked before has none.
pub fn members(src: &[u8], object: Range<usize>) -> Members<'_> {
    Members { items: Items::open(src, object, b'{') }
}

/// Where the value of the member `name` stands. If the name appears twice, the last one counts.
pub fn member(src: &[u8], object: Range<usize>, name: &str) -> Option<Range<usize>> {
    members(src, object).filter(|(key, _)| key == name).last().map(|(_, value)| value)
}

/// The string in the member `name`.
pub fn member_text<'a>(src: &'a [u8], object: Range<usize>, name: &str) -> Option<Cow<'a, str>> {
    crate::json::text(&src[member(src, object, name)?])
}

/// Where the elements of one array stand in `src`.
pub fn elements(src: &[u8], array: Range<usize>) -> Elements<'_> {
    Elements { items: Items::open(src, array, b'[') }
}

/// Iterator over the members of an object; see [`members`].
pub struct Members<'a> {
    items: Items<'a>,
}

/// Iterator over the elements of an array; see [`elements`].
pub struct Elements<'a> {
    items: Items<'a>,
}

struct Items<'a> {
    reader: Reader<'a>,
    base: usize,
    close: u8,
    open: bool,
}

impl<'a> Items<'a> {
    fn open(src: &'a [u8], range: Range<usize>, opening: u8) -> Self {
        let base = range.start;
        let mut reader = Reader::new(src.get(range).unwrap_or_default(), DEPTH_CEILING, usize::MAX);
        reader.payload = true;
        let close = opening + 2;
        let open = reader.peek() == Some(opening) && matches!(reader.enter(close), Ok(true));
        Self { reader, base, close, open }
    }

    /// Reads one item with `read`; the iteration ends with the container or at a flaw.
    fn next<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
        if !self.open {
            return None;
        }
        let item = read(&mut self.reader);
        self.open = item.is_some() && matches!(self.reader.more(self.close, 0), Ok(true));
        item
    }

    fn shift(&self, span: Span) -> Range<usize> {
        let range = span.range().unwrap_or_default();
        range.start + self.base..range.end + self.base
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.items.next(|reader| {
            let key = reader.key().ok()?;
            let value = reader.value().ok()?;
            Some((key_text(reader.src(), key), value))
        })?;
        Some((name, self.items.shift(value)))
    }
}

impl Iterator for Elements<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.items.next(|reader| reader.value().ok())?;
        Some(self.items.shift(value))
    }
}

/// A member's name, decoded. Half a surrogate pair becomes U+FFFD.
fn key_text(src: &[u8], key: Text) -> Cow<'_, str> {
    let inner = key.inner.of(src).unwrap_or_default();
    if !key.escaped {
        return String::from_utf8_lossy(inner);
    }
    let raw = &src[key.inner.start() - 1..key.inner.start() + inner.len() + 1];
    crate::json::text(raw).unwrap_or(Cow::Borrowed("\u{FFFD}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(src: &str) -> Vec<(String, &str)> {
        members(src.as_bytes(), 0..src.len()).map(|(key, at)| (key.into_owned(), &src[at])).collect()
    }

    #[test]
    fn members_come_in_order_with_decoded_names() {
        let src = r#" { "a" : 1 , "\u0062" : [ 1, {"x":2} ] , "" : "z" } "#;
        assert_eq!(
            all(src),
            [("a".into(), "1"), ("b".into(), r#"[ 1, {"x":2} ]"#), (String::new(), r#""z""#)]
        );
        assert!(all("{}").is_empty() && all("[1]").is_empty() && all("").is_empty());
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        let src = br#"xx{"a":1,"a":"two"}"#;
        let at = member(src, 2..src.len(), "a").unwrap();
        assert_eq!(&src[at], br#""two""#);
        assert_eq!(member_text(src, 2..src.len(), "a").unwrap(), "two");
        assert_eq!(member(src, 2..src.len(), "A"), None);
    }

    #[test]
    fn elements_are_shifted_to_the_source() {
        let src = b"..[1, [2] ,\"3\"]";
        let found: Vec<_> = elements(src, 2..src.len()).map(|at| &src[at]).collect();
        assert_eq!(found, [&b"1"[..], b"[2]", b"\"3\""]);
        assert_eq!(elements(b"[]", 0..2).count(), 0);
    }

    #[test]
    fn broken_text_ends_the_iteration() {
        assert_eq!(all(r#"{"a":1,"b":tru}"#).len(), 1);
        assert_eq!(members(b"{}", 5..9).count(), 0);
    }
}
