//! Every part that reads what strangers send, driven by any bytes. Fuzzing looks for a panic, and what it
//! kept is replayed by ordinary tests: `docs/fuzzing.md`.
//!
//! - [`envelope`]: a message, beside `serde_json`
//! - [`sse`], [`lines`]: a stream cut into pieces, beside a decoder that sees it whole
//! - [`headers`]: a header field, beside the words of the specification
//! - [`crate::token::replay`], [`crate::bridge::replay`], [`crate::aggregate::replay`]: the others

pub mod envelope;
pub mod headers;
pub mod lines;
mod pieces;
pub mod sse;

use crate::{aggregate, bridge, token};

/// What is fuzzed: a name, and what panics if a promise is broken.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 8] = [
    ("aggregate", aggregate::replay::run),
    ("bridge_legacy_lane", bridge::replay::any_lane),
    ("bridge_legacy_session", bridge::replay::any_session),
    ("envelope", envelope::run),
    ("headers", headers::run),
    ("lines", lines::run),
    ("sse", sse::run),
    ("token", token::replay::run),
];
