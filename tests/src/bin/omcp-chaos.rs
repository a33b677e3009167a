//! Plays one scenario of [`omcp_tests::chaos`] and prints its rows, `DONE<TAB>FIGURE<TAB>LIMIT<TAB>VERDICT`;
//! what led to them goes to standard error. `--list` prints the names.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use omcp_tests::chaos::plan::Plan;
use omcp_tests::chaos::row::Verdict;
use omcp_tests::chaos::scenarios::SCENARIOS;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "omcp-chaos", version, about = "Plays what the gateway has to bear")]
struct Arguments {
    /// Print the names of the scenarios, and what each does.
    #[arg(long)]
    list: bool,
    /// The long form, which judges times as well.
    #[arg(long)]
    long: bool,
    /// Everything random comes from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Calls a second; 60 in the short form and 500 in the long one unless this is given.
    #[arg(long)]
    rate: Option<u32>,
    /// Which one.
    scenario: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("omcp-chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool> {
    if arguments.list {
        SCENARIOS.iter().for_each(|scenario| println!("{}\t{}", scenario.name, scenario.about));
        return Ok(true);
    }
    let name = arguments.scenario.context("name a scenario, see --list")?;
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
    let scenario = scenario.with_context(|| format!("no scenario is called {name}, see --list"))?;
    let plan = Plan { is_long: arguments.long, seed: arguments.seed, rate: arguments.rate };
    let rows = tokio::select! {
        rows = scenario.run(plan) => rows?,
        // What it started ends with the future.
        stopped = stopped() => return stopped.and(Err(anyhow::anyhow!("stopped by a signal"))),
    };
    rows.iter().for_each(|row| println!("{row}"));
    Ok(rows.iter().all(|row| row.verdict != Verdict::Failed))
}

async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}
