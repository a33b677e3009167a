//! Table `revision_digest`: what was held at recent revisions, so that a resume can prove itself.

use futures_util::TryStreamExt;
use omcp_core::{Digest, Revision};
use sqlx::{Row, SqliteConnection};

use crate::publish::Table;

/// Reads everything into `table`.
///
/// # Errors
/// The database failed.
pub async fn load(connection: &mut SqliteConnection, table: &mut Table) -> sqlx::Result<()> {
    let mut rows = sqlx::query("SELECT revision, digest FROM revision_digest").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if let Some(digest) = Digest::from_slice(row.try_get("digest")?) {
            table.load_digest(row.try_get::<i64, _>("revision")?.cast_unsigned(), digest);
        }
    }
    Ok(())
}

/// Keeps the digest of a revision.
///
/// # Errors
/// The database failed.
pub async fn insert(
    connection: &mut SqliteConnection,
    revision: Revision,
    digest: Digest,
) -> sqlx::Result<()> {
    sqlx::query("INSERT OR REPLACE INTO revision_digest (revision, digest) VALUES (?, ?)")
        .bind(revision.cast_signed())
        .bind(&digest.to_bytes()[..])
        .execute(connection)
        .await
        .map(drop)
}

/// Forgets the digests below `floor`.
///
/// # Errors
/// The database failed.
pub async fn compact(connection: &mut SqliteConnection, floor: Revision) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM revision_digest WHERE revision < ?")
        .bind(floor.cast_signed())
        .execute(connection)
        .await
        .map(drop)
}
