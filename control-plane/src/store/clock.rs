//! The time, for people.

/// Milliseconds since 1970. For people: no decision depends on it but the age of request ids.
pub fn now_ms() -> i64 {
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}
