//! The writer: the one task that owns the connection.
//!
//! Commands that wait are executed together, each under its own savepoint, and committed once:
//! answers and publication come strictly after COMMIT.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use omcp_core::{Digest, Epoch, Revision};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::error::Error;
use crate::publish::{Commit, Hub};
use crate::store::clock::now_ms;
use crate::store::error::OpenError;
use crate::store::group::Group;
use crate::store::high_water::HighWater;
use crate::store::intent::Write;
use crate::store::keyring::StoredKey;
use crate::store::open::Opened;
use crate::store::open::StoreOptions;
use crate::store::{backends, history, keyring, meta, open, requests, revisions, transaction};

/// Commands per transaction: beyond this the disk no longer is what takes the time.
const GROUP_MAX: usize = 128;
/// Old rows are dropped once per so many revisions.
const COMPACT_EVERY: u64 = 256;
/// Answers age whether or not there are revisions: requests that change nothing are kept as well.
const FORGET_REQUESTS_EVERY: Duration = Duration::from_secs(60 * 60);

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What the writer is asked to do.
pub enum Command {
    Write(Write, Reply<Bytes>),
    StartEpoch(Revision, Reply<()>),
    LoadKeyring(Reply<Vec<StoredKey>>),
    SaveKeyring(Vec<StoredKey>, Reply<()>),
    Close(oneshot::Sender<()>),
}

/// Body of the writer's thread.
pub fn run(
    options: &StoreOptions,
    queue: mpsc::Receiver<Command>,
    report: oneshot::Sender<Result<Arc<Hub>, OpenError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = OpenError::io("start the writer of", &options.path, &error);
            return drop(report.send(Err(error)));
        }
    };
    runtime.block_on(async {
        match Writer::open(options).await {
            Ok(writer) => {
                let hub = writer.hub.clone();
                if report.send(Ok(hub)).is_ok() {
                    writer.serve(queue).await;
                }
            }
            // The caller that gave up does not need the reason.
            Err(error) => drop(report.send(Err(error))),
        }
    });
}

struct Writer {
    connection: SqliteConnection,
    hub: Arc<Hub>,
    high_water: HighWater,
    path: PathBuf,
    retain: u64,
    compacted_at: Revision,
    _lock: std::fs::File,
}

impl Writer {
    async fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let Opened { connection, meta, table, high_water, lock, older_than } =
            open::open(&options.path).await?;
        let mut writer = Self {
            connection,
            hub: Arc::new(Hub::new(table)),
            high_water,
            path: options.path.clone(),
            retain: options.retain_revisions,
            compacted_at: meta.revision,
            _lock: lock,
        };
        if let Some(reached) = older_than {
            tracing::error!(database = %writer.path.display(), revision = meta.revision, reached,
                "the database is an older copy of itself: starting a new epoch, nodes get snapshots");
            let above = writer.high_water.reserved().max(meta.revision);
            writer.start_epoch(above).await.map_err(|error| OpenError::Database {
                path: options.path.clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(writer)
    }

    async fn serve(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut closing = None;
        let mut next = None;
        // The first tick is at once.
        let mut hourly = tokio::time::interval(FORGET_REQUESTS_EVERY);
        hourly.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closing.is_none() {
            let command = tokio::select! {
                biased;
                _ = hourly.tick() => {
                    self.forget_requests().await;
                    continue;
                }
                command = received(&mut next, &mut queue) => command,
            };
            let Some(command) = command else { break };
            match command {
                Command::Write(write, reply) => {
                    let mut group = vec![(write, reply)];
                    next = fill(&mut group, &mut queue);
                    self.execute(group).await;
                }
                Command::StartEpoch(above, reply) => drop(reply.send(self.claim(above).await)),
                Command::LoadKeyring(reply) => {
                    let keys = keyring::load(&mut self.connection).await;
                    drop(reply.send(keys.map_err(Error::from)));
                }
                Command::SaveKeyring(keys, reply) => drop(reply.send(self.save_keyring(&keys).await)),
                Command::Close(done) => closing = Some(done),
            }
        }
        self.close().await;
        if let Some(done) = closing {
            // Nobody waits for the end any more: that is fine.
            let _ = done.send(());
        }
    }

    async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(database = %self.path.display(), %error, "cannot close the database cleanly");
        }
    }

    /// Executes, commits, publishes, answers: in this order.
    async fn execute(&mut self, writes: Vec<(Write, Reply<Bytes>)>) {
        let (writes, replies): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        let answers = match self.transact(writes).await {
            Ok(answers) => answers,
            Err(error) => replies.iter().map(|_| Err(error.clone())).collect(),
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that hung up gets no answer; its write stands.
            let _ = reply.send(answer);
        }
        self.compact_if_due().await;
    }

    async fn transact(&mut self, writes: Vec<Write>) -> Result<Vec<Result<Bytes, Error>>, Error> {
        self.reserve(self.hub.head().revision + GROUP_MAX as u64);
        let hub = self.hub.clone();
        let mut group = Group::new(&hub);
        let answers = match self.run_group(&mut group, writes).await {
            Ok(answers) => answers,
            Err(error) => {
                transaction::abandon(&mut self.connection).await;
                return Err(error);
            }
        };
        self.publish(group.into_commits());
        Ok(answers)
    }

    async fn run_group(
        &mut self,
        group: &mut Group<'_>,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Bytes, Error>>, Error> {
        transaction::begin(&mut self.connection).await?;
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(group.execute(write, &mut self.connection).await?);
        }
        if let Err(error) = transaction::commit(&mut self.connection).await {
            transaction::abandon(&mut self.connection).await;
            // What a failed COMMIT has done is for the database to say.
            let revision = meta::read(&mut self.connection).await?.revision;
            if revision != group.revision() {
                return Err(error.into());
            }
        }
        Ok(answers)
    }

    fn publish(&mut self, commits: Vec<Commit>) {
        let Some(last) = commits.last().map(|commit| commit.revision) else { return };
        self.hub.commit(commits);
        self.note(last);
    }

    fn note(&mut self, revision: Revision) {
        if let Err(error) = self.high_water.note(revision) {
            tracing::warn!(database = %self.path.display(), %error, "cannot write the high-water file");
        }
    }

    fn reserve(&mut self, upto: Revision) {
        let epoch = self.hub.head().epoch;
        if let Err(error) = self.high_water.reserve(epoch, upto) {
            tracing::warn!(database = %self.path.display(), %error, "cannot write the high-water file");
        }
    }

    /// Somebody holds revision `above` of this epoch, which this store never reached.
    async fn claim(&mut self, above: Revision) -> Result<(), Error> {
        // Several nodes may report the same thing: the first one settles it.
        if self.hub.head().revision >= above {
            return Ok(());
        }
        self.start_epoch(above.max(self.high_water.reserved())).await
    }

    async fn start_epoch(&mut self, above: Revision) -> Result<(), Error> {
        let (epoch, revision) = (meta::new_epoch(), above + 1);
        let digest = self.hub.head().digest;
        if let Err(error) = self.write_epoch(epoch, revision, digest).await {
            transaction::abandon(&mut self.connection).await;
            return Err(error.into());
        }
        self.hub.start_epoch(epoch, revision);
        self.reserve(revision);
        self.note(revision);
        tracing::warn!(database = %self.path.display(), %epoch, revision, "the store has a new epoch");
        Ok(())
    }

    async fn write_epoch(&mut self, epoch: Epoch, revision: Revision, digest: Digest) -> sqlx::Result<()> {
        let connection = &mut self.connection;
        transaction::begin(connection).await?;
        meta::start_epoch(connection, epoch, revision).await?;
        backends::compact(connection, revision).await?;
        revisions::compact(connection, revision).await?;
        revisions::insert(connection, revision, digest).await?;
        transaction::commit(connection).await
    }

    async fn save_keyring(&mut self, keys: &[StoredKey]) -> Result<(), Error> {
        let connection = &mut self.connection;
        transaction::begin(connection).await?;
        let replaced = keyring::replace(connection, keys).await;
        let saved = match replaced {
            Ok(()) => transaction::commit(connection).await,
            Err(error) => Err(error),
        };
        if saved.is_err() {
            transaction::abandon(connection).await;
        }
        saved.map_err(Error::from)
    }

    async fn compact_if_due(&mut self) {
        let head = self.hub.head().revision;
        if head < self.compacted_at + COMPACT_EVERY.min(self.retain) {
            return;
        }
        self.compacted_at = head;
        let floor = head.saturating_sub(self.retain);
        match self.compact(head, floor).await {
            Ok(()) => self.hub.compact(floor),
            Err(error) => {
                transaction::abandon(&mut self.connection).await;
                tracing::warn!(database = %self.path.display(), %error, "cannot drop old rows");
            }
        }
    }

    async fn forget_requests(&mut self) {
        if let Err(error) = requests::compact(&mut self.connection, now_ms()).await {
            tracing::warn!(database = %self.path.display(), %error, "cannot drop old answers");
        }
    }

    async fn compact(&mut self, head: Revision, floor: Revision) -> sqlx::Result<()> {
        let compacted = self.hub.table().compacted;
        let connection = &mut self.connection;
        transaction::begin(connection).await?;
        if floor > compacted {
            meta::set_compacted(connection, floor).await?;
        }
        backends::compact(connection, floor).await?;
        revisions::compact(connection, floor).await?;
        history::compact(connection, head).await?;
        requests::compact(connection, now_ms()).await?;
        transaction::commit(connection).await
    }
}

/// What was set aside, or else what comes. Loses nothing when dropped.
async fn received(next: &mut Option<Command>, queue: &mut mpsc::Receiver<Command>) -> Option<Command> {
    match next.take() {
        Some(command) => Some(command),
        None => queue.recv().await,
    }
}

/// Takes what waits. Returns a command that has to be executed by itself.
fn fill(group: &mut Vec<(Write, Reply<Bytes>)>, queue: &mut mpsc::Receiver<Command>) -> Option<Command> {
    while group.len() < GROUP_MAX {
        match queue.try_recv() {
            Ok(Command::Write(write, reply)) => group.push((write, reply)),
            Ok(other) => return Some(other),
            Err(_) => return None,
        }
    }
    None
}
