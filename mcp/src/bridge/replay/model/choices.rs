//! Who moves next.

/// A source of decisions that can be random, or run through every possibility.
pub struct Choices<'a> {
    given: &'a [u8],
    at: usize,
    /// How many there were to choose from, for each decision taken.
    pub widths: Vec<u8>,
}

impl<'a> Choices<'a> {
    pub fn new(given: &'a [u8]) -> Self {
        Self { given, at: 0, widths: Vec::new() }
    }

    /// One of `width`; `None` once what was given is used up.
    pub fn next(&mut self, width: usize) -> Option<usize> {
        let choice = *self.given.get(self.at)?;
        self.at += 1;
        self.widths.push(u8::try_from(width).expect("few possibilities"));
        Some(usize::from(choice) % width)
    }
}
