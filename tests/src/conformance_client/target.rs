//! Where a scenario is played, and as whom.

use serde_json::Value;

use crate::harness::client::modern;

pub struct Target {
    /// Where the server is, or the gateway in front of it.
    pub url: String,
    pub era: Era,
    /// What the suite wants the client to know; null if nothing.
    pub context: Value,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Era {
    Legacy,
    Modern,
}

impl Era {
    /// The era of a client that plays a scenario about `revision`.
    pub fn of(revision: &str) -> Self {
        if revision == modern::VERSION { Self::Modern } else { Self::Legacy }
    }
}
