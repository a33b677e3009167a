//! [`Error`]: why a request was refused. Which gRPC code that is, `api::status` decides.

use omcp_core::Revision;

/// A broken rule: the field as a person wrote it, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub field: String,
    pub reason: String,
}

impl Violation {
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// Why a request was refused. `Display` is one lowercase fragment that says what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", list(.0))]
    Invalid(Vec<Violation>),
    #[error("no backend is named {0:?}")]
    NoSuchBackend(String),
    #[error("no node is named {0:?}")]
    NoSuchNode(String),
    #[error("node {0:?} is not connected, so it cannot be told: try again when it is back")]
    NotConnected(String),
    #[error("a backend named {0:?} exists already: update it, or delete it first")]
    AlreadyExists(String),
    #[error(
        "backend {name:?} was changed in between: it is {current} now; read it again and repeat the change"
    )]
    EtagMismatch { name: String, current: String },
    #[error(
        "this would delete {deletes} of {total} backends, more than the {allowed} allowed at once: \
         if that is wanted, set max_deletes (--max-deletes) to {deletes} or more"
    )]
    MassDelete { deletes: usize, total: usize, allowed: usize },
    #[error("{changes} changes at once are more than {max}: apply the manifest in parts")]
    TooManyChanges { changes: usize, max: usize },
    #[error("{len} bytes of changes at once are more than {max}: apply the manifest in parts")]
    TransactionTooLarge { len: usize, max: usize },
    #[error("the store holds {have} backends and takes at most {max}: delete some first")]
    TooManyBackends { have: usize, max: usize },
    #[error("request_id {0} was used for another request within 24 hours: use a new one")]
    RequestIdReused(String),
    #[error(
        "revision {from} is older than {compacted}, from where on changes are kept: list again and watch from there"
    )]
    Compacted { from: Revision, compacted: Revision },
    #[error("revision {from} is newer than the store's {head}: list again and watch from there")]
    FutureRevision { from: Revision, head: Revision },
    #[error("the store has a new epoch: list again and watch from there")]
    EpochChanged,
    #[error("too many writes are waiting: try again in a moment")]
    Overloaded,
    #[error("the control plane is stopping: try again in a moment")]
    Stopping,
    #[error("the operating system provides no randomness")]
    Randomness,
    #[error("cannot write to the store: {0}")]
    Store(StoreFault),
}

/// What the database could not do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreFault {
    #[error("the disk is full; free some space, the control plane goes on by itself")]
    DiskFull,
    #[error("the database is read-only; make the file and its folder writable")]
    ReadOnly,
    #[error("the database is damaged ({0}); stop the control plane and restore a backup")]
    Corrupt(String),
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, reason)])
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(StoreFault::from(&error))
    }
}

impl From<&sqlx::Error> for StoreFault {
    /// By SQLite's primary result code: <https://sqlite.org/rescode.html>.
    fn from(error: &sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(|error| error.code())
            .and_then(|code| code.parse::<u32>().ok());
        let text =
            error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        match code.map(|extended| extended & 0xff) {
            Some(13) => Self::DiskFull,
            Some(8) => Self::ReadOnly,
            Some(11 | 26) => Self::Corrupt(text),
            _ => Self::Other(text),
        }
    }
}

fn list(violations: &[Violation]) -> String {
    const SHOWN: usize = 5;
    let mut lines: Vec<_> =
        violations.iter().take(SHOWN).map(|v| format!("{}: {}", v.field, v.reason)).collect();
    if violations.len() > SHOWN {
        lines.push(format!("and {} more", violations.len() - SHOWN));
    }
    lines.join("; ")
}
