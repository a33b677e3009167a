//! [`Report`]: what was checked and what came of it.

use std::fmt;
use std::time::Duration;

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// Why it did not.
    Failed(String),
    /// Why the transport cannot be checked for this.
    NotApplicable(String),
}

/// One check of a report.
#[derive(Clone, Debug)]
pub struct Row {
    pub check: &'static str,
    pub outcome: Outcome,
    pub took: Duration,
}

/// All checks of one subject. `Display` is a table that ends with `N passed, N failed`.
#[derive(Clone, Debug)]
pub struct Report {
    /// [`super::Subject::label`].
    pub subject: String,
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether no check failed and at least one passed.
    pub fn is_passed(&self) -> bool {
        self.passed() > 0 && self.failed() == 0
    }

    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed))
    }

    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| wanted(&row.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.check.len()).max().unwrap_or(0);
        writeln!(f, "{}", self.subject)?;
        for Row { check, outcome, took } in &self.rows {
            writeln!(f, "  {check:width$}  {:>6.1} s  {outcome}", took.as_secs_f64())?;
        }
        write!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
            Self::NotApplicable(why) => write!(f, "not applicable: {why}"),
        }
    }
}
