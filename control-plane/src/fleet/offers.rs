//! [`Offers`]: which connected nodes offer which version of which runtime type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use omcp_core::revision::SpecHash;

use crate::catalog::TypeKey;

/// As it was at one moment: nodes that come and go change nothing here.
#[derive(Debug, Default)]
pub struct Offers {
    connected: BTreeSet<Arc<str>>,
    by_version: BTreeMap<TypeKey, Vec<Arc<str>>>,
}

impl Offers {
    /// Adds a connected node.
    pub fn add(&mut self, node: &Arc<str>, types: &[TypeKey]) {
        self.connected.insert(node.clone());
        for key in types {
            self.by_version.entry(key.clone()).or_default().push(node.clone());
        }
    }

    /// The nodes that offer this version of a type, by name.
    pub fn of_version(&self, key: &TypeKey) -> &[Arc<str>] {
        self.by_version.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The nodes that offer a type in any version.
    pub fn of_type(&self, name: &str) -> BTreeSet<Arc<str>> {
        let range = (name.to_owned(), SpecHash::default())..=(name.to_owned(), [0xff; 16]);
        self.by_version.range(range).flat_map(|(_, nodes)| nodes.iter().cloned()).collect()
    }

    /// The connected nodes that do not offer a type.
    pub fn lacking(&self, name: &str) -> Vec<Arc<str>> {
        self.connected.difference(&self.of_type(name)).cloned().collect()
    }

    /// Number of connected nodes.
    pub fn connected(&self) -> usize {
        self.connected.len()
    }
}
