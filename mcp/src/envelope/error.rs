//! Why bytes are not a message.

use std::fmt;
use std::ops::Range;

/// What is wrong with the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScanErrorKind {
    NotUtf8,
    NotJson,
    NotJsonRpc,
    DuplicateKey,
    TooDeep,
    TooMany,
    /// Well-formed, but an array; see [`crate::batch`].
    BatchArray,
    Empty,
}

/// Why bytes are not one JSON-RPC message, where, and whom the refusal answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanError {
    pub kind: ScanErrorKind,
    /// Byte at which the flaw was met.
    pub offset: usize,
    /// Where the id stands, if it was read and is a valid one.
    pub id: Option<Range<usize>>,
    pub(super) detail: &'static str,
}

impl ScanError {
    /// The JSON-RPC error code that answers it: -32700 for text that is no JSON, else -32600.
    pub fn code(&self) -> i32 {
        match self.kind {
            ScanErrorKind::NotUtf8 | ScanErrorKind::NotJson | ScanErrorKind::Empty => -32700,
            _ => -32600,
        }
    }

    /// The same flaw, seen from a text in which the scanned one starts at byte `start`.
    pub(crate) fn within(self, start: usize) -> Self {
        Self { offset: self.offset + start, id: None, ..self }
    }

    pub(crate) fn no_batch() -> Self {
        Self { kind: ScanErrorKind::NotJsonRpc, offset: 0, id: None, detail: "it is not an array" }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ScanErrorKind::NotUtf8 => "the message is not valid UTF-8",
            ScanErrorKind::NotJson => "the message is not valid JSON",
            ScanErrorKind::NotJsonRpc => "the message is not JSON-RPC 2.0",
            ScanErrorKind::DuplicateKey => "the message names a member twice",
            ScanErrorKind::TooDeep => "the message is nested too deeply",
            ScanErrorKind::TooMany => "the message has too many members in one object or array",
            ScanErrorKind::BatchArray => {
                return f.write_str("batches are not accepted; send one message at a time");
            }
            ScanErrorKind::Empty => return f.write_str("the message is empty"),
        };
        f.write_str(what)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        write!(f, " (at byte {})", self.offset)
    }
}

impl std::error::Error for ScanError {}
