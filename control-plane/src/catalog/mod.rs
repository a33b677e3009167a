//! [`Catalog`]: the runtime types that are known, and what their settings look like.
//!
//! The schemas of the built-in types come with the program, so that the first apply is checked
//! before any node exists. Nodes advertise theirs when they connect, strangers' types included.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use omcp_core::SettingsSchema;
use omcp_core::revision::SpecHash;
use omcp_proto::v1::RuntimeType;
use serde_json::Value;

use crate::error::Violation;

/// The built-in types: name and schema, generated from the settings structs of the runtimes.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// Types kept in all: far more than any fleet offers, so this stops only a node gone mad.
const TYPES_MAX: usize = 1024;
/// Types one node may offer.
pub const NODE_TYPES_MAX: usize = 256;
/// Largest schema, bytes.
pub const SCHEMA_LEN_MAX: usize = 256 * 1024;

/// Name and first 16 bytes of the BLAKE3 hash of what is said of it: one version of a type.
pub type TypeKey = (String, SpecHash);

/// A runtime type and the way to check its settings.
#[derive(Debug)]
pub struct KnownType {
    pub wire: RuntimeType,
    schema: Option<SettingsSchema>,
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
        wire.schema_hash = schema_hash(&wire.settings_schema_json).to_vec();
        let key = key(&wire);
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

    /// All types by name, then newest first.
    pub fn types(&self) -> Vec<(TypeKey, Arc<KnownType>)> {
        let mut types: Vec<_> = self.read().iter().map(|(key, known)| (key.clone(), known.clone())).collect();
        types.sort_by(|(_, one), (_, other)| {
            one.wire.name.cmp(&other.wire.name).then_with(|| other.age().cmp(&one.age()))
        });
        types
    }

    /// Names of the known types.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.read().keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names
    }

    /// The versions of a type, by schema hash; none if nobody has described it.
    pub fn versions(&self, type_name: &str) -> Vec<(TypeKey, Arc<KnownType>)> {
        let range = (type_name.to_owned(), SpecHash::default())..=(type_name.to_owned(), [0xff; 16]);
        self.read().range(range).map(|(key, known)| (key.clone(), known.clone())).collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<TypeKey, Arc<KnownType>>> {
        self.types.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownType {
    fn new(wire: RuntimeType) -> Self {
        let schema = compile(&wire)
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
        key(&self.wire)
    }

    /// Which of two versions is newer: numbers count part by part, and a release is newer than what led to
    /// it. Anything else about a version counts as nothing.
    pub fn age(&self) -> (Vec<u64>, bool) {
        let (release, rest) = match self.wire.version.split_once('-') {
            Some((release, _)) => (release, false),
            None => (self.wire.version.as_str(), true),
        };
        let release = release.split_once('+').map_or(release, |(release, _)| release);
        let numbers = release.split('.').map(|part| part.trim_start_matches('v').parse().unwrap_or(0));
        (numbers.collect(), rest)
    }

    /// Every violation, with paths that begin with `runtime`. Never quotes a value.
    pub fn violations(&self, settings: &Value) -> Vec<Violation> {
        let found = self.schema.as_ref().map_or_else(Vec::new, |schema| schema.violations(settings));
        let below_runtime = |field: &str| match field {
            "" => "runtime".to_owned(),
            field => format!("runtime.{field}"),
        };
        found.into_iter().map(|one| Violation::new(below_runtime(&one.field), one.reason)).collect()
    }
}

fn compile(wire: &RuntimeType) -> Result<SettingsSchema, String> {
    let schema = serde_json::from_str(&wire.settings_schema_json).map_err(|error| error.to_string())?;
    SettingsSchema::compile(&wire.name, schema)
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

/// Nodes with one schema and two versions, or with a plugin beside a built-in type, are told apart.
fn key(wire: &RuntimeType) -> TypeKey {
    let said = [&wire.version, &wire.origin, &wire.settings_schema_json].map(|text| text.as_str());
    (wire.name.clone(), omcp_core::revision::spec_hash(said.join("\0").as_bytes()))
}

fn schema_hash(text: &str) -> SpecHash {
    omcp_core::revision::spec_hash(text.as_bytes())
}

#[cfg(test)]
mod tests;
