//! The member names of one object, to notice when one comes twice.

use std::borrow::Cow;
use std::collections::HashSet;

/// Names compared one by one before a hash set takes over. Real messages stay below it.
const FEW: usize = 16;

/// The decoded names met so far.
pub(super) struct Keys<'a> {
    few: [&'a [u8]; FEW],
    len: usize,
    many: Option<HashSet<Cow<'a, [u8]>>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new() -> Self {
        Self { few: [&[]; FEW], len: 0, many: None }
    }

    /// Takes in a name; false if it was there before.
    #[inline]
    pub(super) fn insert(&mut self, key: Cow<'a, [u8]>) -> bool {
        match key {
            Cow::Borrowed(key) if self.many.is_none() && self.len < FEW => self.insert_few(key),
            key => self.insert_many(key),
        }
    }

    #[inline]
    fn insert_few(&mut self, key: &'a [u8]) -> bool {
        let new = !self.few[..self.len].contains(&key);
        self.few[self.len] = key;
        self.len += 1;
        new
    }

    #[inline(never)]
    fn insert_many(&mut self, key: Cow<'a, [u8]>) -> bool {
        let few = &self.few[..self.len];
        let many = self.many.get_or_insert_with(|| few.iter().copied().map(Cow::Borrowed).collect());
        many.insert(key)
    }
}
