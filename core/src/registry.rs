//! [`RuntimeRegistry`]: the runtime types one node offers, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::config::RuntimeConfig;
use crate::error::{ErrorKind, GatewayError};
use crate::reference::{self, Resolve};
use crate::runtime::{Runtime, RuntimeContext};
use crate::runtime_type::{DynRuntimeType, Origin};

/// One visible list of runtime types. Built-ins and strangers enter by the same door:
///
/// ```
/// # use omcp_core::{GatewayError, RuntimeRegistry, RuntimeType};
/// # fn offered(builtin: RuntimeRegistry, my_runtime: impl RuntimeType) -> Result<RuntimeRegistry, GatewayError> {
/// let registry = builtin.with(my_runtime)?;
/// # Ok(registry)
/// # }
/// ```
///
/// A node takes a registry when it starts and keeps it: types do not come and go while it runs. It tells
/// the control plane names and schemas of all of them.
#[derive(Clone, Default)]
pub struct RuntimeRegistry {
    types: BTreeMap<String, Arc<dyn DynRuntimeType>>,
    /// Those that come with the gateway, and its version.
    built_in: BTreeMap<String, Arc<str>>,
}

/// What a node tells of a type that it offers.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeDescription {
    pub name: String,
    pub version: String,
    pub origin: Origin,
    pub settings_schema: Value,
}

impl RuntimeRegistry {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type. Order does not matter.
    ///
    /// # Errors
    /// The name is taken: two meanings of one word in YAML would be a trap.
    pub fn with(mut self, kind: impl DynRuntimeType) -> Result<Self, GatewayError> {
        let name = kind.name().to_owned();
        if self.types.insert(name.clone(), Arc::new(kind)).is_some() {
            let context = format!("runtime type {name} is registered twice");
            return Err(GatewayError::new(ErrorKind::Internal, context));
        }
        Ok(self)
    }

    /// Says that the types so far come with the gateway, in this version of it.
    #[must_use]
    pub fn as_built_in(mut self, version: &str) -> Self {
        let version: Arc<str> = version.into();
        self.built_in = self.types.keys().map(|name| (name.clone(), version.clone())).collect();
        self
    }

    /// What is to be told of the types, by name.
    pub fn describe(&self) -> impl Iterator<Item = TypeDescription> {
        self.types.iter().map(|(name, kind)| {
            let (origin, version) = match self.built_in.get(name) {
                Some(version) => (Origin::BuiltIn, version.to_string()),
                None => (kind.origin(), kind.version()),
            };
            TypeDescription { name: name.clone(), version, origin, settings_schema: kind.settings_schema() }
        })
    }

    pub fn get(&self, name: &str) -> Option<&Arc<dyn DynRuntimeType>> {
        self.types.get(name)
    }

    /// All types, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn DynRuntimeType>> {
        self.types.values()
    }

    /// Resolves the references of `config` and builds its runtime. Nothing is dialled or started. What
    /// `create` says is passed on as it is.
    ///
    /// # Errors
    /// `UnknownRuntime` naming the types offered here, `MissingReference` naming the reference,
    /// `InvalidSettings` naming the field. Never a resolved value.
    pub fn create_runtime(
        &self,
        config: &RuntimeConfig,
        resolve: &dyn Resolve,
        context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        let kind = self.get(config.type_name()).ok_or_else(|| self.unknown(config.type_name()))?;
        let settings = reference::resolve_json(config.settings(), resolve)?;
        kind.create(&settings, context)
    }

    fn unknown(&self, name: &str) -> GatewayError {
        let known = self.types.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let context = format!("runtime type {name:?} is not offered by this node; it offers {known}");
        GatewayError::new(ErrorKind::UnknownRuntime, context)
    }
}
