//! The same type, served to any node as a plugin.

use std::process::ExitCode;

use custom_runtime::MyCustomRuntime;
use omcp_core::RuntimeRegistry;

fn main() -> ExitCode {
    let types = RuntimeRegistry::new().with(MyCustomRuntime).expect("one type has no namesake");
    omcp_runtimes::plugin::main("custom-plugin", env!("CARGO_PKG_VERSION"), types)
}
