//! Chores of the workspace.
//!
//! - [`report`]: rows, and the line at the end
//! - [`process`]: a program with a log and a deadline
//! - [`folders`]: where things are
//! - [`cargo`]: the steps that are cargo commands
//! - [`tools`]: pinned tools from npm and PyPI
//! - [`stage`]: the gateway's own programs, started around a manifest
//! - [`kit`]: the conformance kit of the runtimes, over every type
//! - [`chaos`]: what the gateway bears, scenario by scenario
//! - [`fuzz`]: whatever strangers may send, found by libFuzzer
//! - [`conformance`]: the official suite, directly and through the gateway
//! - [`interop`]: other people's clients and servers, directly and through the gateway

mod cargo;
mod chaos;
mod conformance;
mod folders;
mod fuzz;
mod interop;
mod kit;
mod process;
mod report;
mod stage;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::Report;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the workspace")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that has to pass: format, lints, unit, integration, runtimes, chaos, conformance, interop,
    /// schemas, protos
    Test,
    /// Tests beside the code and in its documentation
    Unit,
    /// The integration suite, which runs the real programs
    It {
        /// Only stories whose name contains this
        filter: Option<String>,
    },
    /// The conformance kit of the runtimes, over every type
    Kit {
        /// After it, kill a peer of every type this often under load, and print how soon it serves again
        #[arg(long, value_name = "N")]
        kills: Option<u32>,
    },
    /// Kills, cuts and edits under load; prints what came of it
    Chaos(chaos::Options),
    /// Each target of `fuzz/` for a while; prints how many inputs it was given
    Fuzz(fuzz::Options),
    /// The official MCP conformance suite, directly and through the gateway
    Conformance {
        /// Only this mode of the suite: what it judges is a server, or a client
        mode: Option<conformance::Mode>,
    },
    /// Other people's clients and servers, directly and through the gateway
    Interop {
        /// Only pairs whose name contains this
        #[arg(default_value = "")]
        filter: String,
    },
    /// Clients at servers of the other era, and at the endpoint of all backends
    Matrix(interop::Options),
    /// The gateway beside the barest possible proxy, in release builds
    Bench {
        /// Options of the benchmark program
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Write the settings schemas of the built-in runtimes into the control plane
    Schemas,
    /// Install the pinned tools that the other chores use
    Setup,
}

fn main() -> ExitCode {
    let mut report = Report::default();
    match Arguments::parse().chore {
        Chore::Test => test(&mut report),
        Chore::Unit => cargo::unit(&mut report),
        Chore::It { filter } => cargo::integration(&mut report, filter.as_deref()),
        Chore::Kit { kills } => {
            kit::run(&mut report, true);
            if let Some(kills) = kills {
                cargo::kills(&mut report, kills);
            }
        }
        Chore::Chaos(options) => chaos::run(&mut report, &options),
        Chore::Fuzz(options) => fuzz::run(&mut report, &options),
        Chore::Conformance { mode } => conformance::run(&mut report, mode),
        Chore::Interop { filter } => interop::run(&mut report, &filter),
        Chore::Matrix(options) => interop::matrix(&mut report, &options),
        Chore::Bench { options } => cargo::bench(&mut report, &options),
        Chore::Schemas => cargo::schemas(&mut report),
        Chore::Setup => tools::setup(&mut report),
    }
    report.end()
}

fn test(report: &mut Report) {
    cargo::format(report);
    cargo::clippy(report);
    cargo::unit(report);
    cargo::integration(report, None);
    tools::protos(report);
    tools::plugin_stubs(report);
    kit::run(report, false);
    chaos::run(report, &chaos::Options::default());
    conformance::run(report, None);
    interop::run(report, "");
    interop::matrix(report, &interop::Options::default());
}
