//! [`Listings`]: what backends list, as nodes have told it. Handed from node to node; nobody reads it here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{self, Listing};
use tokio::sync::watch;

use crate::publish::frame;

/// Largest listing of one backend, bytes: about ten times as much before it is compressed.
const LISTING_LEN_MAX: usize = 1024 * 1024;
/// All of them, bytes: a few kilobytes for each backend of a large fleet.
const TOTAL_LEN_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a digest.
const DIGEST_LEN: usize = 32;

/// The newest listing of each backend.
#[derive(Debug)]
pub struct Listings {
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    by_backend: BTreeMap<String, Entry>,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    digest: Vec<u8>,
    /// Encoded once for all nodes.
    frame: Bytes,
}

impl Default for Listings {
    fn default() -> Self {
        Self { kept: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Listings {
    /// Takes what a node tells. What is malformed, too large, or about no backend is not kept: it is a help
    /// for nodes that start, and no more. `backends` is how many there are.
    pub fn take(&self, listings: v1::Listings, backends: usize, exists: impl Fn(&str) -> bool) {
        let mut kept = self.lock();
        if kept.by_backend.len() > backends {
            kept.forget(&exists);
        }
        let mut number = *self.newest.borrow();
        for listing in listings.listings {
            let fits = listing.digest.len() == DIGEST_LEN && listing.zstd.len() <= LISTING_LEN_MAX;
            if fits && exists(&listing.backend) && kept.put(number + 1, listing) {
                number += 1;
            }
        }
        // Told before anybody else may number: what is told is there, and numbers are not used twice.
        self.newest.send_if_modified(|newest| std::mem::replace(newest, number) != number);
        drop(kept);
    }

    /// Tells the number of the newest one.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Those that are newer than the number `seen`, as messages.
    pub fn since(&self, seen: u64) -> Vec<Bytes> {
        let kept = self.lock();
        let newer = kept.by_backend.values().filter(|entry| entry.number > seen);
        newer.map(|entry| entry.frame.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// False if it is known, or there is no room for it.
    fn put(&mut self, number: u64, listing: Listing) -> bool {
        let old = self.by_backend.get(&listing.backend);
        if old.is_some_and(|old| old.digest == listing.digest) {
            return false;
        }
        let len = self.len - old.map_or(0, |old| old.frame.len());
        let (backend, digest) = (listing.backend.clone(), listing.digest.clone());
        let frame = frame::message(Body::Listings(v1::Listings { listings: vec![listing] }));
        if len + frame.len() > TOTAL_LEN_MAX {
            return false;
        }
        self.len = len + frame.len();
        self.by_backend.insert(backend, Entry { number, digest, frame });
        true
    }

    fn forget(&mut self, exists: impl Fn(&str) -> bool) {
        self.by_backend.retain(|backend, entry| {
            let keep = exists(backend);
            if !keep {
                self.len -= entry.frame.len();
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(backend: &str, digest: u8, len: usize) -> Listing {
        Listing { backend: backend.to_owned(), digest: vec![digest; DIGEST_LEN], zstd: vec![0; len] }
    }

    fn take(listings: &Listings, one: Listing) {
        listings.take(v1::Listings { listings: vec![one] }, usize::MAX, |name| name != "gone");
    }

    #[test]
    fn news_are_handed_on_once() {
        let listings = Listings::default();
        take(&listings, listing("a", 1, 10));
        take(&listings, listing("b", 1, 10));
        take(&listings, listing("a", 1, 10));
        assert_eq!((*listings.subscribe().borrow(), listings.since(0).len()), (2, 2));
        take(&listings, listing("a", 2, 10));
        assert_eq!((listings.since(2).len(), listings.since(3).len(), listings.since(0).len()), (1, 0, 2));
    }

    #[test]
    fn what_is_wrong_or_too_much_is_not_kept() {
        let listings = Listings::default();
        take(&listings, listing("gone", 1, 10));
        take(&listings, Listing { digest: vec![1], ..listing("a", 1, 10) });
        take(&listings, listing("a", 1, LISTING_LEN_MAX + 1));
        assert!(listings.since(0).is_empty());
        for number in 0..70 {
            take(&listings, listing(&format!("b{number}"), 1, LISTING_LEN_MAX));
        }
        let total: usize = listings.since(0).iter().map(Bytes::len).sum();
        assert!(total <= TOTAL_LEN_MAX && total > TOTAL_LEN_MAX / 2);
        listings.take(v1::Listings::default(), 1, |name| name == "b1");
        assert_eq!(listings.since(0).len(), 1, "what is deleted makes room");
        take(&listings, listing("c", 1, LISTING_LEN_MAX));
        assert_eq!(listings.since(0).len(), 2);
    }
}
