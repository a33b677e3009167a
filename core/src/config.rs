//! [`RuntimeConfig`]: a runtime type's name and its settings, as they were written.

use std::sync::Arc;

/// `type: NAME` and what stood beside it.
///
/// The settings are JSON text of one object, kept byte for byte: what the user wrote is what is
/// stored, sent and shown, and only the runtime's own file gives it meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    type_name: Arc<str>,
    settings: Arc<str>,
}

impl RuntimeConfig {
    pub fn new(type_name: impl Into<Arc<str>>, settings: impl Into<Arc<str>>) -> Self {
        Self { type_name: type_name.into(), settings: settings.into() }
    }

    /// The word after `type:`.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// JSON text of an object.
    pub fn settings(&self) -> &str {
        &self.settings
    }
}
