//! [`Config`]: everything that can be set about a control plane.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Default of [`Config::admin_listen`].
pub const ADMIN_LISTEN: &str = "127.0.0.1:4181";
/// Default of [`Config::sync_listen`].
pub const SYNC_LISTEN: &str = "127.0.0.1:4182";
/// Default of [`Config::heartbeat_ms`]: a lost node is noticed within 30 s.
pub const HEARTBEAT_MS: u32 = 10_000;
/// Default of [`Config::retain_revisions`]: a node that was away for a weekend of busy work still
/// catches up without a snapshot.
pub const RETAIN_REVISIONS: u64 = 10_000;

/// Everything that can be set about a control plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SQLite database; made if there is none.
    pub db: PathBuf,
    /// Where the admin API listens; port 0 takes a free one.
    pub admin_listen: SocketAddr,
    /// Where nodes connect; port 0 takes a free one.
    pub sync_listen: SocketAddr,
    /// Listening beyond loopback is refused unless this is set: there is no authentication yet.
    pub insecure_listen: bool,
    /// Time between heartbeats on a sync stream; a node silent for three of them is dropped.
    pub heartbeat_ms: u32,
    /// Revisions for which tombstones and digests are kept.
    pub retain_revisions: u64,
    pub limits: Limits,
}

impl Config {
    /// The defaults, for a database at `db`.
    ///
    /// # Panics
    /// Never: the default addresses are addresses.
    pub fn new(db: impl Into<PathBuf>) -> Self {
        Self {
            db: db.into(),
            admin_listen: ADMIN_LISTEN.parse().expect("an address"),
            sync_listen: SYNC_LISTEN.parse().expect("an address"),
            insecure_listen: false,
            heartbeat_ms: HEARTBEAT_MS,
            retain_revisions: RETAIN_REVISIONS,
            limits: Limits::default(),
        }
    }

    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms.max(1).into())
    }
}

/// Bounds that are checked before anything is stored.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Changes per transaction: a node holds and applies them together.
    pub changes_max: usize,
    /// Bytes of specs per transaction, for the same reason.
    pub transaction_len_max: usize,
    /// Bytes of one encoded spec: with the frame around it, far below what gRPC peers accept unasked.
    pub spec_len_max: usize,
    /// Backends in all: they are kept in memory, here and on each node.
    pub backends_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            changes_max: 1000,
            transaction_len_max: 4 * 1024 * 1024,
            spec_len_max: 256 * 1024,
            backends_max: 100_000,
        }
    }
}
