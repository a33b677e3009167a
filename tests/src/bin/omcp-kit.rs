//! Runs the conformance kit over every runtime type, or those that are called so or whose name contains the
//! word given. `--list` prints what they are called.
//!
//! Prints one line per check to standard output, `NAME<TAB>CHECK<TAB>OUTCOME`, and a table of each type to
//! standard error. Needs `omcp-kit-peer` beside it.

use std::process::ExitCode;

use omcp_runtimes::conformance;
use omcp_tests::kit;

fn main() -> ExitCode {
    omcp_runtimes::supervisor::enter();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let subjects = kit::subjects();
    if wanted == "--list" {
        subjects.iter().for_each(|subject| println!("{}", subject.label()));
        return ExitCode::SUCCESS;
    }
    let exact = subjects.iter().any(|subject| subject.label() == wanted);
    let is_wanted = |name: &str| name == wanted || (!exact && name.contains(&wanted));
    let mut reports = Vec::new();
    for subject in subjects.iter().filter(|subject| is_wanted(&subject.label())) {
        let report = conformance::run(subject.as_ref()).await;
        eprintln!("{report}\n");
        for row in &report.rows {
            println!("{}\t{}\t{}", report.subject, row.check, row.outcome);
        }
        reports.push(report);
    }
    if reports.is_empty() {
        eprintln!("omcp-kit: nothing is called {wanted}; see omcp-kit --list");
    }
    let passed = !reports.is_empty() && reports.iter().all(conformance::Report::is_passed);
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
