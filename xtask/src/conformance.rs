//! The official MCP conformance suite, directly and through the gateway, which has to be judged alike.
//!
//! - [`suite`]: its program
//! - [`checks`]: what it found in one run
//! - [`verdict`]: two runs compared, and what may differ
//! - [`server`]: it judges our fixture server; [`client`]: it judges a scripted client

mod checks;
mod client;
mod server;
mod suite;
mod verdict;

use clap::ValueEnum;

use crate::cargo;
use crate::report::Report;

/// What the suite judges.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A server of ours, which the gateway serves
    Server,
    /// A client of ours, whose requests the gateway makes
    Client,
}

/// One mode, or both.
pub fn run(report: &mut Report, only: Option<Mode>) {
    if !cargo::programs(report) {
        return;
    }
    let wanted = |mode| only.is_none_or(|only| only == mode);
    if wanted(Mode::Server) {
        server::run(report);
    }
    if wanted(Mode::Client) {
        client::run(report);
    }
}
