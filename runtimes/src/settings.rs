//! Nouns of settings: numbers with a unit, bounds and a default.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest duration a setting may name: what is meant to wait longer is no wait any more.
pub const MILLIS_MAX: u64 = 3_600_000;
/// Shortest limit for the length of a message, bytes: below this not even a handshake fits.
pub const MESSAGE_LEN_MIN: usize = 1024;
/// Longest limit for the length of a message, bytes: a message is held in memory as a whole.
pub const MESSAGE_LEN_MAX: usize = 256 * 1024 * 1024;

/// Milliseconds between 1 and [`MILLIS_MAX`], `DEFAULT` where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u64")]
pub struct Millis<const DEFAULT: u64 = MILLIS_MAX>(u64);

impl<const DEFAULT: u64> Millis<DEFAULT> {
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const DEFAULT: u64> Default for Millis<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const DEFAULT: u64> TryFrom<u64> for Millis<DEFAULT> {
    type Error = String;

    fn try_from(millis: u64) -> Result<Self, String> {
        match millis {
            1..=MILLIS_MAX => Ok(Self(millis)),
            _ => Err(format!("milliseconds have to be between 1 and {MILLIS_MAX}")),
        }
    }
}

impl<const DEFAULT: u64> JsonSchema for Millis<DEFAULT> {
    fn schema_name() -> Cow<'static, str> {
        "Millis".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MILLIS_MAX })
    }
}

/// Bytes of the longest message accepted: [`MESSAGE_LEN_MIN`] to [`MESSAGE_LEN_MAX`], by default 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "usize")]
pub struct MessageLen(usize);

impl MessageLen {
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl Default for MessageLen {
    fn default() -> Self {
        Self(16 * 1024 * 1024)
    }
}

impl TryFrom<usize> for MessageLen {
    type Error = String;

    fn try_from(bytes: usize) -> Result<Self, String> {
        match bytes {
            MESSAGE_LEN_MIN..=MESSAGE_LEN_MAX => Ok(Self(bytes)),
            _ => Err(format!("bytes have to be between {MESSAGE_LEN_MIN} and {MESSAGE_LEN_MAX}")),
        }
    }
}

impl JsonSchema for MessageLen {
    fn schema_name() -> Cow<'static, str> {
        "MessageLen".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MESSAGE_LEN_MIN, "maximum": MESSAGE_LEN_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        for (text, fits) in [("1", true), ("3600000", true), ("0", false), ("3600001", false), ("-1", false)]
        {
            assert_eq!(serde_json::from_str::<Millis>(text).is_ok(), fits, "{text}");
        }
        for (text, fits) in [("1024", true), ("1023", false), ("268435456", true), ("268435457", false)] {
            assert_eq!(serde_json::from_str::<MessageLen>(text).is_ok(), fits, "{text}");
        }
        assert_eq!(Millis::<250>::default().duration(), Duration::from_millis(250));
        assert_eq!(MessageLen::default().bytes(), 16_777_216);
    }
}
