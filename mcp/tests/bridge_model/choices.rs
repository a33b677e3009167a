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

/// Runs `play` with every sequence of `depth` decisions, and returns how many there were.
pub fn all(depth: usize, play: impl Fn(&mut Choices<'_>)) -> usize {
    let mut given = vec![0; depth];
    for count in 1.. {
        let mut choices = Choices::new(&given);
        play(&mut choices);
        let widths = choices.widths;
        // The next sequence: the last decision that has another possibility takes it.
        let Some(last) = (0..widths.len()).rev().find(|at| given[*at] + 1 < widths[*at]) else {
            return count;
        };
        given[last] += 1;
        given[last + 1..].fill(0);
    }
    0
}
