//! One line of the table.

use std::fmt;

/// What was done, what came of it, and whether that is enough.
#[derive(Clone, Debug)]
pub struct Row {
    pub done: String,
    pub figure: String,
    pub limit: String,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    /// Shown for its own sake: what was done, or a time of the short form.
    NotJudged,
}

impl Row {
    pub fn judged(
        done: impl Into<String>,
        figure: impl Into<String>,
        limit: impl Into<String>,
        passed: bool,
    ) -> Self {
        let verdict = if passed { Verdict::Passed } else { Verdict::Failed };
        Self { done: done.into(), figure: figure.into(), limit: limit.into(), verdict }
    }

    /// What was done, or what was seen by the way.
    pub fn shown(done: impl Into<String>, figure: impl Into<String>) -> Self {
        Self { done: done.into(), figure: figure.into(), limit: "-".to_owned(), verdict: Verdict::NotJudged }
    }

    /// Judged in the long form only.
    #[must_use]
    pub fn when_long(self, is_long: bool) -> Self {
        if is_long { self } else { Self { verdict: Verdict::NotJudged, ..self } }
    }
}

/// Fields between tabs: what was done, figure, limit, verdict.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::NotJudged => "not judged",
        };
        let plain = |text: &str| text.replace(['\t', '\n'], " ");
        write!(f, "{}\t{}\t{}\t{verdict}", plain(&self.done), plain(&self.figure), plain(&self.limit))
    }
}
