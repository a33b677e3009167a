//! Table `request`: answers already given, so that a request sent twice is done once.

use bytes::Bytes;
use sqlx::{Row, SqliteConnection};

use crate::error::Error;
use crate::store::intent::RequestKey;

/// How long an answer is kept, as the API promises.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The answer given to this request before.
///
/// # Errors
/// The id was used for another request, or the database failed.
pub async fn find(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    now_ms: i64,
) -> Result<Option<Bytes>, Error> {
    let row = sqlx::query("SELECT body, answer FROM request WHERE id = ? AND at_ms > ?")
        .bind(&key.id)
        .bind(now_ms - KEPT_MS)
        .fetch_optional(connection)
        .await?;
    match row {
        None => Ok(None),
        Some(row) if row.get::<&[u8], _>("body") == key.body => {
            Ok(Some(row.get::<Vec<u8>, _>("answer").into()))
        }
        Some(_) => Err(Error::RequestIdReused(key.id.clone())),
    }
}

/// Keeps an answer.
///
/// # Errors
/// The database failed.
pub async fn insert(
    connection: &mut SqliteConnection,
    key: &RequestKey,
    answer: &[u8],
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query("INSERT OR REPLACE INTO request (id, body, answer, at_ms) VALUES (?, ?, ?, ?)")
        .bind(&key.id)
        .bind(&key.body[..])
        .bind(answer)
        .bind(now_ms)
        .execute(connection)
        .await
        .map(drop)
}

/// Forgets what is too old.
///
/// # Errors
/// The database failed.
pub async fn compact(connection: &mut SqliteConnection, now_ms: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM request WHERE at_ms <= ?")
        .bind(now_ms - KEPT_MS)
        .execute(connection)
        .await
        .map(drop)
}
