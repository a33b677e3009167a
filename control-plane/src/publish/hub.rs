//! [`Hub`]: the state that the writer feeds and that everybody else reads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use omcp_core::{Epoch, Revision};
use tokio::sync::watch;

use crate::publish::cursor::Cursor;
use crate::publish::frame::{self, Frame};
use crate::publish::snapshot::{EncodedSnapshot, SnapshotSource};
use crate::publish::table::{Commit, Table};

/// Least time between two frames: the first change leaves at once, those that follow it together.
const PACE: Duration = Duration::from_millis(5);
/// Frames kept for sharing. Nodes differ in where they stand by a few frames at most.
const FRAMES_KEPT: usize = 32;
/// Bytes of frames kept for sharing.
const FRAMES_LEN_MAX: usize = 8 * 1024 * 1024;
/// Changes up to which a batch is sent, and up to which an older snapshot plus a batch is as good
/// as a new snapshot.
const BATCH_MAX: usize = 1000;
/// Bytes of specs up to which a batch is sent: a snapshot is compressed, and shared by all. No
/// single transaction is as large.
const BATCH_LEN_MAX: usize = 8 * 1024 * 1024;

/// Where to go from a cursor.
#[derive(Debug)]
pub enum CatchUp {
    /// Nothing was published since.
    Level,
    /// Changes lead from the cursor to the present.
    Batch(Frame),
    /// The cursor is of another epoch, compacted, or so far behind that a snapshot is less.
    Snapshot,
}

/// The state in memory, and the news about it. Never locked across an await.
#[derive(Debug)]
pub struct Hub {
    table: RwLock<Table>,
    committed: watch::Sender<Cursor>,
    published: watch::Sender<Cursor>,
    frames: Mutex<VecDeque<Frame>>,
    snapshot: tokio::sync::Mutex<Option<Arc<EncodedSnapshot>>>,
}

impl Hub {
    pub fn new(table: Table) -> Self {
        let cursor = table.cursor();
        Self {
            table: RwLock::new(table),
            committed: watch::Sender::new(cursor),
            published: watch::Sender::new(cursor),
            frames: Mutex::default(),
            snapshot: tokio::sync::Mutex::default(),
        }
    }

    /// The state. Hold it briefly, and not across an await.
    pub fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the store stands.
    pub fn head(&self) -> Cursor {
        self.table().cursor()
    }

    /// Tells when something was published, at most once per [`PACE`].
    pub fn subscribe(&self) -> watch::Receiver<Cursor> {
        self.published.subscribe()
    }

    /// Takes what was committed. Only the writer calls this, after COMMIT.
    pub fn commit(&self, commits: Vec<Commit>) {
        self.change(|table| commits.into_iter().for_each(|commit| table.apply(commit)));
    }

    /// Takes a compaction that was committed.
    pub fn compact(&self, floor: Revision) {
        self.change(|table| table.compact(floor));
    }

    /// Takes a new epoch that was committed.
    pub fn start_epoch(&self, epoch: Epoch, revision: Revision) {
        self.change(|table| table.start_epoch(epoch, revision));
        self.frames().clear();
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table: RwLockWriteGuard<'_, Table> =
            self.table.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut table);
        let cursor = table.cursor();
        drop(table);
        self.committed.send_if_modified(|last| std::mem::replace(last, cursor) != cursor);
    }

    /// Publishes commits until the hub is dropped: the first one at once, then one frame per pace.
    pub async fn run(self: Arc<Self>) {
        let mut committed = self.committed.subscribe();
        while committed.changed().await.is_ok() {
            let cursor = *committed.borrow_and_update();
            self.published.send_replace(cursor);
            tokio::time::sleep(PACE).await;
        }
    }

    /// What brings somebody at `from` to the present. Encoded once per `from`, then shared.
    pub fn catch_up(&self, from: &Cursor) -> CatchUp {
        let target = *self.published.borrow();
        if from.epoch == target.epoch && from.revision >= target.revision {
            return CatchUp::Level;
        }
        // The lock is held while encoding: others wait for the frame rather than encode it again.
        let mut frames = self.frames();
        let fits = |frame: &&Frame| {
            frame.from == from.revision
                && frame.to.epoch == from.epoch
                && frame.to.revision >= target.revision
        };
        if let Some(frame) = frames.iter().rev().find(fits) {
            return CatchUp::Batch(frame.clone());
        }
        let table = self.table();
        if from.epoch == table.epoch && from.revision >= table.revision {
            return CatchUp::Level;
        }
        if from.epoch != table.epoch || from.revision < table.compacted || outgrown(&table, from.revision) {
            return CatchUp::Snapshot;
        }
        let frame = frame::batch(&table, from.revision);
        keep(&mut frames, frame.clone());
        CatchUp::Batch(frame)
    }

    fn frames(&self) -> MutexGuard<'_, VecDeque<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot that is present, or close enough that a batch leads on from it, and in any case of
    /// revision `at_least`: a node takes none that is older than what it holds. Built by one caller
    /// at a time and shared by all.
    ///
    /// # Errors
    /// It could not be compressed.
    pub async fn snapshot(&self, at_least: Revision) -> std::io::Result<Arc<EncodedSnapshot>> {
        let mut kept = self.snapshot.lock().await;
        let serves = |cursor: &Cursor| cursor.revision >= at_least && self.leads_on(cursor);
        if let Some(snapshot) = kept.as_ref().filter(|snapshot| serves(&snapshot.cursor)) {
            return Ok(snapshot.clone());
        }
        let source = SnapshotSource::of(&self.table());
        let encoded = tokio::task::spawn_blocking(move || source.encode()).await??;
        let snapshot = Arc::new(encoded);
        *kept = Some(snapshot.clone());
        Ok(snapshot)
    }

    fn leads_on(&self, cursor: &Cursor) -> bool {
        let table = self.table();
        let reachable = cursor.epoch == table.epoch && cursor.revision >= table.compacted;
        reachable && table.changed_since(cursor.revision, BATCH_MAX + 1) <= BATCH_MAX
    }
}

fn outgrown(table: &Table, from: Revision) -> bool {
    let max = BATCH_MAX.max(table.len() / 2);
    let (mut count, mut len) = (0, 0);
    for (_, _, record) in table.since(from) {
        (count, len) = (count + 1, len + record.map_or(0, |record| record.spec.len()));
        if count > max || len > BATCH_LEN_MAX {
            return true;
        }
    }
    false
}

fn keep(frames: &mut VecDeque<Frame>, frame: Frame) {
    frames.push_back(frame);
    let mut len: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
    while frames.len() > FRAMES_KEPT || (len > FRAMES_LEN_MAX && frames.len() > 1) {
        len -= frames.pop_front().map_or(0, |frame| frame.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EncodedSpec, Op, Record};

    fn commit(hub: &Hub, revision: Revision, name: &str, len: usize) {
        let spec = EncodedSpec { bytes: vec![0; len].into(), hash: [revision as u8; 16] };
        let record = Record::created(spec, [0; 16], revision, 0);
        let ops = vec![Op::Put(name.into(), record)];
        hub.commit(vec![Commit { revision, digest: Default::default(), ops }]);
        hub.published.send_replace(hub.head());
    }

    #[tokio::test]
    async fn a_kept_snapshot_serves_those_who_are_behind_it() {
        let hub = Hub::new(Table::default());
        commit(&hub, 1, "a", 1);
        assert_eq!(hub.snapshot(0).await.unwrap().cursor.revision, 1);
        commit(&hub, 2, "b", 1);
        assert_eq!(hub.snapshot(1).await.unwrap().cursor.revision, 1);
        assert_eq!(hub.snapshot(2).await.unwrap().cursor.revision, 2);
    }

    #[test]
    fn many_bytes_of_changes_are_a_snapshot() {
        let hub = Hub::new(Table::default());
        let start = hub.head();
        commit(&hub, 1, "a", BATCH_LEN_MAX);
        assert!(matches!(hub.catch_up(&start), CatchUp::Batch(_)));
        commit(&hub, 2, "b", 1);
        assert!(matches!(hub.catch_up(&start), CatchUp::Snapshot));
        assert!(matches!(hub.catch_up(&hub.head()), CatchUp::Level));
    }
}
