//! A run through the gateway beside the direct one: every check has to succeed and to end as it does directly.

use crate::conformance::checks::{Checks, Difference};
use crate::report::Counts;

/// A difference that a run through the gateway has for a reason, and always. A failure is never excused.
pub struct Excused {
    /// Which run.
    pub suite: &'static str,
    pub target: &'static str,
    pub scenario: &'static str,
    pub checks: &'static [&'static str],
    pub reason: &'static str,
}

/// Says what failed or differs. An excuse that nothing needs is a failure as well.
pub fn judge(direct: &Checks, through: &Checks, excused: &[&Excused]) -> Counts {
    let differences = direct.differences(through);
    let failures = through.failures();
    let unexcused = differences.iter().filter(|difference| excuse(excused, difference).is_none());
    let stale = stale(excused, &differences);
    for difference in &differences {
        match excuse(excused, difference) {
            Some(reason) => eprintln!("  {difference} (excused: {reason})"),
            None => eprintln!("  {difference}"),
        }
    }
    failures.iter().chain(&stale).for_each(|line| eprintln!("  {line}"));
    Counts { failed: failures.len() + unexcused.count() + stale.len(), ..through.counts() }
}

fn excuse(excused: &[&Excused], difference: &Difference) -> Option<&'static str> {
    let fits =
        |excused: &&&Excused| excused.checks.iter().any(|check| difference.is_of(excused.scenario, check));
    excused.iter().find(fits).map(|excused| excused.reason)
}

/// A line for each check that is excused and does not differ.
fn stale(excused: &[&Excused], differences: &[Difference]) -> Vec<String> {
    let mut stale = Vec::new();
    for Excused { scenario, checks, .. } in excused {
        let differs = |check: &str| differences.iter().any(|difference| difference.is_of(scenario, check));
        let unneeded = checks.iter().filter(|check| !differs(check));
        stale.extend(unneeded.map(|check| format!("{scenario:42} {check} is excused and does not differ")));
    }
    stale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::checks::tests::checks;

    const EXCUSED: Excused =
        Excused { suite: "s", target: "t", scenario: "ping", checks: &["b"], reason: "it has one" };

    #[test]
    fn what_differs_needs_an_excuse_and_an_excuse_a_difference() {
        let direct = checks(&[("a", &["SUCCESS"]), ("b", &["SUCCESS"])]);
        let through = checks(&[("a", &["SUCCESS"]), ("b", &["SKIPPED"])]);
        let failed = |through: &Checks, excused: &[&Excused]| judge(&direct, through, excused).failed;
        assert_eq!((failed(&through, &[]), failed(&through, &[&EXCUSED])), (1, 0));
        assert_eq!((failed(&direct, &[]), failed(&direct, &[&EXCUSED])), (0, 1));
    }

    #[test]
    fn a_failure_is_never_excused() {
        let direct = checks(&[("b", &["FAILURE"])]);
        assert_eq!(judge(&direct, &direct, &[]).failed, 1);
        let better = checks(&[("b", &["SUCCESS"])]);
        assert_eq!(judge(&better, &direct, &[&EXCUSED]).failed, 1);
    }
}
