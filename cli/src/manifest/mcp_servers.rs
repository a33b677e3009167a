//! `mcpServers` of Claude, Cursor and others, and `servers` of VS Code, become backends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use omcp_core::backend::NAME_LEN_MAX;
use omcp_proto::v1::{BackendSpec, ManifestBackend};
use serde_json::{Map, Value as Json};

use super::entry::Reader;
use super::node::{Member, Node, Value};
use super::place::{Origin, Shape};
use super::secret;
use super::{Note, Notes};

/// What an entry may hold; anything else is named in a note and left out.
const FIELDS: [&str; 9] =
    ["command", "args", "env", "cwd", "url", "serverUrl", "type", "transport", "headers"];

/// Turns the members of an `mcpServers` object into backends, and remembers what it named so far.
#[derive(Default)]
pub struct Import {
    names: HashMap<String, String>,
    /// References made of literals: name and literal, so that two secrets never share a name.
    references: BTreeMap<String, String>,
}

impl Import {
    pub fn backend(
        &mut self,
        reader: &mut Reader<'_>,
        member: &Member,
        notes: &mut Notes,
    ) -> Option<(ManifestBackend, Origin)> {
        let members = reader.members(&member.value, &format!("`{}`", member.key))?;
        let name = self.name(&member.key, notes);
        note_left_out(&name, members, notes);
        let mut settings = Map::new();
        let runtime_type = self.runtime(reader, member, &name, &mut settings, notes)?;
        let spec = BackendSpec {
            display_name: if name == member.key { String::new() } else { member.key.clone() },
            runtime_type: runtime_type.to_owned(),
            settings_json: Json::Object(settings).to_string(),
            env: self.literals(reader, &member.value, &name, "env", notes),
            disabled: matches!(
                member.value.member("disabled").map(|m| &m.value.value),
                Some(Value::Bool(true))
            ),
            ..BackendSpec::default()
        };
        let origin = Origin {
            source: Arc::clone(reader.source),
            shape: Shape::McpServers,
            name_span: member.key_span,
            node: member.value.clone(),
        };
        Some((ManifestBackend { name, spec: Some(spec) }, origin))
    }

    /// A backend name made of any name, and told when it had to change.
    fn name(&mut self, written: &str, notes: &mut Notes) -> String {
        let wanted = slug(written);
        let mut name = wanted.clone();
        let mut number = 2;
        while self.names.get(&name).is_some_and(|owner| owner != written) {
            let suffix = format!("-{number}");
            let kept = &wanted[..wanted.len().min(NAME_LEN_MAX - suffix.len())];
            name = format!("{}{suffix}", kept.trim_end_matches('-'));
            number += 1;
        }
        self.names.insert(name.clone(), written.to_owned());
        if name != written {
            notes.push(Note::new(
                &name,
                format!("{written:?} is named {name} here: backend names are lower-case"),
            ));
        }
        name
    }

    /// The runtime type of an entry, its settings put into `settings`.
    fn runtime(
        &mut self,
        reader: &mut Reader<'_>,
        member: &Member,
        name: &str,
        settings: &mut Map<String, Json>,
        notes: &mut Notes,
    ) -> Option<&'static str> {
        let node = &member.value;
        let url = node.member("url").or_else(|| node.member("serverUrl"));
        match (node.member("command"), url) {
            (Some(command), None) => {
                process(reader, command, node, name, settings, notes);
                Some("local-process")
            }
            (None, Some(url)) => {
                let url = reader.text(&url.value, "`url`")?;
                let kind = remote_kind(node, &url);
                settings.insert("url".into(), url.into());
                let headers = self.literals(reader, node, name, "headers", notes);
                if !headers.is_empty() {
                    settings.insert(
                        "headers".into(),
                        headers.into_iter().map(|(k, v)| (k, Json::from(v))).collect(),
                    );
                }
                Some(kind)
            }
            (Some(_), Some(url)) => {
                reader.report(
                    url.key_span,
                    "both `command` and `url`",
                    "a server is either started or called",
                );
                None
            }
            (None, None) => {
                let message = format!("server `{}` has neither `command` nor `url`", member.key);
                reader.report(member.key_span, message, "add one of them");
                None
            }
        }
    }

    /// A mapping of texts, with secrets turned into references.
    fn literals(
        &mut self,
        reader: &mut Reader<'_>,
        node: &Node,
        backend: &str,
        field: &str,
        notes: &mut Notes,
    ) -> BTreeMap<String, String> {
        let Some(member) = node.member(field) else { return BTreeMap::new() };
        let Some(members) = reader.members(&member.value, &format!("`{field}`")) else {
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for member in members {
            let what = format!("`{field}.{}`", member.key);
            let Some(text) = scalar_text(reader, &member.value, &what) else { continue };
            let text = own_references(backend, &text, notes);
            texts.insert(member.key.clone(), self.without_secret(backend, field, &member.key, text, notes));
        }
        texts
    }

    fn without_secret(
        &mut self,
        backend: &str,
        field: &str,
        key: &str,
        text: String,
        notes: &mut Notes,
    ) -> String {
        if !secret::looks_secret(key, &text) {
            return text;
        }
        let scheme =
            text.split_once(' ').filter(|_| field == "headers").map(|(scheme, _)| format!("{scheme} "));
        let scheme = scheme.unwrap_or_default();
        let reference = self.reference(backend, field, key, &text[scheme.len()..]);
        let message = format!(
            "{field}.{key} looks like a secret: its value was replaced by ${{{reference}}}; set {reference} on the nodes"
        );
        notes.push(Note::warning(backend, message));
        format!("{scheme}${{{reference}}}")
    }

    /// A name for a literal: the variable's own, unless another secret has it already.
    fn reference(&mut self, backend: &str, field: &str, key: &str, literal: &str) -> String {
        let own = if field == "env" { variable(key) } else { variable(&format!("{backend}_{key}")) };
        let name = match self.references.get(&own) {
            Some(other) if other != literal => variable(&format!("{backend}_{key}")),
            _ => own,
        };
        self.references.insert(name.clone(), literal.to_owned());
        name
    }
}

fn process(
    reader: &mut Reader<'_>,
    command: &Member,
    node: &Node,
    name: &str,
    settings: &mut Map<String, Json>,
    notes: &mut Notes,
) {
    if let Some(text) = reader.text(&command.value, "`command`") {
        settings.insert("command".into(), text.into());
    }
    if let Some(args) = node.member("args") {
        let texts = arguments(reader, &args.value);
        for text in texts.iter().filter(|text| secret::value_secret(text)) {
            let shown = text.split('=').next().filter(|_| text.contains('=')).unwrap_or("an argument");
            notes.push(Note::warning(name, format!("{shown} looks like a secret: replace it by ${{NAME}}")));
        }
        settings.insert("args".into(), texts.into());
    }
    if let Some(text) = node.member("cwd").and_then(|cwd| reader.text(&cwd.value, "`cwd`")) {
        settings.insert("working_dir".into(), text.into());
    }
}

fn arguments(reader: &mut Reader<'_>, args: &Node) -> Vec<String> {
    let Value::List(items) = &args.value else {
        let message = format!("`args` must be a list, not {}", args.kind());
        reader.report(args.span, message, "write [\"one\", \"two\"]");
        return Vec::new();
    };
    items.iter().filter_map(|item| scalar_text(reader, item, "an argument")).collect()
}

/// Text, also of numbers and booleans: hosts pass them to processes as they are written.
fn scalar_text(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
    match &node.value {
        Value::Number(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        _ => reader.text(node, what),
    }
}

fn remote_kind(node: &Node, url: &str) -> &'static str {
    let said = node.member("type").or_else(|| node.member("transport"));
    let said = match said.map(|member| &member.value.value) {
        Some(Value::Text(text)) => text.to_lowercase(),
        _ => String::new(),
    };
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let sse = said == "sse" || said.is_empty() && path.trim_end_matches('/').ends_with("/sse");
    if sse { "remote-sse" } else { "remote-http" }
}

fn note_left_out(name: &str, members: &[Member], notes: &mut Notes) {
    let known = |key: &str| FIELDS.contains(&key) || key == "disabled";
    for member in members.iter().filter(|member| !known(&member.key)) {
        notes.push(Note::new(name, format!("{} has no meaning for a gateway and is left out", member.key)));
    }
}

/// `${input:x}` of VS Code and `${X:-default}` of Claude Code become `${X}`.
fn own_references(backend: &str, text: &str, notes: &mut Notes) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inside, tail)) = after.split_once('}') else { break };
        let name = match (inside.strip_prefix("input:"), inside.split_once(":-")) {
            (Some(input), _) => Some(variable(input)),
            (None, Some((name, _))) => Some(name.to_owned()),
            (None, None) => None,
        };
        if let Some(name) = &name {
            notes.push(Note::warning(
                backend,
                format!("${{{inside}}} became ${{{name}}}; set {name} on the nodes"),
            ));
        }
        out.push_str(before);
        out.push_str(&format!("${{{}}}", name.as_deref().unwrap_or(inside)));
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// An environment variable's name made of any text.
fn variable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// A backend name made of any text.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => slug.push(c),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    if !slug.starts_with(|c: char| c.is_ascii_lowercase()) {
        slug.insert_str(0, if slug.is_empty() { "mcp" } else { "mcp-" });
    }
    slug.truncate(NAME_LEN_MAX);
    slug.trim_end_matches('-').to_owned()
}
