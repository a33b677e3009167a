//! [`page`]: what a person reads about a type or one of its settings.

use std::fmt::Write as _;

use omcp_proto::v1::{OfferedRuntimeType, RuntimeType};
use serde_json::Value as Json;

use super::Chosen;
use super::schema::Schema;
use crate::style;
use crate::word;

/// Deepest level of settings that is shown: a schema may contain itself.
const DEPTH_MAX: usize = 5;
/// Spaces per level.
const STEP: usize = 4;

pub fn page(path: &str, chosen: &Chosen, schema: Schema<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}   {}", style::bold(&style::printable(path)), facts(schema));
    let _ = writeln!(out, "  {}", style::dim(&style::printable(&origin(chosen))));
    if let Some(others) = others(chosen) {
        let _ = writeln!(out, "  {}", style::warning(&style::printable(&others)));
    }
    indented(&mut out, schema.description(), 2);
    choices(&mut out, schema, 2);
    if schema.names().next().is_some() || !schema.forms().is_empty() {
        out.push_str("\nSettings\n");
    }
    below(&mut out, schema, 0);
    out
}

fn origin(chosen: &Chosen) -> String {
    let nodes = match chosen.nodes.as_slice() {
        [] => "no connected node offers it".to_owned(),
        nodes => format!("offered by {}", nodes.join(", ")),
    };
    format!("{}, {nodes}", named(&chosen.kind))
}

fn named(kind: &RuntimeType) -> String {
    format!("{} {}", kind.origin, kind.version).trim().to_owned()
}

fn others(chosen: &Chosen) -> Option<String> {
    let other = |one: &OfferedRuntimeType| {
        let (name, nodes) = (one.r#type.as_ref().map(named).unwrap_or_default(), one.nodes.join(", "));
        format!("{name} on {nodes} (--node {})", one.nodes.first().map(String::as_str).unwrap_or_default())
    };
    let others: Vec<_> = chosen.others.iter().map(other).collect();
    let count = word::count(others.len(), "other version");
    (!others.is_empty()).then(|| format!("{count}: {}", others.join("; ")))
}

/// The settings below a place, a line each and what is known about it.
fn below(out: &mut String, schema: Schema<'_>, depth: usize) {
    if depth >= DEPTH_MAX {
        return;
    }
    let margin = " ".repeat(2 + depth * STEP);
    for (name, setting) in schema.settings() {
        let _ = writeln!(out, "{margin}{}   {}", style::bold(&style::printable(name)), facts(setting));
        indented(out, setting.description(), 2 + (depth + 1) * STEP);
        choices(out, setting, 2 + (depth + 1) * STEP);
        below(out, setting, depth + 1);
    }
    for (at, form) in schema.forms().into_iter().enumerate().filter(|(_, form)| form.names().next().is_some())
    {
        let title = form.at["title"].as_str().map_or_else(|| format!("form {}", at + 1), style::printable);
        let _ = writeln!(out, "{margin}{title}:");
        indented(out, form.description(), 2 + (depth + 1) * STEP);
        below(out, form, depth + 1);
    }
}

/// Kind, bounds, default and whether it is required.
fn facts(schema: Schema<'_>) -> String {
    let mut facts = style::printable(&schema.kind());
    let at = schema.resolved().at;
    match (&at["minimum"], &at["maximum"]) {
        (Json::Null, Json::Null) => {}
        (min, Json::Null) => _ = write!(facts, ", {min} or more"),
        (Json::Null, max) => _ = write!(facts, ", {max} or less"),
        (min, max) => _ = write!(facts, ", {min} to {max}"),
    }
    if schema.is_required {
        facts.push_str(", required");
    }
    if !schema.at["default"].is_null() {
        let _ = write!(facts, ", default {}", style::printable(&schema.at["default"].to_string()));
    }
    facts
}

/// The words of an enumeration that are described one by one.
fn choices(out: &mut String, schema: Schema<'_>, spaces: usize) {
    for (word, about) in schema.choices().into_iter().filter(|(_, about)| !about.is_empty()) {
        let first = about.lines().next().unwrap_or_default();
        let _ = writeln!(out, "{}{word}: {}", " ".repeat(spaces), style::printable(first));
    }
}

fn indented(out: &mut String, text: &str, spaces: usize) {
    for line in text.lines() {
        let _ = writeln!(out, "{}{}", " ".repeat(spaces), style::printable(line));
    }
}
