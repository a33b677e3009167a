//! [`Origin`]: where a backend was written, so that errors of the server find their way back.

use std::sync::Arc;

use super::node::{Member, Node, Value};
use super::problem::Problem;
use super::source::{Source, Span};

/// How a backend was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An entry of `servers:`, with its settings under `runtime:`.
    Native,
    /// An entry of `mcpServers`, with everything side by side.
    McpServers,
}

/// The place of one backend in a source.
#[derive(Clone, Debug)]
pub struct Origin {
    pub source: Arc<Source>,
    pub shape: Shape,
    /// Where its name stands.
    pub name_span: Span,
    /// What was written.
    pub node: Node,
}

impl Origin {
    /// Makes a problem of what is said about a field, for example `runtime.args[1]`. What follows a
    /// semicolon is the hint.
    pub fn problem(&self, path: &str, reason: &str) -> Problem {
        let (what, hint) = reason.split_once("; ").unwrap_or((reason, ""));
        let says_itself = what.starts_with(['"', '`', '$']) || what.starts_with("an ") || path.is_empty();
        let message = if says_itself { what.to_owned() } else { format!("`{path}` {what}") };
        let problem = Problem::new(&self.source, self.locate(path, names_unknown_key(what)), message);
        if hint.is_empty() { problem } else { problem.hint(hint) }
    }

    /// The place of a field, or of the closest thing around it that was written.
    fn locate(&self, path: &str, key: bool) -> Span {
        let path = path.strip_prefix("spec.").unwrap_or(path);
        if path == "name" || path.is_empty() {
            return self.name_span;
        }
        let path = match self.shape {
            Shape::Native => path,
            Shape::McpServers => as_imported(path),
        };
        walk(&self.node, path, key).unwrap_or(self.name_span)
    }
}

/// The path of a setting where `mcpServers` has it.
fn as_imported(path: &str) -> &str {
    match path.strip_prefix("runtime.") {
        Some("working_dir") => "cwd",
        Some(setting) => setting,
        None => path,
    }
}

/// Whether a message is about a key that should not be there, rather than about its value.
fn names_unknown_key(message: &str) -> bool {
    let message = message.to_lowercase();
    ["unknown field", "not a setting", "additional properties"].iter().any(|part| message.contains(part))
}

/// Follows a path such as `env.NAME`, `tags[2]` or `runtime.headers.X-Key` as far as it goes.
fn walk(node: &Node, path: &str, key: bool) -> Option<Span> {
    let (span, inner, rest) = step(node, path)?;
    if rest.is_empty() && !key && !matches!(inner.value, Value::Map(_) | Value::List(_) | Value::Null) {
        return Some(inner.span);
    }
    Some(walk(inner, rest, key).unwrap_or(span))
}

/// The place to show for the first part of a path, what is there, and the rest of the path.
fn step<'a, 'p>(node: &'a Node, path: &'p str) -> Option<(Span, &'a Node, &'p str)> {
    match &node.value {
        Value::List(items) => {
            let digits = path.trim_start_matches(['[', '.', '/']);
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            let item = items.get(digits[..end].parse::<usize>().ok()?)?;
            Some((item.span, item, digits[end..].trim_start_matches([']', '.', '/'])))
        }
        Value::Map(members) => {
            let path = path.trim_start_matches(['.', '/']);
            let member =
                members.iter().filter(|member| leads(member, path)).max_by_key(|member| member.key.len())?;
            Some((member.key_span, &member.value, &path[member.key.len()..]))
        }
        _ => None,
    }
}

/// Whether a path begins with a key: keys may hold dots, so the path cannot simply be split.
fn leads(member: &Member, path: &str) -> bool {
    path.strip_prefix(member.key.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '/']))
}
