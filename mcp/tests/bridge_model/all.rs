//! Every order of events there can be.

use omcp_mcp::bridge::replay::model::Choices;

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
