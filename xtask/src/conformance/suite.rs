//! The program of the suite, in two versions.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{folders, tools};

pub const ALPHA: &str = "@modelcontextprotocol/conformance/dist/index.js";
pub const STABLE: &str = "conformance-stable/dist/index.js";

/// The suite, ready for its arguments. It is more patient than it was made.
pub fn command(script: &str) -> Result<Command> {
    let suite = folders::root().join("tests/conformance");
    let mut command = Command::new(tools::node()?);
    command.arg("--require").arg(suite.join("patience.cjs")).arg(suite.join("node_modules").join(script));
    Ok(command)
}

/// A folder for the results of a run, without those of the one before.
pub fn results(name: &str) -> Result<PathBuf> {
    let folder = folders::results(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    Ok(folder)
}
