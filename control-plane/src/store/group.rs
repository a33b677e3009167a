//! [`Group`]: the writes of one transaction, each under its own savepoint.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use omcp_core::revision::SpecHash;
use omcp_core::{Digest, Epoch, Revision};
use sqlx::SqliteConnection;

use crate::error::{Error, StoreFault};
use crate::publish::{Commit, Hub};
use crate::record::{Op, Record};
use crate::store::clock::now_ms;
use crate::store::history::Entry;
use crate::store::intent::{Done, Overlay, Plan, View, Write};
use crate::store::{backends, history, meta, requests, revisions, transaction};

/// What the writes of one transaction have done so far.
pub struct Group<'h> {
    hub: &'h Hub,
    epoch: Epoch,
    revision: Revision,
    digest: Digest,
    overlay: Overlay,
    commits: Vec<Commit>,
}

/// One planned write, and how to take it back.
struct Staged {
    ops: Vec<Op>,
    /// For each op, what it replaces.
    old: Vec<Option<SpecHash>>,
    undo: Vec<(Arc<str>, Option<Option<Record>>)>,
    before: (Revision, Digest),
}

impl<'h> Group<'h> {
    pub fn new(hub: &'h Hub) -> Self {
        let head = hub.head();
        let (epoch, revision, digest) = (head.epoch, head.revision, head.digest);
        Self { hub, epoch, revision, digest, overlay: Overlay::new(), commits: Vec::new() }
    }

    /// Where the store stands once this is committed.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn into_commits(self) -> Vec<Commit> {
        self.commits
    }

    /// Executes one write. The inner error is the write's own; the outer one is the transaction's.
    pub async fn execute(
        &mut self,
        mut write: Write,
        connection: &mut SqliteConnection,
    ) -> Result<Result<Bytes, Error>, Error> {
        let now_ms = now_ms();
        if let Some(key) = &write.request {
            match requests::find(connection, key, now_ms).await {
                Ok(None) => {}
                Ok(Some(answer)) => return Ok(Ok(answer)),
                Err(refused @ Error::RequestIdReused(_)) => return Ok(Err(refused)),
                Err(failed) => return Err(failed),
            }
        }
        match self.plan(&mut write) {
            Ok(plan) => self.carry_out(&write, plan, now_ms, connection).await,
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// The rules of a request are much code; a bug there must not end the one writer.
    fn plan(&self, write: &mut Write) -> Result<Plan, Error> {
        let plan = || write.intent.plan(&View::new(&self.hub.table(), &self.overlay));
        catch_unwind(AssertUnwindSafe(plan)).unwrap_or_else(|_| {
            let why = "planning the write panicked, which is a bug; nothing was changed";
            Err(Error::Store(StoreFault::Other(why.to_owned())))
        })
    }

    async fn carry_out(
        &mut self,
        write: &Write,
        plan: Plan,
        now_ms: i64,
        connection: &mut SqliteConnection,
    ) -> Result<Result<Bytes, Error>, Error> {
        let staged = self.stage(plan, now_ms);
        let answer = self.answer(write);
        transaction::save(connection).await?;
        match self.store(write, &staged, &answer, now_ms, connection).await {
            Ok(()) => transaction::release(connection).await?,
            Err(error) => {
                // If SQLite has rolled back everything by itself, this fails and so does the group.
                transaction::roll_back(connection).await?;
                self.take_back(staged);
                return Ok(Err(error.into()));
            }
        }
        if !staged.ops.is_empty() {
            self.commits.push(Commit { revision: self.revision, digest: self.digest, ops: staged.ops });
        }
        Ok(Ok(answer.into()))
    }

    /// Moves on to the state after `plan`.
    fn stage(&mut self, plan: Plan, now_ms: i64) -> Staged {
        let before = (self.revision, self.digest);
        if !plan.is_empty() {
            self.revision += 1;
        }
        let (mut ops, mut old, mut undo) = (Vec::new(), Vec::new(), Vec::new());
        for op in self.ops(plan, now_ms) {
            let replaced = self.hash_of(op.name());
            self.count(&op, replaced);
            let record = match &op {
                Op::Put(_, record) => Some(record.clone()),
                Op::Delete(_) => None,
            };
            undo.push((op.name().clone(), self.overlay.insert(op.name().clone(), record)));
            old.push(replaced);
            ops.push(op);
        }
        Staged { ops, old, undo, before }
    }

    fn ops(&self, plan: Plan, now_ms: i64) -> Vec<Op> {
        let table = self.hub.table();
        let view = View::new(&table, &self.overlay);
        let puts = plan.puts.into_iter().map(|(name, spec)| {
            let record = match view.get(&name) {
                Some(held) => held.updated(spec, self.revision, now_ms),
                None => Record::created(spec, *uuid::Uuid::new_v4().as_bytes(), self.revision, now_ms),
            };
            Op::Put(name, record)
        });
        puts.chain(plan.deletes.into_iter().map(Op::Delete)).collect()
    }

    fn hash_of(&self, name: &str) -> Option<SpecHash> {
        View::new(&self.hub.table(), &self.overlay).get(name).map(|record| record.hash)
    }

    fn count(&mut self, op: &Op, replaced: Option<SpecHash>) {
        if let Some(hash) = replaced {
            self.digest.remove(op.name(), &hash);
        }
        if let Op::Put(name, record) = op {
            self.digest.add(name, &record.hash);
        }
    }

    fn answer(&self, write: &Write) -> Vec<u8> {
        let table = self.hub.table();
        let view = View::new(&table, &self.overlay);
        write.intent.answer(&Done { epoch: self.epoch, revision: self.revision, view })
    }

    async fn store(
        &self,
        write: &Write,
        staged: &Staged,
        answer: &[u8],
        now_ms: i64,
        connection: &mut SqliteConnection,
    ) -> sqlx::Result<()> {
        if !staged.ops.is_empty() {
            let revision = meta::next_revision(connection, self.digest).await?;
            if revision != self.revision {
                return Err(sqlx::Error::Protocol(format!(
                    "somebody else wrote to the database: it is at revision {revision}, not {}",
                    self.revision
                )));
            }
            revisions::insert(connection, revision, self.digest).await?;
        }
        for (seq, op) in staged.ops.iter().enumerate() {
            backends::write(connection, self.revision, op, now_ms).await?;
            history::insert(connection, &self.entry(write, seq, op, staged.old[seq].as_ref(), now_ms))
                .await?;
        }
        match &write.request {
            Some(key) => requests::insert(connection, key, answer, now_ms).await,
            None => Ok(()),
        }
    }

    fn entry<'a>(
        &self,
        write: &'a Write,
        seq: usize,
        op: &'a Op,
        old_hash: Option<&'a SpecHash>,
        at_ms: i64,
    ) -> Entry<'a> {
        let spec = match op {
            Op::Put(_, record) => Some(&record.spec[..]),
            Op::Delete(_) => None,
        };
        let request_id = write.request.as_ref().map_or("", |key| &key.id);
        let (revision, name, actor) = (self.revision, op.name(), &write.actor);
        Entry { revision, seq, name, old_hash, spec, actor, request_id, at_ms }
    }

    fn take_back(&mut self, staged: Staged) {
        (self.revision, self.digest) = staged.before;
        for (name, earlier) in staged.undo.into_iter().rev() {
            match earlier {
                Some(record) => self.overlay.insert(name, record),
                None => self.overlay.remove(&name),
            };
        }
    }
}
