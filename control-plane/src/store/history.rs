//! Table `history`: who changed what.

use omcp_core::Revision;
use omcp_core::revision::SpecHash;
use sqlx::SqliteConnection;

/// Revisions of which the history is kept: years of work by hand, about 100 MB of 1 KiB specs.
const RETAIN_REVISIONS: u64 = 100_000;

/// One change of one backend.
#[derive(Debug)]
pub struct Entry<'a> {
    pub revision: Revision,
    /// Place within the revision.
    pub seq: usize,
    pub name: &'a str,
    pub old_hash: Option<&'a SpecHash>,
    /// `None` is a deletion.
    pub spec: Option<&'a [u8]>,
    pub actor: &'a str,
    pub request_id: &'a str,
    pub at_ms: i64,
}

impl Entry<'_> {
    fn op(&self) -> &'static str {
        match (self.spec, self.old_hash) {
            (None, _) => "delete",
            (Some(_), None) => "create",
            (Some(_), Some(_)) => "update",
        }
    }
}

/// Adds an entry.
///
/// # Errors
/// The database failed.
pub async fn insert(connection: &mut SqliteConnection, entry: &Entry<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO history (revision, seq, name, op, old_hash, spec, actor, request_id, at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(entry.revision.cast_signed())
    .bind(i64::try_from(entry.seq).unwrap_or(i64::MAX))
    .bind(entry.name)
    .bind(entry.op())
    .bind(entry.old_hash.map(|hash| &hash[..]))
    .bind(entry.spec)
    .bind(entry.actor)
    .bind(entry.request_id)
    .bind(entry.at_ms)
    .execute(connection)
    .await
    .map(drop)
}

/// Forgets what is too old.
///
/// # Errors
/// The database failed.
pub async fn compact(connection: &mut SqliteConnection, head: Revision) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM history WHERE revision <= ?")
        .bind(head.saturating_sub(RETAIN_REVISIONS).cast_signed())
        .execute(connection)
        .await
        .map(drop)
}
