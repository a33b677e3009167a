//! Table `backend`: the newest state of every backend, tombstones included.

use std::sync::Arc;

use futures_util::TryStreamExt;
use omcp_core::Revision;
use omcp_core::revision::spec_hash;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::publish::Table;
use crate::record::{Op, Record};

/// Reads everything into `table`.
///
/// # Errors
/// The database failed or holds a row of the wrong shape.
pub async fn load(connection: &mut SqliteConnection, table: &mut Table) -> sqlx::Result<()> {
    let mut rows = sqlx::query(
        "SELECT name, uid, generation, revision, spec, deleted, create_ms, update_ms FROM backend ORDER BY name",
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let name: Arc<str> = row.try_get::<&str, _>("name")?.into();
        let record = record(&row)?;
        if row.try_get("deleted")? {
            table.load_tombstone(name, record.revision);
        } else {
            table.load(name, record);
        }
    }
    Ok(())
}

fn record(row: &SqliteRow) -> sqlx::Result<Record> {
    let spec: Vec<u8> = row.try_get("spec")?;
    Ok(Record {
        uid: bytes16(row, "uid")?,
        generation: row.try_get::<i64, _>("generation")?.cast_unsigned(),
        revision: row.try_get::<i64, _>("revision")?.cast_unsigned(),
        // Computed, not stored: so a damaged spec shows in the digest.
        hash: spec_hash(&spec),
        spec: spec.into(),
        create_ms: row.try_get("create_ms")?,
        update_ms: row.try_get("update_ms")?,
    })
}

fn bytes16(row: &SqliteRow, column: &'static str) -> sqlx::Result<[u8; 16]> {
    let wrong = |error| sqlx::Error::ColumnDecode { index: column.into(), source: Box::new(error) };
    row.try_get::<&[u8], _>(column)?.try_into().map_err(wrong)
}

/// Writes one change.
///
/// # Errors
/// The database failed.
pub async fn write(
    connection: &mut SqliteConnection,
    revision: Revision,
    op: &Op,
    now_ms: i64,
) -> sqlx::Result<()> {
    match op {
        Op::Put(name, record) => put(connection, name, record).await,
        Op::Delete(name) => delete(connection, name, revision, now_ms).await,
    }
}

async fn put(connection: &mut SqliteConnection, name: &str, record: &Record) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO backend (name, uid, generation, revision, spec, deleted, create_ms, update_ms)
         VALUES (?, ?, ?, ?, ?, 0, ?, ?)
         ON CONFLICT (name) DO UPDATE SET uid = excluded.uid, generation = excluded.generation,
             revision = excluded.revision, spec = excluded.spec, deleted = 0,
             create_ms = excluded.create_ms, update_ms = excluded.update_ms",
    )
    .bind(name)
    .bind(&record.uid[..])
    .bind(record.generation.cast_signed())
    .bind(record.revision.cast_signed())
    .bind(&record.spec[..])
    .bind(record.create_ms)
    .bind(record.update_ms)
    .execute(connection)
    .await
    .map(drop)
}

async fn delete(
    connection: &mut SqliteConnection,
    name: &str,
    revision: Revision,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE backend SET deleted = 1, spec = x'', revision = ?, update_ms = ? WHERE name = ?")
        .bind(revision.cast_signed())
        .bind(now_ms)
        .bind(name)
        .execute(connection)
        .await
        .map(drop)
}

/// Forgets tombstones up to `floor`.
///
/// # Errors
/// The database failed.
pub async fn compact(connection: &mut SqliteConnection, floor: Revision) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM backend WHERE deleted = 1 AND revision <= ?")
        .bind(floor.cast_signed())
        .execute(connection)
        .await
        .map(drop)
}
