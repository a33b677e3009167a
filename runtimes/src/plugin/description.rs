//! [`Description`]: what a plugin says of itself, and settings checked against it.

use std::collections::BTreeMap;
use std::fmt;

use omcp_core::{ErrorKind, GatewayError, SettingsSchema};
use serde_json::{Value, json};

/// Runtime types of one plugin that are taken: far more than any has.
pub const TYPES_MAX: usize = 64;
/// Longest name or version taken, bytes: what control planes take.
pub const NAME_LEN_MAX: usize = 128;
/// Longest schema taken, bytes: what control planes take.
pub const SCHEMA_LEN_MAX: usize = 256 * 1024;

/// A plugin and its runtime types.
#[derive(Debug)]
pub struct Description {
    pub name: String,
    pub version: String,
    kinds: BTreeMap<String, Kind>,
}

/// One runtime type of a plugin.
#[derive(Debug)]
pub struct Kind {
    name: String,
    /// The schema as it was told.
    text: String,
    schema: Value,
    check: SettingsSchema,
}

impl Description {
    /// Takes what a plugin told: its types with the text of their schemas.
    ///
    /// # Errors
    /// `Protocol`: it is beyond a limit, or a schema is none.
    pub fn new(name: String, version: String, types: Vec<(String, String)>) -> Result<Self, GatewayError> {
        let mut description = Self { name, version, kinds: BTreeMap::new() };
        let fits = |text: &str| text.len() <= NAME_LEN_MAX;
        if !fits(&description.name) || !fits(&description.version) {
            return Err(description.misfit(&format!("has a name or version above {NAME_LEN_MAX} bytes")));
        }
        for (name, schema) in types {
            if name.is_empty() || !fits(&name) || description.kinds.len() == TYPES_MAX {
                let most = format!("at most {TYPES_MAX}, named in 1 to {NAME_LEN_MAX} bytes");
                return Err(description.misfit(&format!("has runtime types that are not taken: {most}")));
            }
            let kind = Kind::new(&name, &schema).map_err(|reason| {
                description
                    .misfit(&format!("describes runtime type {name:?} with a schema that is none: {reason}"))
            })?;
            description.kinds.insert(name, kind);
        }
        Ok(description)
    }

    /// Whether it says the same: then its compiled schemas can be kept.
    pub fn says(&self, name: &str, version: &str, types: &[(String, String)]) -> bool {
        let known =
            |(name, schema): &(String, String)| self.kinds.get(name).is_some_and(|kind| kind.text == *schema);
        (self.name.as_str(), self.version.as_str()) == (name, version)
            && self.kinds.len() == types.len()
            && types.iter().all(known)
    }

    /// The type `wanted`, or the only one.
    ///
    /// # Errors
    /// `UnknownRuntime`, naming those that it has.
    pub fn kind(&self, wanted: Option<&str>) -> Result<&Kind, GatewayError> {
        let found = match wanted {
            Some(name) => self.kinds.get(name),
            None if self.kinds.len() == 1 => self.kinds.values().next(),
            None => None,
        };
        found.ok_or_else(|| {
            let known = self.kinds.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let text = match wanted {
                Some(name) => format!("{self} has no runtime type {name:?}; it has {known}"),
                None => format!("runtime: say which type of {self}; it has {known}"),
            };
            GatewayError::new(ErrorKind::UnknownRuntime, text)
        })
    }

    fn misfit(&self, what: &str) -> GatewayError {
        GatewayError::protocol(format!("{self} {what}"))
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} {}", super::wire::bounded(&self.name), super::wire::bounded(&self.version))
    }
}

impl Kind {
    fn new(name: &str, schema: &str) -> Result<Self, String> {
        if schema.len() > SCHEMA_LEN_MAX {
            return Err(format!("longer than {SCHEMA_LEN_MAX} bytes"));
        }
        let text = schema.to_owned();
        let schema = match schema {
            "" => any_settings(),
            text => serde_json::from_str(text).map_err(|error| error.to_string())?,
        };
        let check = SettingsSchema::compile(name, schema.clone())?;
        Ok(Self { name: name.to_owned(), text, schema, check })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// JSON Schema of its settings.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Checks settings whose references are resolved.
    ///
    /// # Errors
    /// `InvalidSettings`, with the path of each field after `below`. Never a value.
    pub fn check(&self, settings: &Value, below: &str) -> Result<(), GatewayError> {
        let violations = self.check.violations(settings);
        if violations.is_empty() {
            return Ok(());
        }
        let lines = violations.iter().map(|one| match one.field.is_empty() {
            true => one.reason.clone(),
            false => format!("{below}{}: {}", one.field, one.reason),
        });
        Err(GatewayError::invalid_settings(lines.collect::<Vec<_>>().join("; ")))
    }
}

/// The schema of a type that takes anything, or was not described yet.
pub fn any_settings() -> Value {
    json!({ "type": "object" })
}
