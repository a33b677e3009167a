//! A checked walk over JSON text. It proves the text well-formed and builds nothing.

mod span;
mod text;

pub(crate) use span::Span;
use text::{plain_end, stops};
pub use text::{text, write_text};

/// Deepest nesting a walk follows, whatever it is told: it calls itself once per level.
pub const DEPTH_CEILING: usize = 512;

/// Why a walk ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    Syntax,
    TooDeep,
    TooMany,
}

/// A flaw and the byte it was met at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) flaw: Flaw,
    pub(crate) offset: usize,
}

/// The walk has ended; [`Reader::fault`] says why. Empty, so that results travel in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halt;

type Step<T = ()> = Result<T, Halt>;

/// A string as it stands in the text.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    /// Without the quotes.
    pub(crate) inner: Span,
    pub(crate) escaped: bool,
}

/// Reads JSON text from the front. The text has to be UTF-8.
pub(crate) struct Reader<'a> {
    src: &'a [u8],
    pos: usize,
    depth: usize,
    max_depth: usize,
    max_members: usize,
    fault: Option<Fault>,
    /// A `\n` or `\r` stood between two tokens.
    pub(crate) raw_newline: bool,
    /// Inside what a peer answered: sizes are bounded by the message alone, and half a surrogate pair,
    /// which JavaScript emits for a cut emoji, is passed on.
    pub(crate) payload: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(src: &'a [u8], max_depth: usize, max_members: usize) -> Self {
        let max_depth = max_depth.min(DEPTH_CEILING);
        Self {
            src,
            pos: 0,
            depth: 0,
            max_depth,
            max_members,
            fault: None,
            raw_newline: false,
            payload: false,
        }
    }

    pub(crate) fn src(&self) -> &'a [u8] {
        self.src
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// Why the walk has ended.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    #[cold]
    pub(crate) fn halt<T>(&mut self, flaw: Flaw) -> Step<T> {
        self.fault = Some(Fault { flaw, offset: self.pos.min(self.src.len()) });
        Err(Halt)
    }

    fn syntax<T>(&mut self) -> Step<T> {
        self.halt(Flaw::Syntax)
    }

    /// The next byte that is not whitespace.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.src.get(self.pos).copied() {
            Some(byte) if byte > b' ' => Some(byte),
            None => None,
            _ => self.peek_behind_space(),
        }
    }

    #[inline(never)]
    fn peek_behind_space(&mut self) -> Option<u8> {
        loop {
            match self.src.get(self.pos).copied() {
                Some(b' ' | b'\t') => {}
                Some(b'\n' | b'\r') => self.raw_newline = true,
                other => return other,
            }
            self.pos += 1;
        }
    }

    /// Takes the byte that [`Reader::peek`] showed.
    #[inline]
    pub(crate) fn bump(&mut self) {
        self.pos += 1;
    }

    /// Enters a container: takes its opening byte. True if it has members.
    #[inline]
    pub(crate) fn enter(&mut self, close: u8) -> Step<bool> {
        if self.depth == self.max_depth {
            return self.halt(Flaw::TooDeep);
        }
        self.depth += 1;
        self.bump();
        if self.peek() == Some(close) {
            self.leave();
            return Ok(false);
        }
        Ok(true)
    }

    /// After a member: true if another one follows, false once the container is closed.
    #[inline]
    pub(crate) fn more(&mut self, close: u8, count: usize) -> Step<bool> {
        match self.peek() {
            Some(b',') if count >= self.max_members && !self.payload => self.halt(Flaw::TooMany),
            Some(b',') => {
                self.bump();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.leave();
                Ok(false)
            }
            _ => self.syntax(),
        }
    }

    /// Takes the closing byte of the current container.
    #[inline]
    fn leave(&mut self) {
        self.depth -= 1;
        self.bump();
    }

    /// Reads any value and tells where it stands.
    #[inline]
    pub(crate) fn value(&mut self) -> Step<Span> {
        self.peek();
        let start = self.pos;
        self.skip()?;
        Ok(Span::new(start, self.pos))
    }

    /// Reads any value.
    pub(crate) fn skip(&mut self) -> Step {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.skip_object(),
            Some(b'[') => self.skip_array(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.syntax(),
        }
    }

    fn skip_object(&mut self) -> Step {
        let mut count = 0;
        let mut more = self.enter(b'}')?;
        while more {
            self.name()?;
            self.skip()?;
            count += 1;
            more = self.more(b'}', count)?;
        }
        Ok(())
    }

    fn skip_array(&mut self) -> Step {
        let mut count = 0;
        let mut more = self.enter(b']')?;
        while more {
            self.skip()?;
            count += 1;
            more = self.more(b']', count)?;
        }
        Ok(())
    }

    /// A member's name and the colon behind it.
    #[inline]
    pub(crate) fn key(&mut self) -> Step<Text> {
        self.peek();
        let start = self.pos + 1;
        let (escaped, end) = self.name()?;
        Ok(Text { inner: Span::new(start, end), escaped })
    }

    /// A member's name and the colon behind it: whether it has escapes, and where its text ends.
    #[inline]
    fn name(&mut self) -> Step<(bool, usize)> {
        if self.peek() != Some(b'"') {
            return self.syntax();
        }
        let escaped = self.string()?;
        let end = self.pos - 1;
        if self.peek() != Some(b':') {
            return self.syntax();
        }
        self.bump();
        Ok((escaped, end))
    }

    fn word(&mut self, word: &[u8]) -> Step {
        if !self.src[self.pos..].starts_with(word) {
            return self.syntax();
        }
        self.pos += word.len();
        Ok(())
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Step {
        self.take(|byte| byte == b'-');
        if !self.take(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.take(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.take(|byte| byte | 0x20 == b'e') {
            self.take(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.src.get(self.pos).is_some_and(|byte| wanted(*byte));
        self.pos += usize::from(found);
        found
    }

    #[inline]
    fn digits(&mut self) -> Step {
        let rest = &self.src[self.pos..];
        let len = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.pos += len;
        if len == 0 { self.syntax() } else { Ok(()) }
    }

    /// A string; the next byte is its opening quote. True if it has escapes.
    #[inline]
    fn string(&mut self) -> Step<bool> {
        self.bump();
        if let Some(word) = self.src[self.pos..].first_chunk::<8>() {
            let stop = self.pos + stops(u64::from_le_bytes(*word)).trailing_zeros() as usize / 8;
            // Without a stop `stop` is the byte behind the word, which may be a quote just as well.
            if self.src.get(stop) == Some(&b'"') {
                self.pos = stop + 1;
                return Ok(false);
            }
        }
        self.long_string()
    }

    /// The rest of a string, from any byte outside an escape on.
    #[inline(never)]
    fn long_string(&mut self) -> Step<bool> {
        let mut escaped = false;
        loop {
            self.pos = plain_end(self.src, self.pos);
            match self.src.get(self.pos) {
                Some(b'"') => {
                    self.bump();
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.syntax(),
            }
        }
    }

    #[inline]
    fn escape(&mut self) -> Step {
        match self.src.get(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.pos += 2;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => self.syntax(),
        }
    }

    fn unicode_escape(&mut self) -> Step {
        let unit = self.code_unit()?;
        if self.payload {
            return Ok(());
        }
        match unit {
            0xD800..=0xDBFF if matches!(self.code_unit()?, 0xDC00..=0xDFFF) => Ok(()),
            0xD800..=0xDFFF => self.syntax(),
            _ => Ok(()),
        }
    }

    /// One `\uXXXX`.
    fn code_unit(&mut self) -> Step<u16> {
        let Some([b'\\', b'u', hex @ ..]) = self.src[self.pos..].first_chunk::<6>() else {
            return self.syntax();
        };
        let mut unit = 0;
        for byte in hex {
            let Some(digit) = (*byte as char).to_digit(16) else {
                return self.syntax();
            };
            unit = unit << 4 | digit as u16;
        }
        self.pos += 6;
        Ok(unit)
    }
}
