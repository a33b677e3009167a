//! Text to documents: YAML with several documents, or JSON with comments.

use std::sync::Arc;

use serde_saphyr::{Budget, DuplicateKeyPolicy, Options};

use super::jsonc;
use super::node::{self, Member, Node, Value};
use super::problem::Problem;
use super::source::{Source, Span};

/// Deepest nesting of a manifest: settings are flat, so this is far beyond use and far below the stack.
const DEPTH_MAX: usize = 48;
/// Most values in one source, aliases expanded: 1,000 backends of 100 values, with room.
const NODES_MAX: usize = 200_000;
/// Most text in one source, aliases expanded, bytes.
const TEXT_LEN_MAX: usize = 16 * 1024 * 1024;

/// Reads the documents of a source.
///
/// # Errors
/// The first syntax error, or else every key that stands twice in one mapping.
pub fn parse(source: &Arc<Source>) -> Result<Vec<Node>, Vec<Problem>> {
    let json = jsonc::is_json(&source.name, &source.text).then(|| jsonc::blank_comments(&source.text));
    let text = json.as_deref().unwrap_or(&source.text);
    let mut documents: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| vec![syntax_problem(source, &error)])?;
    let mut problems = Vec::new();
    for document in &mut documents {
        document.keep_numbers(source);
        find_repeated_keys(source, document, &mut problems);
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH_MAX;
    budget.max_nodes = NODES_MAX;
    budget.max_total_scalar_bytes = TEXT_LEN_MAX;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.alias_limits.max_total_replayed_events = NODES_MAX;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.reject_unsupported_tags = true;
    options.with_snippet = false;
    options
}

fn syntax_problem(source: &Arc<Source>, error: &serde_saphyr::Error) -> Problem {
    let span = error.location().map(|location| place(source, location)).unwrap_or_default();
    let text = error.without_snippet().to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    match ADVICE.iter().find(|(part, ..)| message.contains(part)) {
        Some((_, "", advice)) => Problem::new(source, span, message).hint(*advice),
        Some((_, clearer, advice)) => Problem::new(source, span, *clearer).hint(*advice),
        None => Problem::new(source, span, message),
    }
}

/// Some errors know their line and column only.
fn place(source: &Source, location: serde_saphyr::Location) -> Span {
    if location.span().byte_offset().is_some() {
        return node::span(location);
    }
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Span { start: source.offset(number(location.line()), number(location.column())), len: 1 }
}

/// Part of a syntax error, clearer words for it (or none), and what usually helps.
const ADVICE: [(&str, &str, &str); 18] = [
    ("tabs disallowed", "a tab in the indentation", "indent with spaces"),
    ("found a tab", "a tab in the indentation", "indent with spaces"),
    ("mapping values are not allowed", "", "put text that holds \": \" in quotes, or check the indentation"),
    ("did not find expected key", "", "check the indentation"),
    (
        "expected <document start>",
        "something that does not belong to what stands before it",
        "check the indentation",
    ),
    ("unclosed quote", "", "close the quote"),
    ("unclosed bracket", "", "close the bracket"),
    ("misplaced bracket", "", "remove it, or open it before"),
    (
        "unknown escape",
        "an unknown escape in double quotes",
        "write \\\\ for a backslash, or use single quotes",
    ),
    ("unexpected character", "", "put the text in quotes"),
    ("unknown anchor", "", "put text that starts with * in quotes, or set the anchor before"),
    ("recursive references", "an alias within what it stands for", "write it out"),
    ("expected string scalar", "a key that is no text", "keys are plain text"),
    ("unsupported tag", "", "remove the tag"),
    ("non-finite float", "a number that JSON does not have", "put it in quotes if it is meant as text"),
    ("Depth", "nested too deep", "a manifest is a few levels deep"),
    ("Documents", "too many documents", "put many backends into one list"),
    ("limit exceeded", "aliases that expand to far too much", "write less of it"),
];

fn find_repeated_keys(source: &Arc<Source>, node: &Node, problems: &mut Vec<Problem>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| find_repeated_keys(source, item, problems)),
        Value::Map(members) => {
            report_repeated(source, members, problems);
            members.iter().for_each(|member| find_repeated_keys(source, &member.value, problems));
        }
        _ => {}
    }
}

fn report_repeated(source: &Arc<Source>, members: &[Member], problems: &mut Vec<Problem>) {
    let mut seen = std::collections::HashMap::<&str, Span>::new();
    for member in members {
        let Some(first) = seen.insert(&member.key, member.key_span) else { continue };
        let line = source.position(first.start).0;
        let message = format!("key `{}` stands twice in one mapping", member.key);
        let hint = format!("it stands first in line {line}; remove one of them");
        problems.push(Problem::new(source, member.key_span, message).hint(hint));
    }
}
