//! Stored backends become YAML, JSON or `mcpServers` again.

use std::fmt::Write as _;

use omcp_proto::v1::ManifestBackend;

use super::node::{Node, Value, json_string};
use super::{from_json, lifecycle};

/// Longest list that is written on one line, characters.
const LINE_WIDTH: usize = 90;

/// One backend in the shape people write.
pub fn entry(backend: &ManifestBackend) -> Node {
    let spec = backend.spec.clone().unwrap_or_default();
    let text = |text: String| Node::text(text);
    let mut members = vec![("id".to_owned(), text(backend.name.clone()))];
    if !spec.display_name.is_empty() {
        members.push(("display_name".into(), text(spec.display_name)));
    }
    if !spec.tags.is_empty() {
        members.push(("tags".into(), Node::new(Value::List(spec.tags.into_iter().map(text).collect()))));
    }
    members.push(("runtime".into(), runtime(spec.runtime_type, &spec.settings_json)));
    if !spec.env.is_empty() {
        members.push(("env".into(), Node::map(spec.env.into_iter().map(|(key, value)| (key, text(value))))));
    }
    if !spec.era.is_empty() {
        members.push(("era".into(), text(spec.era)));
    }
    if spec.disabled {
        members.push(("disabled".into(), Node::new(Value::Bool(true))));
    }
    if let Some(lifecycle) = &spec.lifecycle {
        members.push(("lifecycle".into(), lifecycle::node(lifecycle)));
    }
    Node::map(members)
}

fn runtime(kind: String, settings_json: &str) -> Node {
    let settings = settings(settings_json);
    let beside = settings.members().iter().map(|member| (member.key.clone(), member.value.clone()));
    Node::map([("type".to_owned(), Node::text(kind))].into_iter().chain(beside))
}

/// JSON text as a tree; text that is no JSON, which no control plane stores, as one text.
pub fn settings(json: &str) -> Node {
    let json = if json.is_empty() { "{}" } else { json };
    from_json::node(json).unwrap_or_else(|_| Node::map([("settings_json".to_owned(), Node::text(json))]))
}

/// All backends in the shape people write, under `servers`.
pub fn manifest(backends: &[ManifestBackend]) -> Node {
    Node::map([("servers".to_owned(), Node::new(Value::List(backends.iter().map(entry).collect())))])
}

/// `mcpServers` of the backends that have such a form, and the names of those that have none.
pub fn mcp_servers(backends: &[ManifestBackend]) -> (Node, Vec<String>) {
    let (mut servers, mut left_out) = (Vec::new(), Vec::new());
    for backend in backends {
        match mcp_server(backend) {
            Some(server) => servers.push((backend.name.clone(), server)),
            None => left_out.push(backend.name.clone()),
        }
    }
    (Node::map([("mcpServers".to_owned(), Node::map(servers))]), left_out)
}

fn mcp_server(backend: &ManifestBackend) -> Option<Node> {
    let spec = backend.spec.clone().unwrap_or_default();
    let settings = settings(&spec.settings_json);
    let kept = |from: &str, to: &str| Some((to.to_owned(), settings.member(from)?.value.clone()));
    let mut members: Vec<_> = match spec.runtime_type.as_str() {
        "local-process" => [kept("command", "command"), kept("args", "args"), kept("working_dir", "cwd")]
            .into_iter()
            .flatten()
            .collect(),
        "remote-http" => remote("http", [kept("url", "url"), kept("headers", "headers")]),
        "remote-sse" => remote("sse", [kept("url", "url"), kept("headers", "headers")]),
        _ => return None,
    };
    if !spec.env.is_empty() {
        let env = spec.env.into_iter().map(|(key, value)| (key, Node::text(value)));
        members.push(("env".into(), Node::map(env)));
    }
    Some(Node::map(members))
}

fn remote(kind: &str, members: [Option<(String, Node)>; 2]) -> Vec<(String, Node)> {
    [Some(("type".to_owned(), Node::text(kind)))].into_iter().chain(members).flatten().collect()
}

/// JSON, two spaces a level.
pub fn json(node: &Node) -> String {
    let mut out = String::new();
    write_json(node, 0, &mut out);
    out.push('\n');
    out
}

fn write_json(node: &Node, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth + 1);
    let end = "  ".repeat(depth);
    match &node.value {
        Value::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "[\n" } else { ",\n" });
                out.push_str(&pad);
                write_json(item, depth + 1, out);
            }
            let _ = write!(out, "\n{end}]");
        }
        Value::Map(members) if !members.is_empty() => {
            for (index, member) in members.iter().enumerate() {
                out.push_str(if index == 0 { "{\n" } else { ",\n" });
                let _ = write!(out, "{pad}{}: ", quoted(&member.key));
                write_json(&member.value, depth + 1, out);
            }
            let _ = write!(out, "\n{end}}}");
        }
        _ => out.push_str(&escaped(&node.to_json())),
    }
}

/// YAML in block style; short lists of plain values stand on one line.
pub fn yaml(node: &Node) -> String {
    let mut out = String::new();
    write_yaml(node, 0, &mut out);
    out
}

/// Writes a value after its key or dash, up to and including the end of the line.
fn write_yaml(node: &Node, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    match &node.value {
        Value::Map(members) if !members.is_empty() => {
            for (index, member) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(&pad);
                }
                let _ = write!(out, "{}:", yaml_text(&member.key));
                write_below(&member.value, depth + 1, out);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                write_yaml(item, depth + 1, out);
            }
        }
        _ => {
            out.push_str(&flat(node));
            out.push('\n');
        }
    }
}

/// Writes the value of a key: on the same line if it is flat, indented below otherwise.
fn write_below(node: &Node, depth: usize, out: &mut String) {
    let inline = matches!(&node.value, Value::List(items) if items.iter().all(is_scalar));
    let line = flat(node);
    if is_scalar(node) || node.to_json().len() == 2 || inline && line.chars().count() < LINE_WIDTH {
        let _ = writeln!(out, " {line}");
    } else {
        let _ = write!(out, "\n{}", "  ".repeat(depth));
        write_yaml(node, depth, out);
    }
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.value, Value::List(_) | Value::Map(_))
}

/// A value on one line.
fn flat(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => yaml_text(text),
        Value::List(items) => format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", ")),
        _ => node.to_json(),
    }
}

/// Text without quotes where nobody could take it for anything else, as a JSON string otherwise.
fn yaml_text(text: &str) -> String {
    const WORDS: [&str; 12] =
        ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "inf", "nan", "infinity"];
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | '@' | '+' | '=');
    let word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if starts && !word && !text.ends_with(' ') && text.chars().all(plain) {
        return text.to_owned();
    }
    quoted(text)
}

/// A JSON string that YAML reads as well.
fn quoted(text: &str) -> String {
    escaped(&json_string(text))
}

/// JSON does not care about these characters, YAML wants them escaped.
fn escaped(json: &str) -> String {
    let odd = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    json.chars().map(|c| if odd(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}
