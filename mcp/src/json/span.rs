//! Byte ranges in half the space.

use std::ops::Range;

/// A byte range inside the text that was read; `0..0` stands for "absent".
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The caller keeps texts under 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn is_absent(self) -> bool {
        self.end == 0
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn range(self) -> Option<Range<usize>> {
        (!self.is_absent()).then_some(self.start as usize..self.end as usize)
    }

    pub(crate) fn of(self, src: &[u8]) -> Option<&[u8]> {
        src.get(self.range()?)
    }

    /// Without the quotes, of a string.
    pub(crate) fn inner(self, src: &[u8]) -> Option<&[u8]> {
        let raw = self.of(src)?;
        raw.get(1..raw.len().saturating_sub(1))
    }

    pub(crate) fn first(self, src: &[u8]) -> Option<u8> {
        if self.is_absent() { None } else { src.get(self.start as usize).copied() }
    }
}
