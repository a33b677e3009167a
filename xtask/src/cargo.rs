//! The steps that are cargo commands.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{self, Ended};
use crate::report::{Counts, Report};
use crate::{folders, tools};

/// Building everything from nothing takes ten minutes on two cores.
pub const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The integration suite, once it is built, on a machine that is slow.
const INTEGRATION_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The story of killed peers in `tests/it/every_runtime/recovery.rs`.
const KILLS_STORY: &str = "a_killed_peer_comes_back_and_disturbs_no_other";
/// A kill of each of nine backends takes some seconds, containers a little more.
const KILLS_LIMIT: Duration = Duration::from_secs(90 * 60);

/// Programs that run in images made of nothing else: package and name.
const STATIC_PROGRAMS: [(&str, &str); 2] = [("omcp-tests", "omcp-fixture"), ("omcp-tests", "omcp-kit-peer")];

pub fn format(report: &mut Report) {
    report.step("format", || Ok(check(cargo("format", &["fmt", "--all", "--check"])?)));
}

pub fn clippy(report: &mut Report) {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    report.step("clippy", || Ok(check(cargo("clippy", &arguments)?)));
}

pub fn unit(report: &mut Report) {
    report.step("unit", || tests("unit", &["test", "--workspace", "--lib", "--bins", "--no-fail-fast"]));
    report.step("doc", || tests("doc", &["test", "--workspace", "--doc", "--no-fail-fast"]));
}

/// The integration suite starts the programs, so they are built first, and other people's.
pub fn integration(report: &mut Report, filter: Option<&str>) {
    if programs(report) && tools::peers(report) {
        report.step("integration", || {
            let suite = ["test", "--workspace", "--test", "*"];
            cargo("integration-build", &[&suite[..], &["--no-run"]].concat())?.success()?;
            let arguments: Vec<_> = suite.into_iter().chain(["--"]).chain(filter).collect();
            counted(process::run("integration", &mut command(&arguments), INTEGRATION_LIMIT)?)
        });
    }
}

/// Kills a peer of every runtime type `kills` times; the story prints a line per type.
pub fn kills(report: &mut Report, kills: u32) {
    report.step("kills", || {
        let mut command = command(&["test", "--workspace", "--test", "it", "--", KILLS_STORY, "--nocapture"]);
        let ended = process::run("kills", command.env("OMCP_TEST_KILLS", kills.to_string()), KILLS_LIMIT)?;
        ended
            .output
            .lines()
            .filter(|line| line.contains(" serves again after "))
            .for_each(|line| println!("{line}"));
        counted(ended)
    });
}

/// Builds every program, those for images of their own as well, and says whether that worked. Success is no check
/// and makes no row.
pub fn programs(report: &mut Report) -> bool {
    let linked = STATIC_PROGRAMS.iter().try_for_each(|(package, program)| static_program(package, program));
    built(report, linked.and_then(|()| bins()))
}

/// The same, without those for images.
pub fn usual_programs(report: &mut Report) -> bool {
    built(report, bins())
}

fn bins() -> Result<()> {
    cargo("programs", &["build", "--workspace", "--bins"])?.success().map(drop)
}

fn built(report: &mut Report, built: Result<()>) -> bool {
    match built {
        Ok(()) => true,
        Err(error) => {
            report.step("programs", || Err(error));
            false
        }
    }
}

/// Builds a program that uses what only tests depend on, and says whether that worked. Success is no check and
/// makes no row.
pub fn example(report: &mut Report, name: &str) -> bool {
    match cargo(name, &["build", "--workspace", "--example", name]).and_then(Ended::success) {
        Ok(_) => true,
        Err(error) => {
            report.step(name, || Err(error));
            false
        }
    }
}

/// Builds every program as it is shipped, and says whether that worked. Success is no check and makes no row.
pub fn release(report: &mut Report) -> bool {
    let built = cargo("release", &["build", "--release", "--workspace", "--bins"]).and_then(Ended::success);
    let worked = built.is_ok();
    if let Err(error) = built {
        report.step("release", || Err(error));
    }
    worked
}

/// Links one program without shared libraries and puts it aside. What it is made of is built as always;
/// only the program itself is compiled for this.
fn static_program(package: &str, program: &str) -> Result<()> {
    let linked = ["-C", "target-feature=+crt-static", "-C", "strip=symbols"];
    let arguments = [&["rustc", "--package", package, "--bin", program, "--"][..], &linked].concat();
    cargo(&format!("static-{program}"), &arguments)?.success()?;
    let place = folders::program("static");
    fs::create_dir_all(&place)?;
    // A container may still run the older one.
    let (aside, place) = (place.join(format!("{program}.new")), place.join(program));
    fs::copy(folders::program(program), &aside).with_context(|| format!("copy {program}"))?;
    fs::rename(&aside, &place).with_context(|| format!("put {program} in place"))
}

/// The benchmark prints its own ratios as it goes.
pub fn bench(report: &mut Report, options: &[String]) {
    report.step("bench", || {
        cargo("bench-build", &["build", "--release", "--workspace", "--bins"])?.success()?;
        let program = folders::target().join("release/omcp-bench");
        Ok(Counts::one(Command::new(program).args(options).current_dir(folders::root()).status()?.success()))
    });
}

/// The schemas are written by the test that compares them.
pub fn schemas(report: &mut Report) {
    let mut command = command(&["test", "--workspace", "--test", "it", "--", "schemas::"]);
    command.env("OMCP_WRITE_SCHEMAS", "1");
    report.step("schemas", || counted(process::run("schemas", &mut command, BUILD_LIMIT)?));
}

/// The machine that this is, in the words of the compiler.
pub fn host() -> Result<String> {
    let about = Command::new("rustc").arg("-vV").output().context("ask rustc")?.stdout;
    let about = String::from_utf8_lossy(&about).into_owned();
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc tells its host")?.to_owned())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(folders::root());
    command.env("CARGO_TARGET_DIR", folders::target());
    command
}

fn cargo(name: &str, arguments: &[&str]) -> Result<Ended> {
    process::run(name, &mut command(arguments), BUILD_LIMIT)
}

/// Format and lints are one check each.
fn check(ended: Ended) -> Counts {
    if !ended.status.success() {
        ended.show();
    }
    Counts::one(ended.status.success())
}

fn tests(name: &str, arguments: &[&str]) -> Result<Counts> {
    counted(cargo(name, arguments)?)
}

fn counted(ended: Ended) -> Result<Counts> {
    let mut counts = count(&ended.output);
    if !ended.status.success() {
        ended.show();
        // Nothing was counted where nothing could be built, or where a test took its program down.
        counts.failed = counts.failed.max(1);
    }
    Ok(counts)
}

/// Adds up the lines that every test program ends with.
fn count(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        counts.add(Counts { passed: number_before(line, " passed"), failed: number_before(line, " failed") });
    }
    counts
}

fn number_before(line: &str, word: &str) -> usize {
    let before = line.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_added() {
        let output = "running 3 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.17s\n\
            test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.17s\n";
        assert_eq!(count(output), Counts { passed: 17, failed: 2 });
    }

    #[test]
    fn other_lines_do_not_count() {
        assert_eq!(count("3 passed\nerror: could not compile\n"), Counts::default());
    }
}
