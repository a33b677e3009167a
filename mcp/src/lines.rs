//! Newline framing of pipes: bytes in as they arrive, lines out without copying.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// A line was longer than allowed. It is skipped to its end; the next line is whole again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineTooLong {
    pub max_line_bytes: usize,
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line is longer than {} bytes and was skipped", self.max_line_bytes)
    }
}

impl std::error::Error for LineTooLong {}

/// Cuts a byte stream into lines. Ends of lines (`\n`, `\r\n`) and empty lines are left out.
#[derive(Debug)]
pub struct LineDecoder {
    buffer: BytesMut,
    /// Bytes at the front of the buffer known to hold no newline.
    searched: usize,
    max_line_bytes: usize,
    skipping: bool,
}

impl LineDecoder {
    pub fn new(max_line_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, max_line_bytes, skipping: false }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The place to read further bytes into; only append to it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole line. `None` until more bytes arrive.
    ///
    /// A line that is too long is reported once, as soon as that is certain.
    pub fn next_line(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        loop {
            let Some(at) = memchr(b'\n', &self.buffer[self.searched..]) else {
                return self.wait();
            };
            let line = self.cut(self.searched + at);
            if std::mem::take(&mut self.skipping) || line.is_empty() {
                continue;
            }
            return Some(self.within_limit(line));
        }
    }

    /// What is left when the stream has ended: a last line without newline.
    pub fn finish(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        let line = without_cr(self.buffer.split().freeze());
        self.searched = 0;
        let skipped = std::mem::take(&mut self.skipping);
        (!skipped && !line.is_empty()).then(|| self.within_limit(line))
    }

    fn cut(&mut self, newline: usize) -> Bytes {
        self.searched = 0;
        let line = self.buffer.split_to(newline).freeze();
        self.buffer.advance(1);
        without_cr(line)
    }

    fn within_limit(&self, line: Bytes) -> Result<Bytes, LineTooLong> {
        if line.len() > self.max_line_bytes { Err(self.too_long()) } else { Ok(line) }
    }

    /// No newline yet: remember what was searched, or give the line up.
    fn wait(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        self.searched = self.buffer.len();
        if self.skipping {
            self.drop_buffer();
            return None;
        }
        // One byte more may be the `\r` of an end of line.
        if self.buffer.len() <= self.max_line_bytes.saturating_add(1) {
            return None;
        }
        self.skipping = true;
        self.drop_buffer();
        Some(Err(self.too_long()))
    }

    fn drop_buffer(&mut self) {
        self.buffer.clear();
        self.searched = 0;
    }

    fn too_long(&self) -> LineTooLong {
        LineTooLong { max_line_bytes: self.max_line_bytes }
    }
}

fn without_cr(mut line: Bytes) -> Bytes {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(decoder: &mut LineDecoder) -> Vec<Result<Bytes, LineTooLong>> {
        std::iter::from_fn(|| decoder.next_line()).collect()
    }

    /// Feeds the input cut at `cuts`, and takes what comes.
    fn decode(input: &[u8], cuts: &[usize], max: usize) -> Vec<Result<Bytes, LineTooLong>> {
        let mut decoder = LineDecoder::new(max);
        let mut lines = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().map(|cut| cut % (input.len() + 1)).filter(|cut| *cut > 0) {
            let to = cut.max(from);
            decoder.push(&input[from..to]);
            lines.extend(drain(&mut decoder));
            from = to;
        }
        decoder.push(&input[from..]);
        lines.extend(drain(&mut decoder));
        lines.extend(decoder.finish());
        lines
    }

    #[test]
    fn lines_lose_their_ends_and_blank_ones_vanish() {
        let lines = decode(b"one\r\n\n\r\ntwo\nthree", &[], 100);
        assert_eq!(lines, [Ok(Bytes::from("one")), Ok(Bytes::from("two")), Ok(Bytes::from("three"))]);
    }

    #[test]
    fn a_long_line_is_reported_once_and_before_it_ends() {
        let mut decoder = LineDecoder::new(4);
        decoder.push(b"abcdef");
        assert_eq!(drain(&mut decoder), [Err(LineTooLong { max_line_bytes: 4 })]);
        decoder.push(b"ghijklmnop");
        assert_eq!(drain(&mut decoder), []);
        assert!(decoder.buffer().is_empty(), "a skipped line is not kept");
        decoder.push(b"q\nabcd\r\nabcde\nx\n");
        assert_eq!(
            drain(&mut decoder),
            [Ok(Bytes::from("abcd")), Err(LineTooLong { max_line_bytes: 4 }), Ok(Bytes::from("x"))]
        );
    }

    #[test]
    fn a_skipped_line_at_the_end_is_not_reported_twice() {
        let mut decoder = LineDecoder::new(1);
        decoder.push(b"abcdef");
        assert_eq!(drain(&mut decoder).len(), 1);
        decoder.push(b"tail");
        assert_eq!(decoder.finish(), None);
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..80),
            mut cuts in proptest::collection::vec(any::<usize>(), 0..6),
            max in 0usize..12,
        ) {
            cuts.iter_mut().for_each(|cut| *cut %= input.len() + 1);
            cuts.sort_unstable();
            prop_assert_eq!(decode(&input, &cuts, max), decode(&input, &[], max));
        }

        #[test]
        fn lines_are_what_a_plain_split_gives(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..80),
        ) {
            let want: Vec<_> = input
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
                .filter(|line| !line.is_empty())
                .map(|line| Ok(Bytes::copy_from_slice(line)))
                .collect();
            prop_assert_eq!(decode(&input, &[], 1000), want);
        }
    }
}
