//! Server mode: our fixture server alone, and the same one behind the gateway.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::conformance::checks::Checks;
use crate::conformance::suite::{self, ALPHA, STABLE};
use crate::conformance::verdict::{self, Excused};
use crate::report::{Counts, Report};
use crate::stage::{Server, Stage};
use crate::{folders, process, tools};

/// A run takes 2 to 30 seconds, of which one scenario waits 15 for what must not come.
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// After so many milliseconds the suite gives a scenario up. Version 0.1.16 never does.
const SCENARIO_LIMIT_MS: &str = "90000";

/// One version of the suite and one revision of the protocol.
struct Suite {
    name: &'static str,
    script: &'static str,
    arguments: &'static [&'static str],
    backends: &'static [&'static str],
}

/// A server with a handshake only, for clients that know none.
const LEGACY: &str = "legacy";
/// The aggregate of one backend: clients need no prefix then.
const AGGREGATE: &str = "aggregate";

const SESSIONS: &str = "2025-11-25";
const STATELESS: &str = "2026-07-28";

const SUITES: [Suite; 3] = [
    Suite {
        name: SESSIONS,
        script: ALPHA,
        arguments: &["--requirements", SESSIONS, "--timeout", SCENARIO_LIMIT_MS],
        backends: &["http", "stdio", AGGREGATE],
    },
    Suite {
        name: STATELESS,
        script: ALPHA,
        arguments: &["--requirements", STATELESS, "--timeout", SCENARIO_LIMIT_MS],
        backends: &["http", "stdio", LEGACY, AGGREGATE],
    },
    Suite { name: "0.1.16", script: STABLE, arguments: &[], backends: &["http"] },
];

const POLLING: &str = "server-sse-polling";
const OF_POLLING: [&str; 4] =
    ["incoming-response", "incoming-sse-event", "outgoing-request", "server-sse-disconnect-resume"];

const EXCUSED: &[Excused] = &[
    Excused {
        suite: STATELESS,
        target: LEGACY,
        scenario: "input-required-result-ignore-extra-params",
        checks: &["sep-2322-ignore-unexpected-params"],
        reason: "it answers before it is asked, which a server that asks in the middle of a call cannot use",
    },
    Excused {
        suite: SESSIONS,
        target: "stdio",
        scenario: POLLING,
        checks: &OF_POLLING,
        reason: "a server behind a pipe has no stream to close in mid-call, so there is nothing to resume",
    },
    Excused {
        suite: SESSIONS,
        target: AGGREGATE,
        scenario: POLLING,
        checks: &OF_POLLING,
        reason: "a session with many backends speaks with each message by message",
    },
];

/// Scenarios that look for a tool in the list by the name its server gave it: there it has a prefix.
const BY_LISTED_NAME: [&str; 1] = ["json-schema-2020-12"];
/// Scenarios that want a call refused because it needs a task and its client knows none: across the eras the
/// gateway drives the task itself.
const DRIVEN: [&str; 1] = ["tasks-required-task-error"];

pub fn run(report: &mut Report) {
    let start = || {
        tools::npm("conformance")?;
        let mut command = Command::new(folders::program("omcp-fixture"));
        let fixture =
            Server::start("fixture", command.args(["--era", "both", "http", "--listen", "127.0.0.1:0"]))?;
        let stage = Stage::start("conformance", &manifest(fixture.url()))?;
        Ok((fixture, stage))
    };
    match start() {
        Ok((fixture, stage)) => SUITES.iter().for_each(|suite| suite.compare(report, fixture.url(), &stage)),
        Err(error) => report.step("conformance", || Err(error)),
    }
}

/// The same fixture behind both kinds of runtime, and as a server of the older era.
fn manifest(url: &str) -> String {
    let program = folders::program("omcp-fixture");
    format!(
        "servers:\n\
        - {{ id: http, tags: [alone], runtime: {{ type: remote-http, url: \"{url}\" }} }}\n\
        - {{ id: stdio, runtime: {{ type: local-process, command: \"{program}\", args: [--era, both, stdio] }} }}\n\
        - {{ id: {LEGACY}, runtime: {{ type: local-process, command: \"{program}\", args: [--era, legacy, stdio] }} }}\n",
        program = program.display()
    )
}

impl Suite {
    fn compare(&self, report: &mut Report, direct_url: &str, stage: &Stage) {
        let mut direct = None;
        report.step(&format!("conformance {} direct", self.name), || {
            let checks = self.run("direct", direct_url)?;
            let counts = checks.counts();
            checks.failures().iter().for_each(|failure| eprintln!("  {failure}"));
            direct = Some(checks);
            Ok(counts)
        });
        for backend in self.backends {
            let direct = direct.as_ref();
            report.step(&format!("conformance {} through {backend}", self.name), || {
                let direct = direct.context("there is no direct run to compare with")?;
                let through = self.run(backend, &endpoint(stage, backend))?;
                Ok(self.judge(backend, direct, &through))
            });
        }
    }

    fn judge(&self, backend: &str, direct: &Checks, through: &Checks) -> Counts {
        let left_out: &[&str] = match backend {
            AGGREGATE => &BY_LISTED_NAME,
            LEGACY => &DRIVEN,
            _ => &[],
        };
        let is_of_this_run = |excused: &&Excused| (excused.suite, excused.target) == (self.name, backend);
        let excused: Vec<_> = EXCUSED.iter().filter(is_of_this_run).collect();
        verdict::judge(&direct.without(left_out), &through.without(left_out), &excused)
    }

    fn run(&self, target: &str, url: &str) -> Result<Checks> {
        let name = format!("conformance-{}-{target}", self.name);
        let folder = suite::results(&name)?;
        let mut command = suite::command(self.script)?;
        command.args(["server", "--url", url]).args(self.arguments).arg("-o").arg(&folder);
        // The exit code speaks of required scenarios only; the checks speak of all of them.
        let ended = process::run(&name, &mut command, RUN_LIMIT)?;
        let checks = Checks::read(&folder)?;
        if checks.is_empty() {
            ended.show();
            bail!("the suite left no results in {}", folder.display());
        }
        Ok(checks)
    }
}

fn endpoint(stage: &Stage, backend: &str) -> String {
    match backend {
        AGGREGATE => stage.aggregate("/mcp", "alone"),
        backend => stage.endpoint("/mcp", backend),
    }
}
