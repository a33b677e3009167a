//! [`Failure`]: what could not be done, why, and what to do about it.

use std::fmt::Write as _;
use std::io;

use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt as _};

use crate::exit;
pub use crate::exit::Cause;
use crate::manifest::Problem;
use crate::manifest::node::{Node, Value};
use crate::manifest::read::ReadError;
use crate::style;

/// Three lines for a person: what, why, fix. Any may be empty but the first.
#[derive(Debug)]
pub struct Failure {
    pub cause: Cause,
    /// What was attempted, on what: "apply 3 backends".
    pub what: String,
    pub why: String,
    pub fix: Box<str>,
    /// Mistakes in what was read, with their places.
    pub problems: Vec<Problem>,
    /// Stable word of the server, if it sent one.
    pub reason: Box<str>,
}

/// What to do when nobody answers at the address of the control plane.
const NO_SERVER: &str =
    "start a control plane (`omcp up` starts one here), or name yours with --server or OMCP_SERVER";

impl Failure {
    pub fn new(cause: Cause, what: impl Into<String>, why: impl Into<String>) -> Self {
        let (what, why) = (what.into(), why.into());
        Self { cause, what, why, fix: "".into(), problems: Vec::new(), reason: "".into() }
    }

    #[must_use]
    pub fn fix(mut self, fix: impl Into<Box<str>>) -> Self {
        self.fix = fix.into();
        self
    }

    /// Says which control plane it was that nobody answers for.
    #[must_use]
    pub fn of_server(mut self, server: &str) -> Self {
        if &*self.fix == NO_SERVER {
            self.why = format!("{server}: {}", self.why);
        }
        self
    }

    #[must_use]
    pub fn problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// The failure of a command whose exit code 1 means something else.
    #[must_use]
    pub fn comparing(mut self) -> Self {
        if self.cause == Cause::Failed {
            self.cause = Cause::Comparison;
        }
        self
    }

    /// What a gRPC status says, with every bad field it names.
    pub fn rpc(what: impl Into<String>, status: &Status) -> Self {
        let details = status.get_error_details();
        let cause = exit::cause(status);
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let line = |violation: &FieldViolation| format!("\n  {}: {}", violation.field, violation.description);
        let why = match violations {
            [] => why(status),
            [one] => format!("{}: {}", one.field, one.description),
            some => format!("{} fields are refused{}", some.len(), some.iter().map(line).collect::<String>()),
        };
        let reason: Box<str> =
            details.error_info().map(|info| info.reason.as_str().into()).unwrap_or_default();
        let fix = fix(cause, status.code(), &reason);
        Self { reason, ..Self::new(cause, what, why) }.fix(fix)
    }

    /// As [`Failure::rpc`], with every bad field that can be led back to the place it was written at.
    pub fn refused(
        what: impl Into<String>,
        status: &Status,
        place: impl Fn(&FieldViolation) -> Option<Problem>,
    ) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let mut problems: Vec<_> = violations.iter().filter_map(place).collect();
        problems.sort_by_key(|problem| (problem.source.name.clone(), problem.span.start));
        let mut failure = Self::rpc(what, status);
        if !problems.is_empty() && problems.len() == violations.len() {
            failure.why = format!("{}; nothing was written", mistakes(problems.len()));
            failure.fix = CORRECT.into();
        }
        failure.problems(problems)
    }

    /// The failure of reading what the user named.
    pub fn read(error: ReadError) -> Self {
        let problems = match &error {
            ReadError::NotUtf8(problem) => vec![problem.clone()],
            _ => Vec::new(),
        };
        Self::new(Cause::Invalid, "read the manifest", error.to_string()).problems(problems)
    }

    /// Mistakes in a manifest.
    pub fn invalid(problems: Vec<Problem>) -> Self {
        let why = format!("{}; nothing was sent", mistakes(problems.len()));
        Self::new(Cause::Invalid, "read the manifest", why).fix(CORRECT).problems(problems)
    }

    /// Output that could not be written.
    pub fn output(error: &io::Error) -> Self {
        Self::new(Cause::Failed, "write the output", error.to_string())
    }

    /// For people, on standard error; with the server's stable word if more is wanted.
    pub fn render(&self, verbose: bool) -> String {
        let mut out = String::new();
        let error = style::error("error");
        for problem in &self.problems {
            let _ = writeln!(out, "{error}: {}\n{}", problem.message, problem.snippet());
        }
        let _ = writeln!(out, "{error}: cannot {}", self.what);
        if !self.why.is_empty() {
            let _ = writeln!(out, "  why: {}", style::printable_lines(&self.why));
        }
        if !self.fix.is_empty() {
            let _ = writeln!(out, "  fix: {}", self.fix);
        }
        if verbose && !self.reason.is_empty() {
            let _ = writeln!(out, "  reason: {}", self.reason);
        }
        out
    }

    /// For programs, one line.
    pub fn to_json(&self) -> String {
        let problem = |problem: &Problem| {
            let (line, column) = problem.position();
            let hint = problem.hint.clone().unwrap_or_default();
            Node::map([
                ("file".to_owned(), Node::text(&problem.source.name)),
                ("line".to_owned(), Node::number(line as u64)),
                ("column".to_owned(), Node::number(column as u64)),
                ("message".to_owned(), Node::text(&problem.message)),
                ("hint".to_owned(), Node::text(hint)),
            ])
        };
        let error = Node::map([
            ("exit_code".to_owned(), Node::number(u64::from(exit::failure(self.cause)))),
            ("reason".to_owned(), Node::text(&*self.reason)),
            ("what".to_owned(), Node::text(format!("cannot {}", self.what))),
            ("why".to_owned(), Node::text(&self.why)),
            ("fix".to_owned(), Node::text(&*self.fix)),
            ("problems".to_owned(), Node::new(Value::List(self.problems.iter().map(problem).collect()))),
        ]);
        Node::map([("error".to_owned(), error)]).to_json()
    }
}

/// What to do about mistakes in a manifest.
const CORRECT: &str = "correct the manifest and try again";

fn mistakes(count: usize) -> String {
    if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") }
}

/// The server's message, or the innermost cause where the message is only gRPC's wrapping.
fn why(status: &Status) -> String {
    let mut innermost: Option<&dyn std::error::Error> = std::error::Error::source(status);
    while let Some(cause) = innermost.and_then(|error| error.source()) {
        innermost = Some(cause);
    }
    match (innermost, status.message()) {
        (Some(cause), _) => cause.to_string(),
        (None, "") => status.code().description().to_owned(),
        (None, message) => message.to_owned(),
    }
}

fn fix(cause: Cause, code: Code, reason: &str) -> &'static str {
    match (cause, reason) {
        (_, "MASS_DELETE") => "if you mean it, say how many may go: --max-deletes N",
        (_, "OVERLOADED" | "STOPPING") => "try again in a moment",
        (Cause::Unreachable, _) if code != Code::Unavailable => "wait longer with --timeout",
        (Cause::Unreachable, _) => NO_SERVER,
        (Cause::NotFound, _) => "see what there is with `omcp get`",
        (Cause::Conflict, _) => "look at it again with `omcp get`, then repeat your change",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::manifest::Source;
    use crate::manifest::source::Span;

    #[test]
    fn a_comparison_that_failed_is_not_a_difference() {
        assert_eq!(Failure::new(Cause::Failed, "compare", "no").comparing().cause, Cause::Comparison);
        assert_eq!(Failure::new(Cause::Unreachable, "compare", "no").comparing().cause, Cause::Unreachable);
    }

    #[test]
    fn one_line_each() {
        let failure = Failure::new(Cause::Failed, "delete backend x", "it is loved").fix("let it be");
        let text = anstream::adapter::strip_str(&failure.render(false)).to_string();
        assert_eq!(text, "error: cannot delete backend x\n  why: it is loved\n  fix: let it be\n");
    }

    #[test]
    fn json_is_one_line_with_places() {
        let source = Arc::new(Source::new("a.yaml", "x:\n  y: 1"));
        let problem = Problem::new(&source, Span { start: 5, len: 1 }, "unknown field `y`").hint("no");
        let line = Failure::invalid(vec![problem]).to_json();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["error"]["exit_code"], 2);
        assert_eq!(value["error"]["problems"][0]["line"], 2);
        assert_eq!(value["error"]["problems"][0]["column"], 3);
    }

    #[test]
    fn bad_fields_are_named() {
        let mut details = tonic_types::ErrorDetails::new();
        details.add_bad_request_violation("backends[0].env", "too many");
        details.set_error_info("INVALID", "omcp", std::collections::HashMap::new());
        let status = Status::with_error_details(Code::InvalidArgument, "invalid manifest", details);
        let failure = Failure::rpc("apply", &status);
        assert_eq!(failure.why, "backends[0].env: too many");
        assert_eq!(&*failure.reason, "INVALID");
    }
}
