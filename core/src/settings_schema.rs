//! [`SettingsSchema`]: settings checked against the JSON Schema of their runtime type, in words a person
//! can act on.
//!
//! The control plane refuses with these words what no node can build; a node explains with them what it
//! could not build. No value is ever quoted: on a node it may be a resolved secret.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::invalid::InvalidBackend;
use crate::nearest::nearest;

/// Violations reported per backend: enough to correct them all at once, little enough to read.
const VIOLATIONS_MAX: usize = 32;

/// A compiled schema of settings.
#[derive(Debug)]
pub struct SettingsSchema {
    type_name: String,
    schema: Value,
    validator: Validator,
}

impl SettingsSchema {
    /// Compiles a schema. References to other documents are not followed.
    ///
    /// # Errors
    /// It is no JSON Schema; says why.
    pub fn compile(type_name: &str, schema: Value) -> Result<Self, String> {
        let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
        Ok(Self { type_name: type_name.to_owned(), schema, validator })
    }

    /// Every violation, with the path of the field below the settings (`args[1]`, `tls.ca`), which is
    /// empty for the settings as a whole.
    pub fn violations(&self, settings: &Value) -> Vec<InvalidBackend> {
        let mut found = Vec::new();
        for error in self.validator.iter_errors(settings) {
            self.explain(&error, &mut found);
        }
        found.truncate(VIOLATIONS_MAX);
        found
    }

    fn explain(&self, error: &ValidationError<'_>, found: &mut Vec<InvalidBackend>) {
        let path = path(error);
        match error.kind() {
            ValidationErrorKind::Type { kind } => found.push(wrong_type(path, kind, error.instance())),
            _ if holds_reference(error.instance()) && is_about_value(error.kind()) => {}
            ValidationErrorKind::Required { property } => {
                let field = below(&path, property.as_str().unwrap_or_default());
                found.push(InvalidBackend::new(
                    field,
                    format!("is missing: runtime type {} needs it", self.type_name),
                ));
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                found.extend(unexpected.iter().map(|name| self.unknown(error, &path, name)));
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.explain_branch(path, context, found);
            }
            ValidationErrorKind::Enum { options } => {
                found.push(InvalidBackend::new(path, format!("must be one of {options}")));
            }
            _ => found.push(InvalidBackend::new(path, error.masked().to_string())),
        }
    }

    fn unknown(&self, error: &ValidationError<'_>, path: &str, name: &str) -> InvalidBackend {
        let mut reason = format!("is not a setting of runtime type {}", self.type_name);
        let known = self.properties(error.schema_path().as_str());
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => reason.push_str(&format!("; did you mean {near}?")),
            None if !known.is_empty() => reason.push_str(&format!("; it has {}", known.join(", "))),
            None => {}
        }
        InvalidBackend::new(below(path, name), reason)
    }

    /// The properties beside the keyword at `keyword`.
    fn properties(&self, keyword: &str) -> Vec<String> {
        let object = keyword.rsplit_once('/').and_then(|(object, _)| self.schema.pointer(object));
        let properties = object.and_then(|object| object.get("properties")).and_then(Value::as_object);
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    }

    /// Of several allowed shapes, explains the one that was most likely meant.
    fn explain_branch(
        &self,
        path: String,
        branches: &[Vec<ValidationError<'static>>],
        found: &mut Vec<InvalidBackend>,
    ) {
        let fits_shape = |branch: &&Vec<ValidationError<'static>>| {
            !branch.iter().any(|error| {
                matches!(error.kind(), ValidationErrorKind::Type { .. }) && self::path(error) == path
            })
        };
        match branches.iter().filter(fits_shape).min_by_key(|branch| branch.len()) {
            Some(branch) => branch.iter().for_each(|error| self.explain(error, found)),
            None => found.push(InvalidBackend::new(path, "has none of the allowed forms")),
        }
    }
}

/// `/args/1` as a person writes it: `args[1]`.
fn path(error: &ValidationError<'_>) -> String {
    let mut path = String::new();
    for segment in error.instance_path() {
        match segment {
            jsonschema::paths::LocationSegment::Property(name) => path = below(&path, &name),
            jsonschema::paths::LocationSegment::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn wrong_type(path: String, kind: &TypeKind, instance: &Value) -> InvalidBackend {
    let want = match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(many) => {
            // What may be null may be left out, which nobody needs to be told here.
            let named = many.iter().map(|one| one.to_string()).filter(|one| one != "null");
            named.collect::<Vec<_>>().join(" or ")
        }
    };
    let is = match instance {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(text) if text.contains("${") => "a reference, which always is a string",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    InvalidBackend::new(path, format!("must be {want}, but is {is}"))
}

/// Whether a `${...}` stands in `value`: what it will be is known on the node only.
fn holds_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(holds_reference),
        Value::Object(members) => members.values().any(holds_reference),
        _ => false,
    }
}

/// Whether a value that is not known yet could still satisfy the rule.
fn is_about_value(kind: &ValidationErrorKind) -> bool {
    !matches!(
        kind,
        ValidationErrorKind::Required { .. }
            | ValidationErrorKind::AdditionalProperties { .. }
            | ValidationErrorKind::UnevaluatedProperties { .. }
    )
}
