//! Other people's clients and servers, directly and through the gateway.

use anyhow::bail;

use crate::report::Report;

pub fn run(report: &mut Report, filter: &str) {
    report.step("interop", || bail!("no pair of client and server is named {filter:?}"));
}
