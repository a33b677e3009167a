//! A small MCP server as pure code: message in, messages out.
//!
//! It speaks 2024-11-05 to 2025-11-25 (`initialize`) and 2026-07-28 (`server/discover`) and has three
//! tools: `echo` (a small result), `big` (64 KiB) and `progress` (20 notifications, then the result).

mod results;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Notifications that `progress` sends before its result.
pub const PROGRESS_EVENTS: usize = 20;
/// Length of the text that `big` returns, bytes.
pub const BIG_TEXT_LEN: usize = 64 * 1024;

/// Lists so many tools, the three included. Only before the first message.
pub fn list_tools(count: usize) {
    results::list_tools(count);
}

/// One message from a client; only what decides about the answer is looked at.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Arguments<'a>,
    #[serde(borrow, default, rename = "protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Meta<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
}

/// What has to be sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it was a notification.
    None,
    /// The result of `initialize`, which opens a session.
    Session,
    /// One result.
    Result,
    /// Notifications, then a result.
    Stream,
    /// An error: no such method.
    UnknownMethod,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// If it is not a JSON object of the right shape.
    pub fn read(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// What has to be sent back.
    pub fn answer(&self) -> Answer {
        match (self.id, raw(self.method)) {
            (None, _) => Answer::None,
            (_, "\"initialize\"") => Answer::Session,
            (_, "\"tools/call\"") if raw(self.params.name) == "\"progress\"" => Answer::Stream,
            (_, "\"tools/call\"" | "\"tools/list\"" | "\"server/discover\"" | "\"ping\"") => Answer::Result,
            _ => Answer::UnknownMethod,
        }
    }

    /// Whether the client speaks 2026-07-28 or later.
    pub fn is_modern(&self) -> bool {
        self.params.meta.version.is_some()
    }

    /// Writes the last message of the answer: a result or an error.
    pub fn write_result(&self, out: &mut Vec<u8>) {
        if let Some(id) = self.id {
            results::write(self, id.get(), out);
        }
    }

    /// Writes one notification of a stream, counted from 1.
    pub fn write_progress(&self, number: usize, out: &mut Vec<u8>) {
        let token = self.params.meta.progress_token.or(self.id);
        results::write_progress(raw(token), number, out);
    }
}

fn raw(value: Option<&RawValue>) -> &str {
    value.map_or("null", RawValue::get)
}

#[cfg(test)]
mod tests;
