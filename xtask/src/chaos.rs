//! What the gateway bears: the scenarios of `omcp-chaos`, one row of the report each.
//!
//! The short form runs what every `cargo build` has built anyway, so that it can be a step of `test`; it judges
//! no times. The long one judges them and so runs a release build, on a machine that does nothing else.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::report::{Counts, Report};
use crate::{cargo, folders, process};

/// The longest scenario lasts half an hour; this is for one that hangs.
const LONG_LIMIT: Duration = Duration::from_secs(90 * 60);
const SHORT_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Failures show what led to them.
const SHOWN_LINES: usize = 40;

/// What to play.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Minutes instead of seconds, judged times, a release build: about an hour and a half
    #[arg(long)]
    long: bool,
    /// Everything random comes from it; it is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Only these
    scenarios: Vec<String>,
}

pub fn run(report: &mut Report, options: &Options) {
    let built = if options.long { cargo::release(report) } else { cargo::programs(report) };
    if !built {
        return;
    }
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000);
    println!("chaos, seed {seed}{}", if options.long { ", long" } else { "" });
    match names(options) {
        Ok(names) => {
            for name in names {
                report.step(&format!("chaos {name}"), || one(&name, seed, options.long));
            }
        }
        Err(error) => report.step("chaos", || Err(error)),
    }
}

fn names(options: &Options) -> Result<Vec<String>> {
    let mut list = Command::new(program(options.long));
    let ended = process::run("chaos", list.arg("--list"), SHORT_LIMIT)?.success()?;
    let known = || ended.output.lines().filter_map(|line| Some(line.split_once('\t')?.0.to_owned()));
    let unknown = options.scenarios.iter().find(|wanted| known().all(|name| name != **wanted));
    ensure!(
        unknown.is_none(),
        "no scenario is called {}; there are {}",
        unknown.map_or("", String::as_str),
        known().collect::<Vec<_>>().join(", ")
    );
    let wanted = |name: &String| options.scenarios.is_empty() || options.scenarios.contains(name);
    Ok(known().filter(wanted).collect())
}

fn one(name: &str, seed: u64, long: bool) -> Result<Counts> {
    let limit = if long { LONG_LIMIT } else { SHORT_LIMIT };
    let mut command = Command::new(program(long));
    command.arg(name).args(["--seed", &seed.to_string()]).args(long.then_some("--long"));
    let log = format!("chaos-{name}");
    let ended = process::run_apart(&log, &mut command, limit)
        .with_context(|| format!("see {log}.errors.log; to repeat: --seed {seed} {name}"))?;
    let mut counts = Counts::default();
    for line in ended.output.lines() {
        let [done, figure, limit, verdict] = line.split('\t').collect::<Vec<_>>()[..] else {
            anyhow::bail!("a line of omcp-chaos: {line}");
        };
        println!("{name:<18} {done:<44} {figure}  [{limit}]  {verdict}");
        if verdict != "not judged" {
            counts.add(Counts::one(verdict == "passed"));
        }
    }
    if !ended.status.success() {
        process::show_end(&format!("{log}.errors.log"), SHOWN_LINES);
        eprintln!("to repeat: cargo xtask chaos --seed {seed} {name}");
        // It may have ended before its first line.
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

fn program(long: bool) -> PathBuf {
    let profile = if long { "release" } else { "debug" };
    folders::target().join(profile).join("omcp-chaos")
}
