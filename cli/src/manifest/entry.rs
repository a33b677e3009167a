//! One entry of `servers:` becomes one [`ManifestBackend`].

use std::collections::BTreeMap;
use std::sync::Arc;

use omcp_core::nearest;
use omcp_proto::v1::{BackendSpec, ManifestBackend};

use super::node::{Member, Node, Value};
use super::place::{Origin, Shape};
use super::problem::Problem;
use super::source::{Source, Span};

/// What an entry may hold.
pub const FIELDS: [&str; 9] =
    ["id", "name", "display_name", "tags", "runtime", "env", "era", "disabled", "lifecycle"];
/// What `omcp get -o yaml` adds: accepted, so that its output can be applied, and not looked at.
const OUTPUT_ONLY: [&str; 6] = ["uid", "generation", "revision", "create_time", "update_time", "etag"];

/// Reads nodes of one source and collects everything that is wrong with them.
pub struct Reader<'a> {
    pub source: &'a Arc<Source>,
    pub problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Reads an entry; what is missing or wrong is left empty and reported.
    pub fn backend(&mut self, node: &Node) -> Option<(ManifestBackend, Origin)> {
        let members = self.members(node, "a backend")?;
        self.report_unknown(members, node);
        let (name, name_span) = self.name(node);
        let (runtime_type, settings_json) = self.runtime(node);
        let spec = BackendSpec {
            display_name: self.text_member(node, "display_name"),
            tags: self.tags(node),
            runtime_type,
            settings_json,
            env: self.env(node),
            era: self.text_member(node, "era"),
            disabled: self.disabled(node),
            lifecycle: self.lifecycle(node),
        };
        let origin =
            Origin { source: Arc::clone(self.source), shape: Shape::Native, name_span, node: node.clone() };
        Some((ManifestBackend { name, spec: Some(spec) }, origin))
    }

    fn report_unknown(&mut self, members: &[Member], entry: &Node) {
        let known = |key: &str| FIELDS.contains(&key) || OUTPUT_ONLY.contains(&key);
        for member in members.iter().filter(|member| !known(&member.key)) {
            let message = format!("unknown field `{}`{}", member.key, of_backend(entry));
            let hint = match nearest(&member.key, FIELDS) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if entry.member("runtime").is_some() => {
                    format!(
                        "settings of the runtime stand under `runtime:`; a backend has {}",
                        FIELDS.join(", ")
                    )
                }
                None => format!("a backend has {}", FIELDS.join(", ")),
            };
            self.report(member.key_span, message, hint);
        }
    }

    fn name(&mut self, node: &Node) -> (String, Span) {
        let start = node.members().first().map_or(node.span, |member| member.key_span);
        match (node.member("id"), node.member("name")) {
            (Some(_), Some(name)) => {
                self.report(name.key_span, "`id` and `name` are the same field", "remove one of them");
                (String::new(), name.key_span)
            }
            (Some(member), None) | (None, Some(member)) => {
                let span = member.value.span;
                (self.word(&member.value, &format!("`{}`", member.key)), span)
            }
            (None, None) => {
                self.report(start, "a backend without `id`", "add `id: NAME`");
                (String::new(), start)
            }
        }
    }

    /// The type, and what stands beside it as JSON text.
    fn runtime(&mut self, node: &Node) -> (String, String) {
        let Some(member) = node.member("runtime") else {
            let start = node.members().first().map_or(node.span, |member| member.key_span);
            let message = format!("no `runtime`{}", of_backend(node));
            self.report(start, message, "add `runtime: { type: local-process, command: ... }`");
            return Default::default();
        };
        if let Value::Text(text) = &member.value.value {
            let hint = format!("write `runtime: {{ type: {text} }}`");
            self.report(member.value.span, "`runtime` must be a mapping, not text", hint);
            return Default::default();
        }
        if self.members(&member.value, "`runtime`").is_none() {
            return Default::default();
        }
        (self.runtime_type(member), settings(&member.value))
    }

    fn runtime_type(&mut self, runtime: &Member) -> String {
        let Some(member) = runtime.value.member("type") else {
            let meant = nearest("type", runtime.value.members().iter().map(|member| member.key.as_str()));
            let hint = match meant {
                Some(typo) => format!("did you mean `type` by `{typo}`?"),
                None => "add `type: local-process`, or another type of `omcp runtimes`".to_owned(),
            };
            self.report(runtime.key_span, "`runtime` without `type`", hint);
            return String::new();
        };
        self.word(&member.value, "`type`")
    }

    fn tags(&mut self, node: &Node) -> Vec<String> {
        let Some(member) = node.member("tags") else { return Vec::new() };
        let Value::List(items) = &member.value.value else {
            let message = format!("`tags` must be a list, not {}", member.value.kind());
            self.report(member.value.span, message, "write `tags: [one, two]`");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.text(item, "a tag")).collect()
    }

    fn env(&mut self, node: &Node) -> BTreeMap<String, String> {
        let Some(member) = node.member("env") else { return BTreeMap::new() };
        let Some(members) = self.members(&member.value, "`env`") else { return BTreeMap::new() };
        let value = |member: &Member| {
            let text = self.text(&member.value, &format!("`env.{}`", member.key))?;
            Some((member.key.clone(), text))
        };
        members.iter().filter_map(value).collect()
    }

    fn disabled(&mut self, node: &Node) -> bool {
        let Some(member) = node.member("disabled") else { return false };
        if let Value::Bool(value) = member.value.value {
            return value;
        }
        let message = format!("`disabled` must be true or false, not {}", member.value.kind());
        self.report(member.value.span, message, "write `disabled: true`");
        false
    }

    pub(super) fn text_member(&mut self, node: &Node, key: &str) -> String {
        let found = node.member(key).and_then(|member| self.text(&member.value, &format!("`{key}`")));
        found.unwrap_or_default()
    }

    /// Text that is not empty.
    fn word(&mut self, node: &Node, what: &str) -> String {
        let text = self.text(node, what);
        if text.as_deref() == Some("") {
            self.report(node.span, format!("{what} is empty"), "write a name here");
        }
        text.unwrap_or_default()
    }

    /// Text; anything else is reported, with the quotes that make it text.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        if let Value::Text(text) = &node.value {
            return Some(text.clone());
        }
        let hint = match &node.value {
            Value::Number(text) => format!("write \"{text}\" in quotes"),
            Value::Bool(value) => format!("write \"{value}\" in quotes"),
            _ => "write text here".to_owned(),
        };
        self.report(node.span, format!("{what} must be text, not {}", node.kind()), hint);
        None
    }

    /// The members of a mapping; anything else is reported.
    pub fn members<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Member]> {
        if let Value::Map(members) = &node.value {
            return Some(members);
        }
        self.report(
            node.span,
            format!("{what} must be a mapping, not {}", node.kind()),
            "write `key: value`",
        );
        None
    }

    pub fn report(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::new(self.source, span, message).hint(hint));
    }
}

fn settings(runtime: &Node) -> String {
    let beside = runtime.members().iter().filter(|member| member.key != "type");
    Node::map(beside.map(|member| (member.key.clone(), member.value.clone()))).to_json()
}

fn of_backend(entry: &Node) -> String {
    let name = entry.member("id").or_else(|| entry.member("name"));
    match name.map(|member| &member.value.value) {
        Some(Value::Text(name)) => format!(" in backend {name:?}"),
        _ => String::new(),
    }
}
