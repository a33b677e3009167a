//! Test fixtures for the gateway.
//!
//! Reading order:
//!
//! * [`fixture`]: a strict MCP server of our own, independent of every gateway crate. It speaks the
//!   handshake revisions (2024-11-05 to 2025-11-25) and the stateless revision (2026-07-28) side by side, over
//!   stdio, Streamable HTTP, HTTP+SSE and as an AWS Lambda function. The `omcp-fixture` program is its command line.
//! * [`harness`]: the real programs as processes, and small MCP clients, for the integration suite.
//! * [`faults`]: a TCP proxy with the faults of networks, also as the program `omcp-fault-proxy`.
//! * [`chaos`]: scenarios of kills, cuts and edits under load, played by the `omcp-chaos` program.
//! * [`conformance_client`]: scenarios of the official conformance suite in client mode, played by the
//!   `omcp-conformance-client` program.
//! * [`kit`]: the conformance kit of the runtimes, run over every type by the `omcp-kit` program.

pub mod chaos;
pub mod conformance_client;
pub mod faults;
pub mod fixture;
pub mod harness;
pub mod kit;
