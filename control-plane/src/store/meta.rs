//! Table `store_meta`: who this store is, and where it stands.

use omcp_core::{Digest, Epoch, Revision};
use sqlx::{Row, SqliteConnection};

/// The one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub epoch: Epoch,
    pub revision: Revision,
    pub compacted: Revision,
    pub digest: Digest,
}

/// A random epoch.
pub fn new_epoch() -> Epoch {
    Epoch(*uuid::Uuid::new_v4().as_bytes())
}

/// Reads the row; writes it first, with a new epoch, in a new database.
///
/// # Errors
/// The database failed.
pub async fn read_or_init(connection: &mut SqliteConnection) -> sqlx::Result<Meta> {
    sqlx::query(
        "INSERT OR IGNORE INTO store_meta (id, epoch, revision, compacted, digest) VALUES (1, ?, 0, 0, ?)",
    )
    .bind(&new_epoch().0[..])
    .bind(&Digest::default().to_bytes()[..])
    .execute(&mut *connection)
    .await?;
    read(connection).await
}

/// Reads the row.
///
/// # Errors
/// The database failed.
pub async fn read(connection: &mut SqliteConnection) -> sqlx::Result<Meta> {
    let row = sqlx::query("SELECT epoch, revision, compacted, digest FROM store_meta WHERE id = 1")
        .fetch_one(connection)
        .await?;
    Ok(Meta {
        epoch: Epoch::from_slice(row.get("epoch")).ok_or(sqlx::Error::RowNotFound)?,
        revision: row.get::<i64, _>("revision").cast_unsigned(),
        compacted: row.get::<i64, _>("compacted").cast_unsigned(),
        digest: Digest::from_slice(row.get("digest")).ok_or(sqlx::Error::RowNotFound)?,
    })
}

/// Takes the next revision. The counter is a row that stays locked until COMMIT, so the order of
/// commits is the order of revisions, without gaps.
///
/// # Errors
/// The database failed.
pub async fn next_revision(connection: &mut SqliteConnection, digest: Digest) -> sqlx::Result<Revision> {
    sqlx::query_scalar::<_, i64>(
        "UPDATE store_meta SET revision = revision + 1, digest = ? WHERE id = 1 RETURNING revision",
    )
    .bind(&digest.to_bytes()[..])
    .fetch_one(connection)
    .await
    .map(i64::cast_unsigned)
}

/// Overwrites epoch, revision and compaction point.
///
/// # Errors
/// The database failed.
pub async fn start_epoch(
    connection: &mut SqliteConnection,
    epoch: Epoch,
    revision: Revision,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE store_meta SET epoch = ?, revision = ?, compacted = ? WHERE id = 1")
        .bind(&epoch.0[..])
        .bind(revision.cast_signed())
        .bind(revision.cast_signed())
        .execute(connection)
        .await
        .map(drop)
}

/// Moves the compaction point.
///
/// # Errors
/// The database failed.
pub async fn set_compacted(connection: &mut SqliteConnection, floor: Revision) -> sqlx::Result<()> {
    sqlx::query("UPDATE store_meta SET compacted = ? WHERE id = 1")
        .bind(floor.cast_signed())
        .execute(connection)
        .await
        .map(drop)
}
