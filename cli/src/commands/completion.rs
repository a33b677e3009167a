//! `omcp completion`.

use clap_complete::Shell;

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::output;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp completion bash > ~/.local/share/bash-completion/completions/omcp
  omcp completion fish > ~/.config/fish/completions/omcp.fish")]
pub struct Args {
    /// Shell to complete in
    shell: Shell,
}

pub fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    output::print(&script(args.shell, (context.program)()))
}

fn script(shell: Shell, mut program: clap::Command) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut program, "omcp", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_shell_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = script(*shell, Cli::command());
            assert!(script.contains("apply") && script.contains("runtimes"), "{shell}");
        }
    }
}
