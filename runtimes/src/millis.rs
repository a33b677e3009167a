//! [`Millis`]: a duration inside settings.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest duration a setting may name: what is meant to wait longer is no wait any more.
pub const MILLIS_MAX: u64 = 3_600_000;

/// Milliseconds between 1 and [`MILLIS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u64")]
pub struct Millis(u64);

impl Millis {
    /// A default. Out of bounds it is moved to the nearest bound.
    pub const fn new(millis: u64) -> Self {
        match millis {
            0 => Self(1),
            1..=MILLIS_MAX => Self(millis),
            _ => Self(MILLIS_MAX),
        }
    }

    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl TryFrom<u64> for Millis {
    type Error = String;

    fn try_from(millis: u64) -> Result<Self, String> {
        match millis {
            1..=MILLIS_MAX => Ok(Self(millis)),
            _ => Err(format!("milliseconds have to be between 1 and {MILLIS_MAX}")),
        }
    }
}

impl JsonSchema for Millis {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        for (text, fits) in [("1", true), ("3600000", true), ("0", false), ("3600001", false), ("-1", false)]
        {
            assert_eq!(serde_json::from_str::<Millis>(text).is_ok(), fits, "{text}");
        }
        assert_eq!(Millis::new(250).duration(), Duration::from_millis(250));
    }
}
