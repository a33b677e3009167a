//! [`RuntimeType`]: a name, a settings struct and a constructor.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::GatewayError;
use crate::runtime::{Runtime, RuntimeContext};
use crate::settings_schema::SettingsSchema;

/// Where a runtime type comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// With the gateway.
    BuiltIn,
    /// With a node program of somebody's own.
    Custom,
    /// From another process.
    Plugin,
}

impl Origin {
    /// The word for it in `omcp runtimes`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Custom => "custom",
            Self::Plugin => "plugin",
        }
    }
}

/// A kind of runtime, as its author writes it: everything about it stands in one file.
///
/// A name, a settings struct and a constructor. The struct is the one home of the settings: serde reads
/// it, its JSON Schema is advertised by the node, so that the control plane can check a manifest before
/// any node builds it, and its doc comments are the help of `omcp explain`.
///
/// A value of this type is the same for all backends of a node. What belongs to one backend is in the
/// settings and in the [`RuntimeContext`].
pub trait RuntimeType: Send + Sync + 'static {
    /// The word after `type:`. Lower case, words joined by `-`; unique in a registry.
    const NAME: &'static str;

    /// Version of the type, usually `env!("CARGO_PKG_VERSION")`: nodes advertise it, and where they differ
    /// the newest decides whether settings are accepted.
    const VERSION: &'static str = "";

    /// What stands beside `type:`, always an object. Use `#[serde(deny_unknown_fields)]`, so that typing
    /// errors are found. Give every field a doc comment with its unit and default; put the unit into its
    /// name (`timeout_ms`) and its bounds into the schema. A struct must not be stricter than its schema
    /// where the schema could say it too: what the schema forbids is found when the manifest is applied.
    type Settings: DeserializeOwned + JsonSchema;

    /// Builds the runtime. It dials nothing and starts nothing; it may look at the local file system, for
    /// a program or a certificate. References (`${NAME}`) are resolved already, so settings may hold
    /// secrets: keep them out of errors and logs.
    ///
    /// # Errors
    /// `InvalidSettings` as `field: reason`, for what the schema cannot express. The backend is then
    /// rejected on this node, its last good definition goes on serving, and the text reaches its author.
    fn create(
        &self,
        settings: Self::Settings,
        context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError>;
}

/// What a registry holds: any [`RuntimeType`], its settings type erased. Implement it yourself only where
/// name and schema are not known at compile time.
pub trait DynRuntimeType: Send + Sync + 'static {
    fn name(&self) -> &str;

    /// JSON Schema (2020-12) of the settings.
    fn settings_schema(&self) -> Value;

    /// See [`RuntimeType::VERSION`].
    fn version(&self) -> String {
        String::new()
    }

    fn origin(&self) -> Origin {
        Origin::Custom
    }

    /// Builds the runtime from JSON text whose references are already resolved.
    ///
    /// # Errors
    /// As [`RuntimeType::create`], and `InvalidSettings` where the text does not fit the struct.
    fn create(&self, settings: &str, context: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError>;
}

impl<T: RuntimeType> DynRuntimeType for T {
    fn name(&self) -> &str {
        T::NAME
    }

    fn settings_schema(&self) -> Value {
        schemars::schema_for!(T::Settings).to_value()
    }

    fn version(&self) -> String {
        T::VERSION.to_owned()
    }

    fn create(&self, settings: &str, context: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
        let settings = serde_json::from_str(settings)
            .map_err(|error| misfit(T::NAME, &self.settings_schema(), settings, &error))?;
        RuntimeType::create(self, settings, context)
    }
}

/// What does not fit, in the words of the schema: serde's own may quote a value, which may be a resolved
/// secret.
fn misfit(name: &str, schema: &Value, settings: &str, error: &serde_json::Error) -> GatewayError {
    let found = explain(name, schema, settings);
    if found.is_empty() {
        let place = format!("line {} column {}", error.line(), error.column());
        return GatewayError::invalid_settings(format!("settings do not fit runtime type {name}: {place}"));
    }
    GatewayError::invalid_settings(found.join("; "))
}

/// `field: reason`, for everything that the schema forbids.
fn explain(name: &str, schema: &Value, settings: &str) -> Vec<String> {
    let Ok(settings) = serde_json::from_str(settings) else { return Vec::new() };
    let Ok(schema) = SettingsSchema::compile(name, schema.clone()) else { return Vec::new() };
    let violations = schema.violations(&settings);
    violations
        .iter()
        .map(|one| if one.field.is_empty() { one.reason.clone() } else { one.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde::Deserialize;

    use super::*;
    use crate::node::NodeIdentity;
    use crate::runtime::NoStderr;

    struct Strict;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Settings {
        command: String,
        #[serde(default)]
        limits: Option<Limits>,
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        even: Even,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Limits {
        calls: u32,
    }

    #[derive(Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Fast,
        Slow,
    }

    /// Stricter than its schema.
    #[derive(Default, Deserialize, JsonSchema)]
    #[serde(try_from = "u32")]
    struct Even(#[expect(dead_code, reason = "only whether it can be read matters")] u32);

    impl TryFrom<u32> for Even {
        type Error = String;

        fn try_from(number: u32) -> Result<Self, String> {
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err(format!("{number} is odd")) }
        }
    }

    impl RuntimeType for Strict {
        const NAME: &'static str = "strict";
        type Settings = Settings;

        fn create(&self, _: Settings, _: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
            Err(GatewayError::unreachable("created"))
        }
    }

    fn create(settings: &str) -> String {
        let backend = "a".parse().unwrap();
        let node = NodeIdentity::default();
        let context = RuntimeContext { backend, env: BTreeMap::new(), stderr: Arc::new(NoStderr), node };
        DynRuntimeType::create(&Strict, settings, context).err().unwrap().to_string()
    }

    #[test]
    fn what_does_not_fit_is_named_and_no_value_is_quoted() {
        for (settings, want) in [
            (
                r#"{"comand":"s3cret"}"#,
                "comand: is not a setting of runtime type strict; did you mean command?; command: is missing: runtime type strict needs it",
            ),
            (r#"{"command":["s3cret"]}"#, "command: must be string, but is array"),
            (
                r#"{"command":"x","limits":{"calls":"s3cret"}}"#,
                "limits.calls: must be integer, but is string",
            ),
            (
                r#"{"command":"x","limits":{"cals":1}}"#,
                "limits.cals: is not a setting of runtime type strict; did you mean calls?; limits.calls: is missing: runtime type strict needs it",
            ),
            (r#"{"command":"x","mode":"s3cret"}"#, r#"mode: must be one of ["fast","slow"]"#),
            (r#""s3cret""#, "must be object, but is string"),
            (r#"{"command":"x","even":4711}"#, "settings do not fit runtime type strict: line 1 column 27"),
            ("s3cret", "settings do not fit runtime type strict: line 1 column 1"),
        ] {
            let text = create(settings);
            assert!(!text.contains("s3cret") && !text.contains("4711"), "{text}");
            assert_eq!(text, want, "{settings}");
        }
        assert_eq!(create(r#"{"command":"x","limits":{"calls":1}}"#), "created");
    }
}
