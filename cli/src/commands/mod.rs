//! The commands, one file each, and their one list.

pub mod apply;
pub mod call;
pub mod completion;
pub mod delete;
pub mod demo_server;
pub mod describe;
pub mod diff;
pub mod edit;
pub mod exit_codes;
pub mod explain;
pub mod export;
pub mod get;
pub mod keyring;
pub mod logs;
pub mod node;
pub mod nodes;
pub mod runtimes;
pub mod status;
pub mod stdio;
pub mod tools;
pub mod up;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;

/// Every command, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Command {
    Up(up::Args),
    Apply(apply::Args),
    Diff(diff::Args),
    Get(get::Args),
    Describe(describe::Args),
    Status(status::Args),
    Delete(delete::Args),
    Edit(edit::Args),
    Export(export::Args),
    Nodes(nodes::Args),
    Node(node::Args),
    Keyring(keyring::Args),
    Runtimes(runtimes::Args),
    Explain(explain::Args),
    Tools(tools::Args),
    Call(call::Args),
    Stdio(stdio::Args),
    Logs(logs::Args),
    Completion(completion::Args),
    ExitCodes(exit_codes::Args),
    DemoServer(demo_server::Args),
}

impl Command {
    /// Runs it to its end.
    ///
    /// # Errors
    /// It could not do what it is for.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Up(args) => up::run(args, context).await,
            Self::Apply(args) => apply::run(args, context).await,
            Self::Diff(args) => diff::run(args, context).await,
            Self::Get(args) => get::run(args, context).await,
            Self::Describe(args) => describe::run(args, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
            Self::Edit(args) => edit::run(args, context).await,
            Self::Export(args) => export::run(args, context).await,
            Self::Nodes(args) => nodes::run(args, context).await,
            Self::Node(args) => node::run(args, context).await,
            Self::Keyring(args) => keyring::run(args, context).await,
            Self::Runtimes(args) => runtimes::run(args, context).await,
            Self::Explain(args) => explain::run(args, context).await,
            Self::Tools(args) => tools::run(args, context).await,
            Self::Call(args) => call::run(args, context).await,
            Self::Stdio(args) => stdio::run(args, context).await,
            Self::Logs(args) => logs::run(args, context).await,
            Self::Completion(args) => completion::run(args, context),
            Self::ExitCodes(args) => exit_codes::run(args, context),
            Self::DemoServer(args) => demo_server::run(args).await,
        }
    }

    /// Whether it serves others: it uses all cores, and ends by itself, in its own way, on Ctrl-C.
    pub fn serves(&self) -> bool {
        matches!(self, Self::Up(_) | Self::DemoServer(_))
    }
}

#[cfg(test)]
mod tests;
