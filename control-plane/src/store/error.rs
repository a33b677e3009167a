//! [`OpenError`]: why a database cannot be opened, and what to do about it.

use std::path::{Path, PathBuf};

use crate::error::StoreFault;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot {attempt} {}: {reason}", path.display())]
    Io { attempt: &'static str, path: PathBuf, reason: String },
    #[error("another control plane uses {}: stop it, or give this one another --db", .0.display())]
    Locked(PathBuf),
    #[error(
        "{} is not a sound database ({reason}): nothing was changed; move it away and put a backup in its place",
        path.display()
    )]
    Corrupt { path: PathBuf, reason: String },
    #[error("{} cannot be written: make the file and its folder writable for this user", .0.display())]
    ReadOnly(PathBuf),
    #[error(
        "{} was made by a newer control plane (schema {version}): run that version, or restore a backup made by this one",
        path.display()
    )]
    NewerSchema { path: PathBuf, version: i64 },
    #[error("cannot open {}: {reason}", path.display())]
    Database { path: PathBuf, reason: String },
    #[error("the store's writer ended unexpectedly")]
    WriterDied,
}

impl OpenError {
    pub fn io(attempt: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io { attempt, path: path.to_owned(), reason: error.to_string() }
    }

    pub fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }

    pub fn database(path: &Path, error: &sqlx::Error) -> Self {
        match StoreFault::from(error) {
            StoreFault::Corrupt(reason) => Self::corrupt(path, reason),
            StoreFault::ReadOnly => Self::ReadOnly(path.to_owned()),
            fault => Self::Database { path: path.to_owned(), reason: fault.to_string() },
        }
    }

    pub fn migration(path: &Path, error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration, VersionMissing, VersionTooNew};
        match error {
            VersionMissing(version) | VersionTooNew(version, _) => {
                Self::NewerSchema { path: path.to_owned(), version }
            }
            Execute(error) | ExecuteMigration(error, _) => Self::database(path, &error),
            other => Self::Database { path: path.to_owned(), reason: other.to_string() },
        }
    }
}
