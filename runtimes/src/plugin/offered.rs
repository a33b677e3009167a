//! [`OfferedType`]: a plugin's runtime type as one of the node's own: `type: NAME` means it, and the
//! node advertises it with the plugin's schema.

use std::sync::Arc;

use omcp_core::{DynRuntimeType, GatewayError, Origin, Runtime, RuntimeContext};
use serde_json::Value;

use super::description::any_settings;
use super::provider::Provider;
use super::runtime::PluginRuntime;

/// One type of a plugin, under its own name.
pub struct OfferedType {
    name: String,
    provider: Arc<Provider>,
}

impl OfferedType {
    pub fn new(name: impl Into<String>, provider: Arc<Provider>) -> Self {
        Self { name: name.into(), provider }
    }
}

impl DynRuntimeType for OfferedType {
    fn name(&self) -> &str {
        &self.name
    }

    /// Anything, until the plugin has introduced itself.
    fn settings_schema(&self) -> Value {
        let described = self.provider.described().borrow().clone();
        let kind = described.as_ref().and_then(|described| described.kind(Some(&self.name)).ok());
        kind.map_or_else(any_settings, |kind| kind.schema().clone())
    }

    /// That of the plugin.
    fn version(&self) -> String {
        self.provider
            .described()
            .borrow()
            .as_ref()
            .map(|described| described.version.clone())
            .unwrap_or_default()
    }

    fn origin(&self) -> Origin {
        Origin::Plugin
    }

    fn create(&self, settings: &str, context: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
        let settings: Value = serde_json::from_str(settings)
            .map_err(|_| GatewayError::invalid_settings("the settings are no JSON"))?;
        if let Some(described) = self.provider.described().borrow().as_ref() {
            described.kind(Some(&self.name))?.check(&settings, "")?;
        }
        let (provider, name) = (Arc::clone(&self.provider), self.name.clone());
        Ok(Box::new(PluginRuntime::new(provider, Some(name), settings, context)))
    }
}
