//! What a client got through the gateway, judged by what it got directly.

use crate::interop::got::Got;
use crate::interop::named::{NAMED, Named};
use crate::report::Counts;

/// One check per answer; those with a named difference are told of and not counted.
pub fn of(cell: &str, direct: &Got, through: &Got) -> Counts {
    by(NAMED, cell, direct, through)
}

fn by(list: &[Named], cell: &str, direct: &Got, through: &Got) -> Counts {
    let expected: Vec<&Named> = list.iter().filter(|named| named.is_about(cell)).collect();
    let differences = direct.differences(through);
    let mut counts = Counts { passed: direct.len() - differences.len(), failed: 0 };
    for difference in &differences {
        if let Some(named) = expected.iter().find(|named| named.names(difference)) {
            eprintln!("  {} differs: {}", difference.thing, named.reason);
        } else {
            eprintln!("  {difference}");
            counts.failed += 1;
        }
    }
    let certain = expected.iter().filter(|named| !named.by_chance);
    for (named, thing) in certain.flat_map(|named| named.things.iter().map(move |thing| (named, thing))) {
        if !differences.iter().any(|difference| difference.thing == *thing && named.names(difference)) {
            eprintln!("  {thing} is expected to differ and does not: {}", named.reason);
            counts.failed += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::named::{by_chance, named};

    const LIST: &[Named] = &[
        named(&["Python", "!stdio", " at modern "], &["calls/ask"], "cannot ask", "a reason"),
        by_chance(&["FastMCP"], &["calls/ask"], "a reason"),
    ];

    fn got(answer: &str) -> Got {
        let call = |name, answer| format!(r#"{{"name":"{name}","result":"{answer}"}}"#);
        Got::read(&format!(r#"{{"calls":[{},{}]}}"#, call("add", "42"), call("ask", answer))).unwrap()
    }

    fn judged(cell: &str, through: &str) -> (usize, usize) {
        let counts = by(LIST, cell, &got("Ada"), &got(through));
        (counts.passed, counts.failed)
    }

    #[test]
    fn a_difference_fails_unless_it_is_named_for_its_cell() {
        assert_eq!(judged("Python 1 at modern python", "it cannot ask"), (1, 0));
        assert_eq!(judged("Python 1 at python", "it cannot ask"), (1, 1));
        assert_eq!(judged("Python 1 at python", "Ada"), (2, 0));
    }

    #[test]
    fn a_named_difference_that_does_not_occur_fails() {
        assert_eq!(judged("Python 1 at modern python", "Ada"), (2, 1));
    }

    #[test]
    fn another_answer_than_the_named_one_fails_twice() {
        assert_eq!(judged("Python 1 at modern python", "nothing"), (1, 2));
    }

    #[test]
    fn an_entry_may_exclude_cells_and_may_be_about_chance() {
        assert_eq!(judged("Python 1 at modern python over stdio", "it cannot ask"), (1, 1));
        assert_eq!(judged("FastMCP at modern python", "anything"), (1, 0));
        assert_eq!(judged("FastMCP at modern python", "Ada"), (2, 0));
    }
}
