//! Every row of the table, in one run.
//!
//! The load and the backends run on one core, the program under test on the other. Ours and the yardstick
//! take turns, round by round, so that a machine that slows down slows both.
//!
//! - [`pair`]: one endpoint of ours and one of a yardstick, measured in turns
//! - [`hops`]: the rows of the call path
//! - [`aggregate`]: the rows of many backends behind one endpoint
//! - [`fleet`]: the rows of the control plane
//! - [`table`]: rows, verdicts, and how they are printed

mod aggregate;
mod fleet;
mod hops;
mod machine;
mod pair;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use self::table::Table;
use crate::gateway::Gateway;
use crate::process;
use crate::sync::LOAD_CORE;

/// Arguments of `all`.
#[derive(Debug, Default, clap::Args)]
#[group(id = "all")]
pub struct Args {
    /// Directory of the gateway's programs [default: that of this program]
    #[arg(long)]
    gateway_bin_dir: Option<PathBuf>,
    /// Compare the yardsticks with themselves: what the table shows then is the noise of the machine.
    #[arg(long, conflicts_with_all = ["gateway_bin_dir", "fleet_only", "aggregate_only"])]
    noise: bool,
    /// Fewer and shorter rounds: about a minute, with wider margins of error.
    #[arg(long)]
    quick: bool,
    /// Only the rows of the call path.
    #[arg(long)]
    hops_only: bool,
    /// Only the rows of the control plane.
    #[arg(long, conflicts_with = "hops_only")]
    fleet_only: bool,
    /// Only the rows of the aggregate.
    #[arg(long, conflicts_with_all = ["hops_only", "fleet_only"])]
    aggregate_only: bool,
}

impl Args {
    fn bin_dir(&self) -> Result<PathBuf> {
        match &self.gateway_bin_dir {
            Some(bin_dir) => Ok(bin_dir.clone()),
            None => {
                Ok(std::env::current_exe()?.parent().context("this program is in no directory")?.to_owned())
            }
        }
    }
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
    /// Lists of many backends, one after the other.
    lists: usize,
}

impl Effort {
    fn new(quick: bool) -> Self {
        if quick {
            Self { rounds: 3, round: Duration::from_secs(1), changes: 300, lists: 1_000 }
        } else {
            Self { rounds: 7, round: Duration::from_secs(2), changes: 1000, lists: 10_000 }
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
    let gateway = Gateway::new(&args.bin_dir()?, work_dir.path());
    let gateway = (!args.noise).then_some(gateway);
    let effort = Effort::new(args.quick);
    let mut table = Table::new();
    if !args.fleet_only && !args.aggregate_only {
        hops::measure(gateway.as_ref(), effort, &mut table)?;
    }
    if let (Some(gateway), false) = (&gateway, args.hops_only || args.fleet_only) {
        aggregate::measure(gateway, effort, &mut table)?;
    }
    if let (Some(gateway), false) = (&gateway, args.hops_only || args.aggregate_only) {
        fleet::measure(gateway, effort, &mut table)?;
    }
    Ok(table.finish())
}
