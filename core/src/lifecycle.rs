//! [`Lifecycle`]: when the connections of a backend start and end, who shares them, what is tried again.

use std::str::FromStr;
use std::time::Duration;

use crate::invalid::InvalidBackend;

/// Default of [`Lifecycle::idle_timeout`]: as long as an unused session lives.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Default of [`Lifecycle::lifetime_max`]: a leak of a megabyte an hour is given back before it hurts.
pub const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest time that may be asked for: less would be a restart loop.
pub const MS_MIN: u64 = 1_000;
/// Longest, a year: more is a unit mixed up.
pub const MS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;
/// Most connections kept warm: each may be a process that does nothing, and sessions that come in larger crowds
/// wait for their start as they would without.
pub const MIN_IDLE_MAX: u32 = 16;

/// Who shares a connection, and so a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Each legacy session has its own; stateless clients share one. Safe for every server: what a session
    /// leaves behind in its process is seen by no other.
    #[default]
    Session,
    /// A principal shares with no other: its legacy sessions share one, and so do its stateless calls. Nobody
    /// knows who an anonymous client is: it is served as under `Session`.
    Principal,
    /// Legacy sessions share one as well.
    Shared,
}

impl FromStr for Isolation {
    type Err = InvalidBackend;

    fn from_str(text: &str) -> Result<Self, InvalidBackend> {
        match text {
            "" | "session" => Ok(Self::Session),
            "principal" => Ok(Self::Principal),
            "shared" => Ok(Self::Shared),
            other => Err(InvalidBackend::new(
                "lifecycle.isolation",
                format!("{other:?} is not an isolation: use session, principal or shared"),
            )),
        }
    }
}

/// What is sent a second time after the backend broke off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Nothing of which a byte was written.
    #[default]
    Never,
    /// Calls of tools that say `readOnlyHint` or `idempotentHint`, and what only lists or reads.
    Idempotent,
}

impl FromStr for Retry {
    type Err = InvalidBackend;

    fn from_str(text: &str) -> Result<Self, InvalidBackend> {
        match text {
            "" | "never" => Ok(Self::Never),
            "idempotent" => Ok(Self::Idempotent),
            other => Err(InvalidBackend::new(
                "lifecycle.retry",
                format!("{other:?} is not a retry rule: use never or idempotent"),
            )),
        }
    }
}

/// What becomes of a legacy session that is lost with its process or its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Its client is told, and starts a new one.
    #[default]
    None,
    /// It is opened anew with the handshake of its client. What the server kept in it is lost.
    Recreate,
}

impl FromStr for Recovery {
    type Err = InvalidBackend;

    fn from_str(text: &str) -> Result<Self, InvalidBackend> {
        match text {
            "" | "none" => Ok(Self::None),
            "recreate" => Ok(Self::Recreate),
            other => Err(InvalidBackend::new(
                "lifecycle.recovery",
                format!("{other:?} is not a recovery: use none or recreate"),
            )),
        }
    }
}

/// `None` means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    pub isolation: Isolation,
    /// Connections that are kept although nobody uses them: the shared one, and as many processes for the next
    /// sessions.
    pub min_idle: u32,
    /// After so long without use a shared process ends.
    pub idle_timeout: Option<Duration>,
    /// Age at which a shared connection is replaced, and a session ends as soon as it is quiet.
    pub lifetime_max: Option<Duration>,
    pub retry: Retry,
    pub recovery: Recovery,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            min_idle: 0,
            idle_timeout: Some(IDLE_TIMEOUT),
            lifetime_max: Some(LIFETIME_MAX),
            retry: Retry::default(),
            recovery: Recovery::default(),
        }
    }
}

/// A time of the definition: zero is never, and the rest has bounds.
///
/// # Errors
/// It lies outside [`MS_MIN`] to [`MS_MAX`].
pub fn time(field: &str, ms: u64) -> Result<Option<Duration>, InvalidBackend> {
    match ms {
        0 => Ok(None),
        MS_MIN..=MS_MAX => Ok(Some(Duration::from_millis(ms))),
        _ => Err(InvalidBackend::new(
            format!("lifecycle.{field}"),
            format!("{ms} ms is out of bounds: use {MS_MIN} to {MS_MAX}, or 0 for never"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_times_have_bounds_and_say_so() {
        assert_eq!("".parse(), Ok(Isolation::Session));
        assert_eq!("shared".parse(), Ok(Isolation::Shared));
        assert_eq!("principal".parse(), Ok(Isolation::Principal));
        assert!("user".parse::<Isolation>().unwrap_err().to_string().contains("principal"));
        assert_eq!("idempotent".parse(), Ok(Retry::Idempotent));
        assert!("always".parse::<Retry>().is_err());
        assert_eq!("recreate".parse(), Ok(Recovery::Recreate));
        assert!("restore".parse::<Recovery>().is_err());
        assert_eq!(time("idle_timeout_ms", 0), Ok(None));
        assert_eq!(time("idle_timeout_ms", 1000), Ok(Some(Duration::from_secs(1))));
        for ms in [1, MS_MAX + 1, u64::MAX] {
            assert_eq!(time("lifetime_max_ms", ms).unwrap_err().field, "lifecycle.lifetime_max_ms");
        }
    }
}
