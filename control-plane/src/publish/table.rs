//! [`Table`]: the newest state of every backend, in memory.
//!
//! It equals the store, since the writer changes it after each commit. "What did I miss since
//! revision c?" is a range of [`Table::changed`]: coalesced by nature, deletes included.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use omcp_core::{Digest, Epoch, Revision};

use crate::publish::cursor::Cursor;
use crate::record::{Op, Record};

/// One committed revision.
#[derive(Clone, Debug)]
pub struct Commit {
    pub revision: Revision,
    /// Over everything held at this revision.
    pub digest: Digest,
    pub ops: Vec<Op>,
}

/// The state at one revision, with the tombstones and digests that let others catch up with it.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub epoch: Epoch,
    pub revision: Revision,
    /// Cursors below this cannot catch up: tombstones are gone.
    pub compacted: Revision,
    pub digest: Digest,
    live: BTreeMap<Arc<str>, Record>,
    tombstones: HashMap<Arc<str>, Revision>,
    changed: BTreeSet<(Revision, Arc<str>)>,
    digests: BTreeMap<Revision, Digest>,
}

impl Table {
    /// An empty table, to be loaded.
    pub fn new(epoch: Epoch, revision: Revision, compacted: Revision) -> Self {
        Self { epoch, revision, compacted, ..Self::default() }
    }

    /// Where somebody who has everything stands.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, revision: self.revision, digest: self.digest }
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Record> {
        self.live.get(name)
    }

    /// Live backends by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Record)> {
        self.live.iter()
    }

    /// Up to `count` live backends whose names come after `name`.
    pub fn after(&self, name: &str, count: usize) -> Vec<(Arc<str>, Record)> {
        let range = self.live.range::<str, _>((Bound::Excluded(name), Bound::Unbounded));
        range.take(count).map(|(name, record)| (name.clone(), record.clone())).collect()
    }

    /// The digest at `revision`, if it is still kept.
    pub fn digest_at(&self, revision: Revision) -> Option<Digest> {
        if revision == self.revision { Some(self.digest) } else { self.digests.get(&revision).copied() }
    }

    /// Everything that changed after `from`, in the order of its last change.
    pub fn since(&self, from: Revision) -> impl Iterator<Item = (Revision, &Arc<str>, Option<&Record>)> {
        let start = (from.saturating_add(1), Arc::from(""));
        self.changed.range(start..).map(|(revision, name)| (*revision, name, self.live.get(name)))
    }

    /// How many backends changed after `from`, counting no further than `max`.
    pub fn changed_since(&self, from: Revision, max: usize) -> usize {
        self.since(from).take(max).count()
    }

    /// Puts a record as it was stored; for loading.
    pub fn load(&mut self, name: Arc<str>, record: Record) {
        self.digest.add(&name, &record.hash);
        self.changed.insert((record.revision, name.clone()));
        self.live.insert(name, record);
    }

    /// Puts a tombstone as it was stored; for loading.
    pub fn load_tombstone(&mut self, name: Arc<str>, revision: Revision) {
        self.changed.insert((revision, name.clone()));
        self.tombstones.insert(name, revision);
    }

    /// Puts a digest as it was stored; for loading.
    pub fn load_digest(&mut self, revision: Revision, digest: Digest) {
        self.digests.insert(revision, digest);
    }

    /// Applies what was committed.
    pub fn apply(&mut self, commit: Commit) {
        for op in commit.ops {
            self.forget_change(op.name());
            self.changed.insert((commit.revision, op.name().clone()));
            match op {
                Op::Put(name, record) => drop(self.live.insert(name, record)),
                Op::Delete(name) => {
                    self.live.remove(&name);
                    self.tombstones.insert(name, commit.revision);
                }
            }
        }
        self.digests.insert(commit.revision, commit.digest);
        (self.revision, self.digest) = (commit.revision, commit.digest);
    }

    fn forget_change(&mut self, name: &Arc<str>) {
        let last = self.tombstones.remove(name).or_else(|| self.live.get(name).map(|record| record.revision));
        if let Some(revision) = last {
            self.changed.remove(&(revision, name.clone()));
        }
    }

    /// Forgets tombstones and digests up to `floor`.
    pub fn compact(&mut self, floor: Revision) {
        self.compacted = self.compacted.max(floor);
        self.digests = self.digests.split_off(&floor);
        let changed = &mut self.changed;
        self.tombstones.retain(|name, revision| {
            let keep = *revision > floor;
            if !keep {
                changed.remove(&(*revision, name.clone()));
            }
            keep
        });
    }

    /// Starts a new epoch at `revision`: nobody catches up across it.
    pub fn start_epoch(&mut self, epoch: Epoch, revision: Revision) {
        (self.epoch, self.revision) = (epoch, revision);
        self.compact(revision);
        self.digests = BTreeMap::from([(revision, self.digest)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EncodedSpec;

    fn put(table: &mut Table, revision: Revision, name: &str) {
        let spec = EncodedSpec { bytes: name.to_owned().into(), hash: [revision as u8; 16] };
        let record = Record::created(spec, [0; 16], revision, 0);
        let mut digest = table.digest;
        if let Some(old) = table.get(name) {
            digest.remove(name, &old.hash);
        }
        digest.add(name, &record.hash);
        table.apply(Commit { revision, digest, ops: vec![Op::Put(name.into(), record)] });
    }

    fn delete(table: &mut Table, revision: Revision, name: &str) {
        let mut digest = table.digest;
        digest.remove(name, &table.get(name).unwrap().hash);
        table.apply(Commit { revision, digest, ops: vec![Op::Delete(name.into())] });
    }

    fn since(table: &Table, from: Revision) -> Vec<(Revision, String, bool)> {
        table
            .since(from)
            .map(|(revision, name, record)| (revision, name.to_string(), record.is_some()))
            .collect()
    }

    #[test]
    fn changes_are_coalesced_and_deletes_included() {
        let mut table = Table::default();
        put(&mut table, 1, "a");
        put(&mut table, 2, "b");
        put(&mut table, 3, "a");
        delete(&mut table, 4, "b");
        assert_eq!(since(&table, 0), [(3, "a".into(), true), (4, "b".into(), false)]);
        assert_eq!(since(&table, 3), [(4, "b".into(), false)]);
        put(&mut table, 5, "b");
        assert_eq!(since(&table, 3), [(5, "b".into(), true)]);
        assert!(since(&table, 5).is_empty());
    }

    #[test]
    fn compaction_forgets_exactly_up_to_the_floor() {
        let mut table = Table::default();
        put(&mut table, 1, "a");
        put(&mut table, 2, "b");
        delete(&mut table, 3, "a");
        delete(&mut table, 4, "b");
        table.compact(3);
        assert_eq!(table.compacted, 3);
        assert_eq!(since(&table, 3), [(4, "b".into(), false)], "a cursor at the floor misses nothing");
        assert_eq!(table.digest_at(2), None);
        assert!(table.digest_at(3).is_some());
        assert_eq!(table.digest, Digest::default());
    }
}
