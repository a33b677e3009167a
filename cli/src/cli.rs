//! [`Cli`]: everything that can be typed.

use clap::Parser;

use crate::args::Global;
use crate::commands::Command;

/// Manage the backends of an Open MCP Gateway
///
/// Backends are described in a manifest (`omcp apply -f backends.yaml`), kept by a control plane and
/// served by its nodes. `omcp up --demo` starts all of it on this machine.
#[derive(Debug, Parser)]
#[command(name = "omcp", version, max_term_width = 100, infer_subcommands = false)]
#[command(after_help = "Exit codes: see `omcp exit-codes`.")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}
