//! Fuzzing: each target of `fuzz/` for a while, one row of figures each.
//!
//! What `cargo fuzz` adds to a build are a few flags, and stable Rust knows them: so there is nothing to install.
//! No sanitizer is needed, for the code that is fuzzed has no `unsafe`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{self, Ended};
use crate::report::{Counts, Report};
use crate::{cargo, folders};

/// How the code tells libFuzzer where it has been, and what it compared.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Longest input, bytes: a bridge's script with some dozens of messages.
const INPUT_LEN_MAX: u32 = 4096;
/// No input may take longer, nor the process grow beyond this.
const INPUT_SECONDS_MAX: u32 = 10;
const MEMORY_MIB_MAX: u32 = 1024;
/// For the corpus to be read, and to be made smaller.
const AROUND: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Afterwards, put what reached more code into the committed corpora, and leave out what adds nothing
    #[arg(long)]
    keep: bool,
    /// Only this one
    target: Option<String>,
}

pub fn run(report: &mut Report, options: &Options) {
    let ready = targets(options.target.as_deref()).and_then(|targets| Ok((targets, build()?)));
    let (targets, programs) = match ready {
        Ok(ready) => ready,
        Err(error) => return report.step("fuzz", || Err(error)),
    };
    println!("{}", row("target", ["executions", "a second", "corpus", "new", "crashes"].map(str::to_owned)));
    for target in targets {
        report.step(&format!("fuzz {target}"), || one(&programs, &target, options));
    }
}

fn targets(wanted: Option<&str>) -> Result<Vec<String>> {
    let mut names: Vec<String> = files(&folder().join("fuzz_targets"))?
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    if let Some(wanted) = wanted {
        ensure!(
            names.iter().any(|name| name == wanted),
            "no target {wanted}; there are {}",
            names.join(", ")
        );
        names.retain(|name| name == wanted);
    }
    Ok(names)
}

/// Builds all targets and tells where they are.
fn build() -> Result<PathBuf> {
    let host = cargo::host()?;
    let target = folders::target().join("fuzz");
    let mut command = Command::new(env!("CARGO"));
    // With a target named, programs that run while building are built as ever.
    command.args(["build", "--release", "--locked", "--target", &host]).current_dir(folder());
    command.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", COVERAGE.join(" "));
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run("fuzz-build", &mut command, cargo::BUILD_LIMIT)?.success()?;
    Ok(target.join(host).join("release"))
}

fn one(programs: &Path, target: &str, options: &Options) -> Result<Counts> {
    let committed = folder().join("corpus").join(target);
    let found = results(target, "found")?;
    let before = files(&found)?.len();
    let mut command = Command::new(programs.join(target));
    command.arg(&found).arg(&committed).args(limits());
    command.arg(format!("-max_total_time={}", options.seconds)).arg("-print_final_stats=1");
    command.arg(format!("-dict={}", folder().join("words.dict").display()));
    command.arg(format!("-artifact_prefix={}/", results(target, "crashes")?.display()));
    let limit = AROUND + Duration::from_secs(options.seconds.into());
    let ended = process::run(&format!("fuzz-{target}"), &mut command, limit)?;
    let crashes: Vec<&str> = ended.output.lines().filter_map(|line| written(line)).collect();
    let figures = [
        figure(&ended, "number_of_executed_units"),
        figure(&ended, "average_exec_per_sec"),
        files(&committed)?.len().to_string(),
        (files(&found)?.len() - before).to_string(),
        crashes.len().to_string(),
    ];
    println!("{}", row(target, figures));
    if !ended.status.success() {
        ended.show();
        crashes.iter().for_each(|crash| eprintln!("to repeat: {} {crash}", programs.join(target).display()));
    } else if options.keep {
        keep(programs, target, &committed, &found)?;
    }
    Ok(Counts::one(ended.status.success()))
}

/// Replaces the committed corpus by the smallest that reaches as much, together with what was found.
fn keep(programs: &Path, target: &str, committed: &Path, found: &Path) -> Result<()> {
    let kept = results(target, "kept")?;
    fs::remove_dir_all(&kept)?;
    fs::create_dir(&kept)?;
    let mut command = Command::new(programs.join(target));
    command.arg("-set_cover_merge=1").args(limits()).arg(&kept).arg(committed).arg(found);
    process::run(&format!("fuzz-{target}-keep"), &mut command, AROUND)?.success()?;
    for old in files(committed)? {
        fs::remove_file(old)?;
    }
    for new in files(&kept)? {
        fs::copy(&new, committed.join(new.file_name().expect("an input has a name")))?;
    }
    Ok(())
}

fn limits() -> [String; 3] {
    [
        format!("-max_len={INPUT_LEN_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
    ]
}

/// What libFuzzer says at its end about `name`.
fn figure(ended: &Ended, name: &str) -> String {
    stat(&ended.output, name).unwrap_or("?").to_owned()
}

fn stat<'a>(output: &'a str, name: &str) -> Option<&'a str> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))?;
    Some(line.strip_prefix(':')?.trim())
}

/// The file with the input that ended the program.
fn written(line: &str) -> Option<&str> {
    line.split_once("Test unit written to ").map(|(_, path)| path.trim())
}

fn row(target: &str, figures: [String; 5]) -> String {
    let [executions, speed, corpus, new, crashes] = figures;
    format!("{target:<22} {executions:>12} {speed:>9} {corpus:>7} {new:>6} {crashes:>8}")
}

/// A folder for what comes of a target.
fn results(target: &str, what: &str) -> Result<PathBuf> {
    let folder = folders::results("fuzz").join(target).join(what);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn folder() -> PathBuf {
    folders::root().join("fuzz")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_end_of_a_log() {
        let output = "#1024\tpulse  cov: 7 exec/s: 512\nDone 9 runs in 1 second(s)\n\
            stat::number_of_executed_units: 9\nstat::average_exec_per_sec:     4\n";
        assert_eq!(stat(output, "number_of_executed_units"), Some("9"));
        assert_eq!(stat(output, "average_exec_per_sec"), Some("4"));
        assert_eq!(stat(output, "peak_rss_mb"), None);
    }

    #[test]
    fn a_crash_names_its_input() {
        let line = "artifact_prefix='/t/'; Test unit written to /t/crash-0a";
        assert_eq!(written(line), Some("/t/crash-0a"));
        assert_eq!(written("Done 9 runs"), None);
    }
}
