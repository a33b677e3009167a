//! Runs the conformance kit over every runtime type, or those whose name contains a word.
//!
//! Prints one line per check to standard output, `TYPE<TAB>CHECK<TAB>OUTCOME`, and the table of each type to
//! standard error. Needs `omcp-kit-peer` beside it.

use std::process::ExitCode;

use omcp_runtimes::conformance;
use omcp_tests::kit;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let mut passed = true;
    for subject in kit::subjects().iter().filter(|subject| subject.label().contains(&filter)) {
        let report = conformance::run(subject.as_ref()).await;
        eprintln!("{report}\n");
        for row in &report.rows {
            println!("{}\t{}\t{}", report.subject, row.check, row.outcome);
        }
        passed &= report.is_passed();
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
