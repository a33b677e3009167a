//! Every row of the table, in one run.
//!
//! The load and the backends run on one core, the program under test on the other. Ours and the yardstick
//! take turns, round by round, so that a machine that slows down slows both.
//!
//! - [`pair`]: one endpoint of ours and one of a yardstick, measured in turns
//! - [`hops`]: the rows of the call path
//! - [`fleet`]: the rows of the control plane
//! - [`table`]: rows, verdicts, and how they are printed

mod fleet;
mod hops;
mod machine;
mod pair;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use self::table::Table;
use crate::gateway::Gateway;
use crate::process;
use crate::sync::LOAD_CORE;

/// Arguments of `all`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the gateway's programs; without it the yardsticks are compared with themselves.
    #[arg(long)]
    gateway_bin_dir: Option<PathBuf>,
    /// Fewer and shorter rounds: about a minute, with wider margins of error.
    #[arg(long)]
    quick: bool,
    /// Only the rows of the call path.
    #[arg(long)]
    hops_only: bool,
    /// Only the rows of the control plane.
    #[arg(long, conflicts_with = "hops_only")]
    fleet_only: bool,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Rounds of each row; each is one run of ours and one of the yardstick.
    rounds: usize,
    /// Length of a run.
    round: Duration,
    /// Changes on their way to one node, and to many.
    changes: usize,
}

impl Effort {
    fn new(quick: bool) -> Self {
        if quick {
            Self { rounds: 3, round: Duration::from_secs(1), changes: 300 }
        } else {
            Self { rounds: 7, round: Duration::from_secs(2), changes: 1000 }
        }
    }
}

/// Measures everything and prints the table. The exit code tells whether every target is met.
///
/// # Errors
/// If a program does not start or a call fails.
pub fn run(args: &Args) -> Result<ExitCode> {
    machine::print()?;
    process::pin(LOAD_CORE)?;
    let work_dir = tempfile::tempdir()?;
    let gateway = args.gateway_bin_dir.as_deref().map(|bin_dir| Gateway::new(bin_dir, work_dir.path()));
    let effort = Effort::new(args.quick);
    let mut table = Table::new();
    if !args.fleet_only {
        hops::measure(gateway.as_ref(), work_dir.path(), effort, &mut table)?;
    }
    if let (Some(gateway), false) = (&gateway, args.hops_only) {
        fleet::measure(gateway, work_dir.path(), effort, &mut table)?;
    }
    Ok(table.finish())
}
