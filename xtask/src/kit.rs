//! The conformance kit of the runtimes, over every type. The `omcp-kit` program runs it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::report::{Counts, Report};
use crate::{cargo, folders, process, tools};

/// The checks of one type take seconds; this is for one whose every check hangs.
const TYPE_LIMIT: Duration = Duration::from_secs(30 * 60);

/// One row per runtime type; what did not pass is printed, and with `all` the rest as well.
pub fn run(report: &mut Report, all: bool) {
    if !cargo::programs(report) || !tools::peers(report) {
        return;
    }
    match names() {
        Ok(names) => names.iter().for_each(|name| report.step(&format!("kit {name}"), || one(name, all))),
        Err(error) => report.step("kit", || Err(error)),
    }
}

fn names() -> Result<Vec<String>> {
    let ended = process::run("kit", program().arg("--list"), TYPE_LIMIT)?.success()?;
    Ok(ended.output.lines().map(str::to_owned).collect())
}

fn one(name: &str, all: bool) -> Result<Counts> {
    let log = format!("kit-{}", name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
    let ended = process::run_apart(&log, program().arg(name), TYPE_LIMIT)?;
    let mut counts = Counts::default();
    for line in ended.output.lines() {
        let (check, outcome) = outcome(line).with_context(|| format!("a line of omcp-kit: {line}"))?;
        let passed = outcome == "passed";
        if !outcome.starts_with("not applicable") {
            counts.add(Counts::one(passed));
        }
        if all || !passed {
            println!("{name}  {check}  {outcome}");
        }
    }
    if !ended.status.success() {
        // It may have ended before its first line.
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// The check and its outcome in `NAME<TAB>CHECK<TAB>OUTCOME`.
fn outcome(line: &str) -> Option<(&str, &str)> {
    line.split_once('\t')?.1.split_once('\t')
}

fn program() -> Command {
    Command::new(folders::program("omcp-kit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_check_and_its_outcome() {
        assert_eq!(outcome("tcp\tclose twice\tFAILED: a\tb"), Some(("close twice", "FAILED: a\tb")));
        assert_eq!(outcome("no line of the kit"), None);
    }
}
