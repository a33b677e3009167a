//! [`Level`]: how severe a log message is.

use super::message::Message;
use crate::json;
use crate::methods::LOG_LEVELS;

/// A log level of RFC 5424; the more severe, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Level(usize);

impl Level {
    /// What legacy clients get that never set a level, because legacy servers log by default.
    pub const INFO: Self = Self(1);

    pub fn parse(name: &str) -> Option<Self> {
        LOG_LEVELS.iter().position(|level| *level == name).map(Self)
    }

    pub fn as_str(self) -> &'static str {
        LOG_LEVELS[self.0]
    }

    /// The level of a `notifications/message`. What has none is taken as most severe: nobody shall miss it.
    pub fn of(notification: Message<'_>) -> Self {
        let named = notification.param("level").and_then(json::text);
        named.and_then(|name| Self::parse(&name)).unwrap_or(Self(LOG_LEVELS.len() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_by_severity() {
        assert_eq!(Level::parse("info"), Some(Level::INFO));
        assert!(Level::parse("debug").unwrap() < Level::INFO);
        assert!(Level::parse("emergency").unwrap() > Level::parse("error").unwrap());
        assert_eq!(Level::parse("loud"), None);
        assert_eq!(Level::INFO.as_str(), "info");
    }
}
