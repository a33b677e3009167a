//! MCP as pure code: no I/O, no clock, no runtime. Everything here takes bytes and gives bytes or facts.
//!
//! In reading order:
//!
//! - [`revision`]: the protocol revisions and their two eras
//! - [`methods`]: method names, and which era knows them
//! - [`json`]: a checked walk over JSON text that builds nothing
//! - [`envelope`]: what one JSON-RPC message says about itself, found in one pass
//! - [`batch`]: the array form that only 2025-03-26 had
//! - [`object`]: reading single members out of text that was already checked
//! - [`splice`]: changing a message without decoding it
//! - [`compose`]: writing small messages
//! - [`refusal`]: an answer that says no, with its HTTP status
//! - [`header_value`]: MCP values inside HTTP header fields
//! - [`admit`]: the rules a request has to pass, in order
//! - [`classify`]: which era and operation an HTTP request belongs to
//! - [`bridge`]: clients of one era with servers of the other, as state machines
//! - [`aggregate`]: many backends behind one endpoint
//! - [`token`]: state that clients carry for the gateway, sealed
//! - [`lines`], [`sse`]: framing of pipes and event streams
//! - [`replay`]: all that strangers send, driven by any bytes, for fuzzing

pub mod admit;
pub mod aggregate;
pub mod batch;
pub mod bridge;
pub mod classify;
pub mod compose;
pub mod envelope;
pub mod header_value;
pub mod json;
pub mod lines;
pub mod methods;
pub mod object;
pub mod refusal;
pub mod replay;
pub mod revision;
pub mod splice;
pub mod sse;
pub mod token;
