//! Client mode: a scripted client at the servers of the suite, and the same one behind the gateway, so that what
//! is judged are the requests of the gateway.
//!
//! - [`way`]: how the client comes to the server
//! - [`run`](mod@run): what came of it

mod run;
mod way;

use anyhow::{Context, Result};

use crate::conformance::checks::Checks;
use crate::conformance::client::run::Run;
use crate::conformance::client::way::Way;
use crate::conformance::verdict::{self, Excused};
use crate::report::{Counts, Report};
use crate::stage::Stage;
use crate::tools;

/// The scenarios of one revision. Those of OAuth are left out: the gateway is no client of that kind.
struct Revision {
    name: &'static str,
    scenarios: &'static [&'static str],
    ways: &'static [Way],
}

const REVISIONS: [Revision; 2] = [
    Revision {
        name: "2025-11-25",
        scenarios: &[
            "initialize",
            "tools_call",
            "elicitation-sep1034-client-defaults",
            "sse-retry",
            "json-schema-2020-12-preservation",
        ],
        ways: &[Way::Gateway],
    },
    Revision {
        name: "2026-07-28",
        scenarios: &[
            "tools_call",
            "request-metadata",
            "sep-2322-client-request-state",
            "http-standard-headers",
            "http-custom-headers",
            "http-invalid-tool-headers",
            "json-schema-ref-no-deref",
            "json-schema-2020-12-preservation",
        ],
        ways: &[Way::Gateway, Way::Session],
    },
];

const EXCUSED: &[Excused] = &[];

pub fn run(report: &mut Report) {
    let start = || {
        tools::npm("conformance")?;
        Stage::start("conformance-client", "servers: []\n")
    };
    match start() {
        Ok(stage) => REVISIONS.iter().for_each(|revision| revision.compare(report, &stage)),
        Err(error) => report.step("conformance client", || Err(error)),
    }
}

impl Revision {
    fn compare(&self, report: &mut Report, stage: &Stage) {
        let mut direct = None;
        report.step(&self.step(Way::Direct), || {
            let run = self.play(Way::Direct, stage)?;
            run.checks.failures().iter().for_each(|failure| eprintln!("  {failure}"));
            let counts = with_complaints(run.checks.counts(), &run);
            direct = Some(run.checks);
            Ok(counts)
        });
        for way in self.ways {
            report.step(&self.step(*way), || {
                let direct = direct.as_ref().context("there is no direct run to compare with")?;
                let run = self.play(*way, stage)?;
                Ok(with_complaints(self.judge(*way, direct, &run.checks), &run))
            });
        }
    }

    fn step(&self, way: Way) -> String {
        format!("conformance client {} {}", self.name, way.name())
    }

    fn play(&self, way: Way, stage: &Stage) -> Result<Run> {
        Run::play(&self.step(way).replace(' ', "-"), self.name, self.scenarios, &way.command(stage))
    }

    fn judge(&self, way: Way, direct: &Checks, through: &Checks) -> Counts {
        let is_of_this_run = |excused: &&Excused| (excused.suite, excused.target) == (self.name, way.name());
        let excused: Vec<_> = EXCUSED.iter().filter(is_of_this_run).collect();
        verdict::judge(direct, through, &excused)
    }
}

/// A complaint is a failed check.
fn with_complaints(counts: Counts, run: &Run) -> Counts {
    run.complaints.iter().for_each(|complaint| eprintln!("  {complaint}"));
    Counts { failed: counts.failed + run.complaints.len(), ..counts }
}
