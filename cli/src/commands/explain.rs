//! `omcp explain`.

use std::fmt::Write as _;

use omcp_core::nearest;
use omcp_proto::v1::RuntimeType;
use serde_json::Value as Json;

use super::runtimes;
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::write;
use crate::output::{self, Format};
use crate::style;

/// Deepest chain of references in a schema that is followed.
const REFERENCES_MAX: usize = 16;

/// Show the settings of a runtime type
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp explain local-process
  omcp explain local-process.command")]
pub struct Args {
    /// Runtime type, and the setting of it that is meant
    #[arg(value_name = "TYPE[.SETTING]")]
    path: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let mut parts = args.path.split('.');
    let name = parts.next().unwrap_or_default();
    let kind = find(name, context).await?;
    let schema: Json = serde_json::from_str(&kind.settings_schema_json).unwrap_or_default();
    let schema = Schema { root: &schema, at: &schema };
    let target = parts
        .try_fold(schema, |schema, part| schema.setting(part))
        .map_err(|failure| failure.fix(format!("see them all with `omcp explain {name}`")))?;
    output::print(&match context.format() {
        Format::Json => format!("{:#}\n", target.at),
        Format::Yaml => write::yaml(&write::settings(&target.at.to_string())),
        Format::Name => target.names().map(|name| format!("{name}\n")).collect(),
        Format::Table | Format::Wide => page(&args.path, &kind, &target),
    })
}

async fn find(name: &str, context: &Context) -> Result<RuntimeType, Failure> {
    let types: Vec<_> =
        runtimes::list(context).await?.into_iter().filter_map(|offered| offered.r#type).collect();
    if let Some(kind) = types.iter().find(|kind| kind.name == name) {
        return Ok(kind.clone());
    }
    let fix = match nearest(name, types.iter().map(|kind| kind.name.as_str())) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "see `omcp runtimes`".to_owned(),
    };
    Err(Failure::new(Cause::NotFound, format!("explain {name}"), "no runtime type of this name is known")
        .fix(fix))
}

/// A place in a JSON Schema.
#[derive(Clone, Copy)]
struct Schema<'a> {
    root: &'a Json,
    at: &'a Json,
}

impl<'a> Schema<'a> {
    /// The schema of a setting below this one.
    fn setting(self, name: &str) -> Result<Self, Failure> {
        let here = self.resolved();
        match here.at["properties"].get(name) {
            Some(at) => Ok(Self { at, ..self }),
            None => {
                let why = match nearest(name, here.names()) {
                    Some(meant) => format!("there is no such setting; did you mean {meant}?"),
                    None => "there is no such setting".to_owned(),
                };
                Err(Failure::new(Cause::NotFound, format!("explain {name}"), why))
            }
        }
    }

    /// Behind `$ref`, and behind the "or null" of what may be left out.
    fn resolved(self) -> Self {
        let mut here = self;
        for _ in 0..REFERENCES_MAX {
            let reference =
                here.at["$ref"].as_str().and_then(|path| here.root.pointer(path.strip_prefix('#')?));
            let some = here.at["anyOf"].as_array().filter(|options| options.len() == 2);
            let not_null = some.and_then(|options| options.iter().find(|option| option["type"] != "null"));
            match reference.or(not_null) {
                Some(at) => here.at = at,
                None => break,
            }
        }
        here
    }

    fn names(self) -> impl Iterator<Item = &'a str> {
        self.resolved().at["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    fn is_required(self, name: &str) -> bool {
        self.resolved().at["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name))
    }

    fn description(self) -> &'a str {
        let here = |schema: Self| schema.at["description"].as_str();
        here(self).or_else(|| here(self.resolved())).unwrap_or_default()
    }

    /// What may stand there, in a person's words.
    fn kind(self) -> String {
        let at = self.resolved().at;
        if let Some(words) = choices(at) {
            return format!("one of {}", words.join(", "));
        }
        let named = match &at["type"] {
            Json::String(name) => name.as_str(),
            Json::Array(names) => {
                names.iter().filter_map(Json::as_str).find(|n| *n != "null").unwrap_or("any")
            }
            _ => "any",
        };
        match named {
            "string" => "text".into(),
            "integer" => "whole number".into(),
            "boolean" => "true or false".into(),
            "array" => format!("list of {}", Self { at: &at["items"], ..self }.kind()),
            "object" if at["additionalProperties"].is_object() => {
                format!("mapping to {}", Self { at: &at["additionalProperties"], ..self }.kind())
            }
            "object" => "mapping".into(),
            other => other.into(),
        }
    }
}

/// The words of an enumeration, in either of its forms.
fn choices(at: &Json) -> Option<Vec<&str>> {
    let listed = at["enum"].as_array().map(|words| words.iter().filter_map(Json::as_str).collect::<Vec<_>>());
    let named =
        at["oneOf"].as_array().map(|some| some.iter().filter_map(|one| one["const"].as_str()).collect());
    listed.or(named).filter(|words| !words.is_empty())
}

fn page(path: &str, kind: &RuntimeType, schema: &Schema<'_>) -> String {
    let mut out = String::new();
    let version = if kind.version.is_empty() { String::new() } else { format!(" {}", kind.version) };
    let _ = writeln!(out, "{}   {}{version}, {}", style::bold(path), kind.origin, schema.kind());
    indented(&mut out, schema.description(), 2);
    if schema.names().next().is_some() {
        out.push_str("\nSettings\n");
    }
    for name in schema.names() {
        let Ok(setting) = schema.setting(name) else { continue };
        let required = if schema.is_required(name) { ", required" } else { "" };
        let default = match &setting.at["default"] {
            Json::Null => String::new(),
            value => format!(", default {value}"),
        };
        let _ = writeln!(
            out,
            "  {}   {}{required}{default}",
            style::bold(&style::printable(name)),
            setting.kind()
        );
        indented(&mut out, setting.description(), 6);
    }
    out
}

fn indented(out: &mut String, text: &str, spaces: usize) {
    for line in text.lines() {
        let _ = writeln!(out, "{}{}", " ".repeat(spaces), style::printable(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        let schema = serde_json::json!({
            "type": "object",
            "description": "Starts a process.",
            "required": ["command"],
            "properties": {
                "command": {"type": "string", "description": "The program."},
                "args": {"type": "array", "items": {"type": "string"}, "default": []},
                "mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]},
                "limits": {"$ref": "#/$defs/Limits"},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "port": {"type": ["integer", "null"]}
            },
            "$defs": {
                "Mode": {"oneOf": [{"const": "fast"}, {"const": "slow"}]},
                "Limits": {"type": "object", "properties": {"calls": {"type": "integer"}}}
            }
        });
        let schema = Schema { root: &schema, at: &schema };
        let kind = RuntimeType {
            name: "x".into(),
            origin: "built-in".into(),
            version: "1".into(),
            ..Default::default()
        };
        let text = anstream::adapter::strip_str(&page("x", &kind, &schema)).to_string();
        assert_eq!(
            text,
            "x   built-in 1, mapping\n  Starts a process.\n\nSettings\n  command   text, required\n      The program.\n  args   list of text, default []\n  mode   one of fast, slow\n  limits   mapping\n  headers   mapping to text\n  port   whole number\n"
        );
        let calls = schema.setting("limits").and_then(|limits| limits.setting("calls")).unwrap();
        assert_eq!(calls.kind(), "whole number");
        let failure = schema.setting("comand").map(|_| ()).unwrap_err();
        assert!(failure.why.contains("did you mean command?"), "{}", failure.why);
    }
}
