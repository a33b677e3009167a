//! Opening, checking and loading a database.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use crate::publish::Table;
use crate::store::error::OpenError;
use crate::store::high_water::HighWater;
use crate::store::meta::{self, Meta};
use crate::store::{backends, revisions};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// How long SQLite waits for a lock: only a backup tool or a shell can hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the database is, and how much of the past it keeps.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub path: PathBuf,
    /// Revisions for which tombstones and digests are kept. A node that is further behind gets a
    /// snapshot.
    pub retain_revisions: u64,
}

/// A database that is ours alone, checked and loaded.
pub struct Opened {
    pub connection: SqliteConnection,
    pub meta: Meta,
    pub table: Table,
    pub high_water: HighWater,
    /// Released when it is dropped.
    pub lock: File,
    /// A revision that was reached before, if the database is an older copy of itself.
    pub older_than: Option<u64>,
}

/// Opens the database at `path`; makes it if there is none.
///
/// # Errors
/// As [`OpenError`] says.
pub async fn open(path: &Path) -> Result<Opened, OpenError> {
    let lock = lock(path)?;
    make_private(path)?;
    let mut connection = connect(path).await.map_err(|error| OpenError::database(path, &error))?;
    check(&mut connection, path).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| OpenError::migration(path, error))?;
    let (meta, table) = load(&mut connection).await.map_err(|error| OpenError::database(path, &error))?;
    if table.digest != meta.digest {
        return Err(OpenError::corrupt(path, "the digest over all backends is not the one stored with them"));
    }
    let (high_water, older_than) = HighWater::open(path, meta.epoch, meta.revision)
        .map_err(|error| OpenError::io("open the high-water file beside", path, &error))?;
    Ok(Opened { connection, meta, table, high_water, lock, older_than })
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| OpenError::io("make the folder of", path, &error))?;
    }
    let file =
        File::create(&lock_path).map_err(|error| OpenError::io("make the lock file", &lock_path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(OpenError::io("lock", &lock_path, &error)),
    }
}

/// Definitions may hold what people should not have put there.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    let made = options.append(true).create(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly(path.to_owned())
        }
        _ => OpenError::io("open", path, &error),
    })
}

async fn connect(path: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged revision was shipped to nodes: it must survive a loss of power.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
        .connect()
        .await
}

async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(|error| OpenError::database(path, &error))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::corrupt(path, verdict)) }
}

async fn load(connection: &mut SqliteConnection) -> sqlx::Result<(Meta, Table)> {
    let meta = meta::read_or_init(connection).await?;
    let mut table = Table::new(meta.epoch, meta.revision, meta.compacted);
    backends::load(connection, &mut table).await?;
    revisions::load(connection, &mut table).await?;
    Ok((meta, table))
}
