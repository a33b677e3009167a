//! The conformance kit run over every runtime type: one file per type, one list.
//!
//! - [`program`]: the kit's peer as a program of its own
//! - [`local_process`]: the built-in types

pub mod local_process;
pub mod program;

use omcp_runtimes::conformance::Subject;

/// Every runtime that has to pass, in the order of the report.
pub fn subjects() -> Vec<Box<dyn Subject>> {
    vec![Box::new(local_process::LocalProcess)]
}
