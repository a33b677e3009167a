//! [`Source`]: one text that backends are read from, and [`Span`], a place in it.

/// A file, or what came over standard input.
#[derive(Debug)]
pub struct Source {
    /// What to call it in errors: the path as it was given, or `<stdin>`.
    pub name: String,
    pub text: String,
}

/// A stretch of a source, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub len: usize,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.before(offset);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The byte offset of a line and column, both from 1, or the end.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let start: usize = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let rest = self.text[start..].char_indices().nth(column.saturating_sub(1));
        rest.map_or(self.text.len(), |(at, _)| start + at)
    }

    /// The text of the line that holds a byte offset, without its end.
    pub fn line_at(&self, offset: usize) -> &str {
        let start = self.before(offset).rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[start..];
        rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r')
    }

    /// The text of a span, shortened to what exists.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.start.saturating_add(span.len)).unwrap_or_default()
    }

    fn before(&self, offset: usize) -> &str {
        let end = (0..=offset.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at));
        &self.text[..end.unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = Source::new("x", "a: é1\r\nbb: 2");
        let at = source.text.find('1').unwrap();
        assert_eq!(source.position(at), (1, 5));
        assert_eq!(source.line_at(at), "a: é1");
        assert_eq!(source.position(source.text.find('2').unwrap()), (2, 5));
        assert_eq!(source.position(usize::MAX), (2, 6));
        assert_eq!(source.position(4), (1, 4), "inside é");
        assert_eq!(source.offset(1, 5), at);
        assert_eq!(source.offset(2, 5), source.text.find('2').unwrap());
        assert_eq!(source.offset(9, 9), source.text.len());
    }
}
