//! [`Listings`]: what backends list, on its way to other nodes, and from them.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use omcp_core::BackendName;
use omcp_mcp::aggregate::catalog::Catalog;
use omcp_mcp::aggregate::source::Source;
use omcp_proto::v1::{self, Listing};
use serde::de::IgnoredAny;

use crate::backends::Table;

/// Largest listing on the wire, bytes: the control plane keeps none that is larger.
const LISTING_LEN_MAX: usize = 1024 * 1024;
/// Largest text of a listing, bytes: four lists as large as they may be.
const TEXT_LEN_MAX: usize = 20 * 1024 * 1024;
/// For speed: every node does this once for each change.
const LEVEL: i32 = 3;

/// For one stream: a new one knows nothing of what an older one was told.
#[derive(Default)]
pub struct Listings {
    /// What the control plane has, by what it said and what it was told.
    known: HashMap<BackendName, [u8; 32]>,
    due: BTreeSet<BackendName>,
}

impl Listings {
    /// These backends may list something new.
    pub fn note(&mut self, names: impl IntoIterator<Item = BackendName>) {
        self.due.extend(names);
    }

    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// The next thing that the control plane does not know; `None` if it knows everything.
    pub fn next(&mut self, table: &Table) -> Option<v1::Listings> {
        while let Some(name) = self.due.pop_first() {
            let Some(served) = table.get(name.as_str()) else { continue };
            let Some(text) = served.own_listing() else { continue };
            let digest = *blake3::hash(&text).as_bytes();
            if self.known.insert(name.clone(), digest) == Some(digest) {
                continue;
            }
            match zstd::bulk::compress(&text, LEVEL) {
                Ok(zstd) if zstd.len() <= LISTING_LEN_MAX => {
                    let listing = Listing { backend: name.to_string(), digest: digest.to_vec(), zstd };
                    return Some(v1::Listings { listings: vec![listing] });
                }
                _ => tracing::debug!(backend = %name, "it lists too much to tell other nodes of it"),
            }
        }
        None
    }

    /// Takes what other nodes have told.
    pub fn take(&mut self, listings: v1::Listings, table: &Table) {
        for listing in listings.listings {
            let backend = listing.backend.clone();
            if self.learn(listing, table).is_none() {
                tracing::debug!(%backend, "what another node said that it lists cannot be used");
            }
        }
    }

    fn learn(&mut self, listing: Listing, table: &Table) -> Option<()> {
        let served = table.get(&listing.backend)?;
        let digest: [u8; 32] = listing.digest.try_into().ok()?;
        self.known.insert(served.name().clone(), digest);
        let text = Bytes::from(zstd::bulk::decompress(&listing.zstd, TEXT_LEN_MAX).ok()?);
        serde_json::from_slice::<IgnoredAny>(&text).ok()?;
        if *blake3::hash(&text).as_bytes() != digest {
            return None;
        }
        let source = Source::decode(&text)?;
        served.learn(|| Catalog::new(served.name().as_str(), source).into());
        Some(())
    }
}
