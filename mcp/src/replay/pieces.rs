//! Streams as they arrive.

/// Longest stretch of one piece, bytes.
const PIECE_LEN_MAX: u8 = 16;

/// What an input says of how its stream is read, and the stream.
pub(super) struct Cut<'a> {
    /// For a limit.
    pub number: u8,
    pub stream: &'a [u8],
    piece_len: usize,
}

impl<'a> Cut<'a> {
    pub fn of(input: &'a [u8]) -> Option<Self> {
        let ([number, piece], stream) = input.split_first_chunk()?;
        Some(Self { number: *number, stream, piece_len: 2 + usize::from(piece % PIECE_LEN_MAX) })
    }

    /// The stream in one piece, byte by byte, and in pieces of a length that the input chose.
    pub fn ways(&self) -> [Vec<&'a [u8]>; 3] {
        [usize::MAX, 1, self.piece_len].map(|len| self.stream.chunks(len).collect())
    }
}
