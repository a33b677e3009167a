//! [`RuntimeType`]: a name, a settings struct and a constructor.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::error::GatewayError;
use crate::runtime::{Runtime, RuntimeContext};

/// A kind of runtime, as its author writes it: everything about it stands in one file.
pub trait RuntimeType: Send + Sync + 'static {
    /// The word after `type:`.
    const NAME: &'static str;

    /// What stands beside `type:`. Use `#[serde(deny_unknown_fields)]`, so that typing errors are
    /// found; the doc comments become the help of `omcp explain`.
    type Settings: DeserializeOwned + JsonSchema;

    /// Builds the runtime. No I/O beyond looking at the local file system.
    ///
    /// # Errors
    /// `InvalidSettings`, naming the field, for what the schema cannot express.
    fn create(
        &self,
        settings: Self::Settings,
        context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError>;
}

/// What a registry holds: any [`RuntimeType`], its settings type erased.
pub trait DynRuntimeType: Send + Sync + 'static {
    fn name(&self) -> &str;

    /// JSON Schema (2020-12) of the settings.
    fn settings_schema(&self) -> serde_json::Value;

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

    fn settings_schema(&self) -> serde_json::Value {
        schemars::schema_for!(T::Settings).to_value()
    }

    fn create(&self, settings: &str, context: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
        let settings = serde_json::from_str(settings).map_err(|error| {
            // serde quotes the offending value, which may be a resolved secret.
            let place = format!("line {} column {}", error.line(), error.column());
            GatewayError::invalid_settings(format!("settings do not fit runtime type {}: {place}", T::NAME))
        })?;
        RuntimeType::create(self, settings, context)
    }
}
