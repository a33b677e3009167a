//! Where things are.

use std::path::PathBuf;

/// The workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace exists")
}

/// Where cargo puts what it builds, wherever that is today.
pub fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    own.ancestors().nth(2).expect("a program stands in target/debug").to_owned()
}

/// One of our own programs, as `cargo build` leaves it.
pub fn program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// Logs and results of the chores.
pub fn results(name: &str) -> PathBuf {
    target().join("xtask").join(name)
}

/// Tools that are installed outside the source tree.
pub fn tool(name: &str) -> PathBuf {
    target().join("tools").join(name)
}
