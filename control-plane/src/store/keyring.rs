//! Table `keyring`: the keys that nodes share. It belongs to no revision.

use std::fmt;

use sqlx::{Row, SqliteConnection};

/// What a key is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Nodes learn it.
    Coming,
    /// It seals.
    Active,
    /// It opens what it has sealed.
    Leaving,
}

/// One key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub id: u32,
    pub secret: [u8; 32],
    pub state: KeyState,
    pub since_ms: i64,
}

/// The secret stays one.
impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, state, since_ms, .. } = self;
        write!(f, "StoredKey({id:08x}, {state:?} since {since_ms})")
    }
}

/// All keys.
///
/// # Errors
/// The database failed, or holds something else.
pub async fn load(connection: &mut SqliteConnection) -> sqlx::Result<Vec<StoredKey>> {
    let rows = sqlx::query("SELECT id, secret, state, since_ms FROM keyring ORDER BY since_ms, id");
    let rows = rows.fetch_all(connection).await?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let id = u32::try_from(row.get::<i64, _>("id")).ok()?;
        let secret = row.get::<&[u8], _>("secret").try_into().ok()?;
        let state = parse(row.get("state"))?;
        Some(StoredKey { id, secret, state, since_ms: row.get("since_ms") })
    };
    rows.iter().map(|row| read(row).ok_or(sqlx::Error::RowNotFound)).collect()
}

/// Makes these the only keys; within a transaction.
///
/// # Errors
/// The database failed.
pub async fn replace(connection: &mut SqliteConnection, keys: &[StoredKey]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM keyring").execute(&mut *connection).await?;
    for key in keys {
        sqlx::query("INSERT INTO keyring (id, secret, state, since_ms) VALUES (?, ?, ?, ?)")
            .bind(i64::from(key.id))
            .bind(&key.secret[..])
            .bind(word(key.state))
            .bind(key.since_ms)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Coming => "coming",
        KeyState::Active => "active",
        KeyState::Leaving => "leaving",
    }
}

fn parse(word: &str) -> Option<KeyState> {
    [KeyState::Coming, KeyState::Active, KeyState::Leaving]
        .into_iter()
        .find(|state| self::word(*state) == word)
}
