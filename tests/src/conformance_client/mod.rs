//! A scripted client for the client mode of the official conformance suite: the suite starts a server for one
//! scenario, the client plays it there, and the suite judges what has arrived. Through the gateway that is what
//! the gateway made of it.
//!
//! Reading order:
//!
//! * [`target`]: where a scenario is played, and in which era; [`gateway`]: the gateway in between;
//! * [`client`]: a client of either era with the same verbs; [`mirror`]: which headers repeat arguments;
//!   [`form`]: how questions to the user are answered;
//! * [`scenarios`]: the list.
//!
//! The `omcp-conformance-client` program plays one of them, `cargo xtask conformance client` all.

pub mod client;
pub mod form;
pub mod gateway;
pub mod mirror;
pub mod scenarios;
pub mod target;
