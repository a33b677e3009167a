//! A plugin in Rust: a runtime type like any other, and one line that serves it from this process.
//!
//! Offered by a node as a type of its own with `--plugin rust-lines=/path/to/omcp-example-plugin`.

mod rust_lines;

use std::process::ExitCode;

use omcp_core::RuntimeRegistry;

fn main() -> ExitCode {
    let registry = RuntimeRegistry::new().with(rust_lines::RustLines).expect("one type has no namesake");
    omcp_runtimes::plugin::main("example-plugin", env!("CARGO_PKG_VERSION"), registry)
}
