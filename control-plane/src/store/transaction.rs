//! Transactions and savepoints, as plain statements.
//!
//! SQLite may roll back a whole transaction by itself, for example when the disk is full. A count
//! of open transactions on our side would be wrong from then on; SQLite's own state never is.

use sqlx::{Executor, SqliteConnection};

/// Takes the write lock at once: a transaction that upgrades later may fail without waiting.
///
/// # Errors
/// The database failed.
pub async fn begin(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    execute(connection, "BEGIN IMMEDIATE").await
}

/// # Errors
/// The database failed; whether it has committed is for `store_meta` to say.
pub async fn commit(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    execute(connection, "COMMIT").await
}

/// Leaves no transaction open, whatever happened.
pub async fn abandon(connection: &mut SqliteConnection) {
    // "No transaction is active" is what is wanted.
    let _ = execute(connection, "ROLLBACK").await;
}

/// # Errors
/// The database failed.
pub async fn save(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    execute(connection, "SAVEPOINT one_write").await
}

/// # Errors
/// The database failed.
pub async fn release(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    execute(connection, "RELEASE one_write").await
}

/// # Errors
/// The database failed, or has rolled back the whole transaction before.
pub async fn roll_back(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    execute(connection, "ROLLBACK TO one_write").await?;
    release(connection).await
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
    connection.execute(sql).await.map(drop)
}
