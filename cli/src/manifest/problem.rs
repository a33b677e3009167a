//! [`Problem`]: something wrong at a place of a [`Source`], and how to show it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::source::{Source, Span};

/// Widest source line that is shown; a longer one is cut around the place.
const LINE_WIDTH_MAX: usize = 160;

/// One mistake in a manifest, whoever found it.
#[derive(Clone, Debug)]
pub struct Problem {
    pub source: Arc<Source>,
    pub span: Span,
    /// What is wrong: one lowercase fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(source: &Arc<Source>, span: Span, message: impl Into<String>) -> Self {
        Self { source: Arc::clone(source), span, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Line and column, both from 1.
    pub fn position(&self) -> (usize, usize) {
        self.source.position(self.span.start)
    }

    /// `file:line:col`.
    pub fn place(&self) -> String {
        let (line, column) = self.position();
        format!("{}:{line}:{column}", self.source.name)
    }

    /// The place, the source line and a caret below it; the message is left to the caller.
    pub fn snippet(&self) -> String {
        let (line, column) = self.position();
        let (text, before) = window(self.source.line_at(self.span.start), column - 1);
        let width = self.caret_width(text.chars().count().saturating_sub(before));
        let margin = " ".repeat(line.to_string().len());
        let mut out = format!("{margin}--> {}\n{margin} |\n", self.place());
        let _ = writeln!(out, "{line} | {text}");
        let _ = write!(out, "{margin} | {}{}", " ".repeat(before), "^".repeat(width));
        if let Some(hint) = &self.hint {
            let _ = write!(out, " {hint}");
        }
        out
    }

    fn caret_width(&self, room: usize) -> usize {
        let shown = self.source.slice(self.span);
        let first_line = shown.split(['\n', '\r']).next().unwrap_or_default();
        first_line.chars().count().clamp(1, room.max(1))
    }
}

/// The part of a line around a column, as printable text, and the column within it.
fn window(line: &str, column: usize) -> (String, usize) {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let skip = if column > LINE_WIDTH_MAX * 3 / 4 { column - LINE_WIDTH_MAX / 2 } else { 0 };
    (line.chars().skip(skip).take(LINE_WIDTH_MAX).map(plain).collect(), column - skip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippet_points_at_the_place() {
        let source = Arc::new(Source::new("team.yaml", "servers:\n  - comand: x\n"));
        let span = Span { start: source.text.find("comand").unwrap(), len: 6 };
        let problem = Problem::new(&source, span, "unknown field").hint("did you mean `command`?");
        assert_eq!(
            problem.snippet(),
            " --> team.yaml:2:5\n  |\n2 |   - comand: x\n  |     ^^^^^^ did you mean `command`?"
        );
    }

    #[test]
    fn long_lines_are_cut() {
        let source = Arc::new(Source::new("x", format!("{}!{}", "a".repeat(5000), "b".repeat(5000))));
        let snippet = Problem::new(&source, Span { start: 5000, len: 1 }, "bad").snippet();
        assert!(snippet.lines().all(|line| line.chars().count() < 200), "{snippet}");
        let lines: Vec<_> = snippet.lines().collect();
        assert_eq!(lines[2].chars().position(|c| c == '!'), lines[3].chars().position(|c| c == '^'));
    }

    #[test]
    fn an_offset_past_the_end_is_harmless() {
        let source = Arc::new(Source::new("x", ""));
        assert_eq!(Problem::new(&source, Span { start: 9, len: 9 }, "bad").place(), "x:1:1");
    }
}
