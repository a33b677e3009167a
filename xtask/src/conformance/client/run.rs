//! [`Run`]: what came of some scenarios, played one after the other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::conformance::checks::Checks;
use crate::conformance::suite::{self, ALPHA};
use crate::process;

/// After so many milliseconds the suite gives a client up, which itself gives up after 60 seconds at most. A
/// scenario takes a second or two.
const CLIENT_LIMIT_MS: &str = "70000";
const SCENARIO_LIMIT: Duration = Duration::from_secs(90);

pub struct Run {
    /// A gateway introduces itself to a server before its first client comes, so how often a check was made does
    /// not count.
    pub checks: Checks,
    /// What the client was not content with, whatever the suite has seen.
    pub complaints: Vec<String>,
}

impl Run {
    /// Has the suite play `scenarios` of `revision` with the client that `client` starts.
    pub fn play(name: &str, revision: &str, scenarios: &[&str], client: &str) -> Result<Self> {
        let folder = suite::results(name)?;
        for scenario in scenarios {
            let mut command = suite::command(ALPHA)?;
            command.args(["client", "--command", client, "--scenario", scenario]);
            command.args(["--spec-version", revision, "--timeout", CLIENT_LIMIT_MS, "-o"]).arg(&folder);
            // The exit code says what checks and complaints say.
            process::run(&format!("{name}-{scenario}"), &mut command, SCENARIO_LIMIT)?;
        }
        let run = Self { checks: Checks::read(&folder)?.once(), complaints: complaints(&folder)? };
        let missing: Vec<_> = scenarios.iter().filter(|scenario| !run.checks.has(scenario)).collect();
        ensure!(missing.is_empty(), "no results of {missing:?} in {}", folder.display());
        Ok(run)
    }
}

fn complaints(folder: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let file = entry?.path().join("stderr.txt");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        complaints.extend(Some(text.trim_end().to_owned()).filter(|text| !text.is_empty()));
    }
    Ok(complaints)
}
