//! [`Catalog`]: the runtime types that are known, and what their settings look like.
//!
//! The schemas of the built-in types come with the program, so that the first apply is checked
//! before any node exists. Nodes advertise theirs when they connect, strangers' types included.
//!
//! - [`settings`]: checking settings against a schema, in words a person can act on
//! - [`hint`]: "did you mean"

pub mod hint;
pub mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use omcp_core::revision::SpecHash;
use omcp_proto::v1::RuntimeType;
use serde_json::Value;

use crate::error::Violation;
use settings::SettingsSchema;

/// The built-in types: name and schema, generated from the settings structs of the runtimes.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// Types kept in all: far more than any fleet offers, so this stops only a node gone mad.
const TYPES_MAX: usize = 1024;
/// Types one node may offer.
pub const NODE_TYPES_MAX: usize = 256;
/// Largest schema, bytes.
pub const SCHEMA_LEN_MAX: usize = 256 * 1024;

/// Name and first 16 bytes of the BLAKE3 hash of the schema text: one version of a type.
pub type TypeKey = (String, SpecHash);

/// A runtime type and the way to check its settings.
#[derive(Debug)]
pub struct KnownType {
    pub wire: RuntimeType,
    schema: Option<SettingsSchema>,
}

/// What the settings of a backend are worth.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Fits,
    Violates(Vec<Violation>),
    /// Nobody has described this type yet; these are the known ones.
    UnknownType(Vec<String>),
}

/// The types that are known. Memory only, but for the built-in ones.
#[derive(Debug)]
pub struct Catalog {
    types: RwLock<BTreeMap<TypeKey, Arc<KnownType>>>,
}

impl Default for Catalog {
    fn default() -> Self {
        let types = BUILT_IN.iter().map(|(name, text)| built_in(name, text));
        Self { types: RwLock::new(types.map(|known| (known.key(), Arc::new(known))).collect()) }
    }
}

impl Catalog {
    /// Takes the types a node offers; returns their keys.
    pub fn advertise(&self, offered: Vec<RuntimeType>) -> Vec<TypeKey> {
        offered.into_iter().filter_map(|wire| self.add(wire)).collect()
    }

    fn add(&self, mut wire: RuntimeType) -> Option<TypeKey> {
        let hash = schema_hash(&wire.settings_schema_json);
        wire.schema_hash = hash.to_vec();
        let key = (wire.name.clone(), hash);
        let known = self.read().contains_key(&key);
        if known {
            return Some(key);
        }
        // Compiled outside the lock: a large schema takes milliseconds.
        let compiled = KnownType::new(wire);
        let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
        if types.len() >= TYPES_MAX {
            tracing::warn!(
                runtime_type = key.0,
                max = TYPES_MAX,
                "too many runtime types: this one is not kept"
            );
            return None;
        }
        types.entry(key.clone()).or_insert_with(|| Arc::new(compiled));
        Some(key)
    }

    /// Checks settings. If several versions of a type are known, one that accepts them is enough:
    /// the nodes that have another one say so.
    pub fn check(&self, type_name: &str, settings: &Value) -> Verdict {
        let versions = self.versions(type_name);
        if versions.is_empty() {
            return Verdict::UnknownType(self.names());
        }
        let mut first = None;
        for version in versions {
            let violations = version.violations(settings);
            if violations.is_empty() {
                return Verdict::Fits;
            }
            first.get_or_insert(violations);
        }
        first.map_or(Verdict::Fits, Verdict::Violates)
    }

    /// All types by name, then by schema hash.
    pub fn types(&self) -> Vec<(TypeKey, Arc<KnownType>)> {
        self.read().iter().map(|(key, known)| (key.clone(), known.clone())).collect()
    }

    /// Names of the known types.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.read().keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    fn versions(&self, type_name: &str) -> Vec<Arc<KnownType>> {
        let range = (type_name.to_owned(), SpecHash::default())..=(type_name.to_owned(), [0xff; 16]);
        self.read().range(range).map(|(_, known)| known.clone()).collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<TypeKey, Arc<KnownType>>> {
        self.types.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownType {
    fn new(wire: RuntimeType) -> Self {
        let schema = SettingsSchema::compile(&wire.name, &wire.settings_schema_json);
        let schema = schema
            .inspect_err(|reason| {
                tracing::warn!(
                    runtime_type = wire.name,
                    reason,
                    "the settings schema is unusable: settings are not checked"
                );
            })
            .ok();
        Self { wire, schema }
    }

    fn key(&self) -> TypeKey {
        (self.wire.name.clone(), schema_hash(&self.wire.settings_schema_json))
    }

    fn violations(&self, settings: &Value) -> Vec<Violation> {
        self.schema.as_ref().map_or_else(Vec::new, |schema| schema.violations(settings))
    }
}

fn built_in(name: &str, text: &str) -> KnownType {
    // The file is indented for people; nodes send the compact form, and the hashes are to be equal.
    let schema: Value = serde_json::from_str(text).expect("generated files are JSON");
    let settings_schema_json = schema.to_string();
    KnownType::new(RuntimeType {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        origin: "built-in".to_owned(),
        schema_hash: schema_hash(&settings_schema_json).to_vec(),
        settings_schema_json,
    })
}

fn schema_hash(text: &str) -> SpecHash {
    omcp_core::revision::spec_hash(text.as_bytes())
}

#[cfg(test)]
mod tests;
