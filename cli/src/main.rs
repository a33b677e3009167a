//! `omcp`: the admin tool.
//!
//! In reading order:
//!
//! - [`cli`], [`args`]: what can be typed; [`commands`]: one file per command
//! - [`context`], [`client`]: the control plane; [`endpoint`], [`mcp_client`], [`node_admin`]: the nodes
//! - [`manifest`]: what people write, with the place of every mistake
//! - [`rollout`]: how `--wait` follows a change
//! - [`stdio`]: between a client that writes lines and the nodes
//! - [`output`], [`style`], [`word`]: what people see
//! - [`failure`], [`exit`]: what went wrong, and the code it ends with
//! - [`demo`]: the backend of `omcp up --demo`, which runs both planes in one process

mod args;
mod cli;
mod client;
mod commands;
mod context;
mod demo;
mod endpoint;
mod exit;
mod failure;
mod manifest;
mod mcp_client;
mod node_admin;
mod output;
mod rollout;
mod stdio;
mod style;
mod word;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use tokio::runtime::Builder;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::output::Format;

fn main() -> ExitCode {
    commands::up::supervise();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    anstream::ColorChoice::from(cli.global.color).write_global();
    let (format, verbose) = (cli.global.output, cli.global.verbose > 0);
    let end = run(cli);
    if let Err(failure) = &end {
        report(failure, format, verbose);
    }
    exit::code(end.map_err(|failure| failure.cause))
}

fn run(cli: Cli) -> Result<Outcome, Failure> {
    let mut runtime = match cli.command.serves() {
        true => Builder::new_multi_thread(),
        false => Builder::new_current_thread(),
    };
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Cause::Failed, "start", error.to_string()))?;
    let server = cli.global.server.clone();
    let end = runtime.block_on(until_interrupted(cli)).map_err(|failure| failure.of_server(&server));
    // A thread that waits for standard input would never end.
    runtime.shutdown_background();
    end
}

async fn until_interrupted(cli: Cli) -> Result<Outcome, Failure> {
    let context = Context { global: cli.global, program: Cli::command };
    if cli.command.serves() {
        return cli.command.run(&context).await;
    }
    tokio::select! {
        end = Box::pin(cli.command.run(&context)) => end,
        _ = tokio::signal::ctrl_c() => Ok(Outcome::Interrupted),
    }
}

fn report(failure: &Failure, format: Option<Format>, verbose: bool) {
    match format {
        Some(Format::Json) => output::say(&failure.to_json()),
        _ => output::say(failure.render(verbose).trim_end()),
    }
}

/// Help and versions are no failures; anything else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_answer || !asks_for_json(std::env::args()) {
        let _ = error.print();
    }
    if is_answer {
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let why = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let failure = Failure::new(Cause::Invalid, "understand the command", why).fix("see `omcp --help`");
    if asks_for_json(std::env::args()) {
        report(&failure, Some(Format::Json), false);
    }
    exit::code(Err(failure.cause))
}

/// Whether JSON was asked for on a command line that could not be read.
fn asks_for_json(args: impl Iterator<Item = String>) -> bool {
    let args: Vec<_> = args.collect();
    let pair = |pair: &[String]| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == "json";
    args.windows(2).any(pair)
        || args.iter().any(|arg| arg == "-ojson" || arg == "--output=json" || arg == "-o=json")
}

#[cfg(test)]
mod tests;
