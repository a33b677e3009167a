//! The store: SQLite, written by one task on its own thread.
//!
//! - [`intent`]: what a write wants: planned inside the transaction, against the newest state
//! - [`open`](mod@open): opening, checking and loading a database
//! - [`writer`]: the one task that owns the connection
//! - [`group`]: the writes of one transaction
//! - [`transaction`]: BEGIN, SAVEPOINT, COMMIT
//! - [`meta`], [`backends`], [`revisions`], [`history`], [`requests`], [`keyring`]: the SQL, table by table
//! - [`high_water`]: a file beside the database that notices an older copy of it
//! - [`clock`]: the time, for people
//! - [`error`]: why a database cannot be opened

pub mod backends;
pub mod clock;
pub mod error;
pub mod group;
pub mod high_water;
pub mod history;
pub mod intent;
pub mod keyring;
pub mod meta;
pub mod open;
pub mod requests;
pub mod revisions;
#[cfg(test)]
mod tests;
pub mod transaction;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use omcp_core::Revision;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::publish::Hub;
pub use error::OpenError;
pub use intent::{Done, Intent, Plan, RequestKey, View, Write};
use keyring::StoredKey;
pub use open::StoreOptions;
use writer::Command;

/// Writes that may wait. Group commit drains 128 at a time, so this is about a tenth of a second.
const QUEUE: usize = 1024;
/// How long a write waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// A handle to the writer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    commands: mpsc::Sender<Command>,
}

impl Store {
    /// Opens the database, makes it if there is none, and starts the writer on its own thread: a
    /// thousand streams on a shared runtime would starve it.
    ///
    /// # Errors
    /// The database is locked, damaged, read-only or of a newer schema; with a hint.
    pub async fn open(options: StoreOptions) -> Result<(Self, Arc<Hub>), OpenError> {
        let (commands, queue) = mpsc::channel(QUEUE);
        let (report, opened) = oneshot::channel();
        let path = options.path.clone();
        std::thread::Builder::new()
            .name("omcp-store".into())
            .spawn(move || writer::run(&options, queue, report))
            .map_err(|error| OpenError::io("start the writer of", &path, &error))?;
        let hub = opened.await.map_err(|_| OpenError::WriterDied)??;
        Ok((Self { commands }, hub))
    }

    /// Executes a write; returns the encoded answer once it is on disk and published.
    ///
    /// # Errors
    /// The intent refused, the queue stayed full, or the database failed.
    pub async fn write(&self, write: Write) -> Result<Bytes, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Write(write, reply)).await?;
        answer.await.map_err(|_| Error::Stopping)?
    }

    /// Starts a new epoch above `above`, because somebody holds a newer state than this store.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn start_epoch(&self, above: Revision) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.send(Command::StartEpoch(above, reply)).await?;
        done.await.map_err(|_| Error::Stopping)?
    }

    /// The keys that nodes share.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn keyring(&self) -> Result<Vec<StoredKey>, Error> {
        let (reply, keys) = oneshot::channel();
        self.send(Command::LoadKeyring(reply)).await?;
        keys.await.map_err(|_| Error::Stopping)?
    }

    /// Makes these the keys that nodes share.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn save_keyring(&self, keys: Vec<StoredKey>) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.send(Command::SaveKeyring(keys, reply)).await?;
        done.await.map_err(|_| Error::Stopping)?
    }

    /// Finishes what is queued, closes the database and lets go of its lock.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.send(Command::Close(reply)).await.is_ok() {
            // A writer that is gone has closed already.
            let _ = done.await;
        }
    }

    async fn send(&self, command: Command) -> Result<(), Error> {
        use mpsc::error::SendTimeoutError;
        self.commands.send_timeout(command, QUEUE_WAIT).await.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => Error::Overloaded,
            SendTimeoutError::Closed(_) => Error::Stopping,
        })
    }
}
