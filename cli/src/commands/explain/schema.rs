//! [`Schema`]: a place in a JSON Schema, and the ways from there.

use omcp_core::nearest;
use serde_json::Value as Json;

use crate::failure::{Cause, Failure};

/// Deepest chain of references in a schema that is followed.
const REFERENCES_MAX: usize = 16;

/// A place in a JSON Schema.
#[derive(Clone, Copy)]
pub struct Schema<'a> {
    root: &'a Json,
    pub at: &'a Json,
    /// Whether what is described here has to be given.
    pub is_required: bool,
}

impl<'a> Schema<'a> {
    pub fn new(root: &'a Json) -> Self {
        Self { root, at: root, is_required: false }
    }

    /// The schema of a setting below this one.
    ///
    /// # Errors
    /// There is none of this name; says which one may be meant.
    pub fn setting(self, name: &str) -> Result<Self, Failure> {
        self.settings().find(|(known, _)| *known == name).map(|(_, schema)| schema).ok_or_else(|| {
            let why = match nearest(name, self.names()) {
                Some(meant) => format!("there is no such setting; did you mean {meant}?"),
                None => "there is no such setting".to_owned(),
            };
            Failure::new(Cause::NotFound, format!("explain {name}"), why)
        })
    }

    /// The settings below: of a mapping its own, of a list or a mapping to something those of each item.
    pub fn settings(self) -> impl Iterator<Item = (&'a str, Self)> {
        let here = self.inner();
        let members = here.at["properties"].as_object().into_iter().flatten();
        members.map(move |(name, at)| {
            let required = here.at["required"].as_array().into_iter().flatten();
            let is_required = required.into_iter().any(|known| known == name.as_str());
            (name.as_str(), Self { root: here.root, at, is_required })
        })
    }

    pub fn names(self) -> impl Iterator<Item = &'a str> {
        self.settings().map(|(name, _)| name)
    }

    /// The forms that may stand here, if there is more than one.
    pub fn forms(self) -> Vec<Self> {
        let at = self.resolved().at;
        let listed = at["anyOf"].as_array().or_else(|| at["oneOf"].as_array()).into_iter().flatten();
        let forms: Vec<_> =
            listed.filter(|one| !is_null(one)).map(|at| Self { at, ..self }.resolved()).collect();
        if forms.len() > 1 { forms } else { Vec::new() }
    }

    pub fn description(self) -> &'a str {
        let here = |schema: Self| schema.at["description"].as_str();
        here(self).or_else(|| here(self.resolved())).unwrap_or_default()
    }

    /// The words of an enumeration, each with its description.
    pub fn choices(self) -> Vec<(String, &'a str)> {
        let at = self.resolved().at;
        let word = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(words) = at["enum"].as_array() {
            return words.iter().filter(|value| !value.is_null()).map(|value| (word(value), "")).collect();
        }
        let listed = at["oneOf"].as_array().into_iter().flatten();
        let one = |one: &'a Json| {
            let about = one["description"].as_str().unwrap_or_default();
            match (one.get("const"), one["enum"].as_array()) {
                (Some(value), _) => vec![(word(value), about)],
                (None, Some(values)) => values.iter().map(|value| (word(value), about)).collect(),
                (None, None) => Vec::new(),
            }
        };
        listed.flat_map(one).collect()
    }

    /// What may stand there, in a person's words.
    pub fn kind(self) -> String {
        let choices = self.choices();
        if !choices.is_empty() {
            let words: Vec<_> = choices.into_iter().map(|(word, _)| word).collect();
            return format!("one of {}", words.join(", "));
        }
        let mut forms: Vec<_> = self.forms().into_iter().map(Self::kind).collect();
        forms.dedup();
        if !forms.is_empty() {
            return forms.join(" or ");
        }
        self.plain_kind()
    }

    fn plain_kind(self) -> String {
        let here = self.resolved();
        let named = match &here.at["type"] {
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
            "array" => format!("list of {}", Self { at: &here.at["items"], ..here }.kind()),
            "object" if here.at["additionalProperties"].is_object() => {
                format!("mapping to {}", Self { at: &here.at["additionalProperties"], ..here }.kind())
            }
            "object" => "mapping".into(),
            other => other.into(),
        }
    }

    /// Behind `$ref`, and behind the "or null" of what may be left out.
    pub fn resolved(self) -> Self {
        let mut here = self;
        for _ in 0..REFERENCES_MAX {
            let reference =
                here.at["$ref"].as_str().and_then(|path| here.root.pointer(path.strip_prefix('#')?));
            let some = here.at["anyOf"].as_array().filter(|options| options.len() == 2);
            let not_null = some.and_then(|options| match &options[..] {
                [one, other] if is_null(other) => Some(one),
                [one, other] if is_null(one) => Some(other),
                _ => None,
            });
            match reference.or(not_null) {
                Some(at) => here.at = at,
                None => break,
            }
        }
        here
    }

    /// Behind lists and mappings to something: what each item is.
    fn inner(self) -> Self {
        let mut here = self.resolved();
        for _ in 0..REFERENCES_MAX {
            let items = [&here.at["items"], &here.at["additionalProperties"]];
            match items.into_iter().find(|items| items.is_object()) {
                Some(at) if here.at.get("properties").is_none() => here = Self { at, ..here }.resolved(),
                _ => break,
            }
        }
        here
    }
}

fn is_null(schema: &Json) -> bool {
    schema["type"] == "null"
}
