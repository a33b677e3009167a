//! The framing of pipes.

use bytes::Bytes;

use super::pieces::Cut;
use crate::lines::{LineDecoder, LineTooLong};

type Line = Result<Bytes, LineTooLong>;

/// The first byte is the limit of a line, the second the length of a piece, the rest the stream.
///
/// # Panics
/// Lines are not what a plain split gives, or depend on how the stream was cut.
pub fn run(input: &[u8]) {
    let Some(cut) = Cut::of(input) else { return };
    let max_line_bytes = usize::from(cut.number);
    let expected = split(cut.stream, max_line_bytes);
    for pieces in cut.ways() {
        assert_eq!(decoded(&pieces, max_line_bytes), expected, "in {} pieces", pieces.len());
    }
}

fn decoded(pieces: &[&[u8]], max_line_bytes: usize) -> Vec<Line> {
    let mut decoder = LineDecoder::new(max_line_bytes);
    let mut lines = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        // Both doors lead to the same place.
        if at % 2 == 0 {
            decoder.push(piece);
        } else {
            decoder.buffer().extend_from_slice(piece);
        }
        lines.extend(std::iter::from_fn(|| decoder.next_line()));
    }
    lines.extend(decoder.finish());
    assert_eq!(decoder.finish(), None, "a stream ends twice");
    lines
}

fn split(stream: &[u8], max_line_bytes: usize) -> Vec<Line> {
    stream
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| match line.len() > max_line_bytes {
            true => Err(LineTooLong { max_line_bytes }),
            false => Ok(Bytes::copy_from_slice(line)),
        })
        .collect()
}
