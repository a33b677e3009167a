//! Benchmarks of the gateway, printed beside the barest program that could do the same work.
//!
//! In reading order:
//!
//! - [`peer`]: the MCP server that every row talks to, as pure code
//! - [`backend`], [`stdio_backend`]: that server over HTTP and over a pipe
//! - [`pass_through`], [`bridge`]: the yardsticks: an HTTP hop, and an HTTP to stdio hop
//! - [`load`]: calls in a closed loop, counted and timed
//! - [`histogram`], [`process`]: percentiles; cores, CPU time and memory of a process
//! - [`awake`]: peers that never sleep
//! - [`program`]: a child process that says where it listens
//! - [`gateway`]: the programs of the gateway, and backends for them
//! - [`sync`]: simulated nodes, and how fast a change reaches them
//! - [`all`]: every row of the table, in one run

mod all;
mod awake;
mod backend;
mod bridge;
mod gateway;
mod histogram;
mod listener;
mod load;
mod pass_through;
mod peer;
mod process;
mod program;
mod stdio_backend;
mod sync;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks of Open MCP Gateway.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    /// Run on this core only.
    #[arg(long, global = true)]
    core: Option<usize>,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    all: all::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP over HTTP: the backend of every row.
    Backend {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Never sleep.
        #[arg(long)]
        awake: bool,
        /// Tools in all: the first three do something.
        #[arg(long, default_value_t = 3)]
        tools: usize,
    },
    /// Serve MCP over standard input and output.
    StdioBackend,
    /// Forward HTTP to a backend, and nothing else.
    PassThrough {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Where to forward to.
        #[arg(long)]
        to: SocketAddr,
    },
    /// Bridge HTTP to a command that speaks MCP over stdio, and nothing else.
    Bridge {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Call one endpoint in a closed loop.
    Load(load::Args),
    /// Time changes on their way to simulated nodes.
    Sync(sync::Args),
    /// Measure everything and print the table; so does no command at all.
    All(all::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(core) = args.core {
        process::pin(core)?;
    }
    match args.command.unwrap_or(Command::All(args.all)) {
        Command::Backend { listen, awake, tools } => {
            peer::list_tools(tools);
            backend::run(listen, awake)?;
        }
        Command::StdioBackend => stdio_backend::run()?,
        Command::PassThrough { listen, to } => pass_through::run(listen, to)?,
        Command::Bridge { listen, command } => bridge::run(listen, &command)?,
        Command::Load(args) => load::run(&args)?,
        Command::Sync(args) => sync::run(&args)?,
        Command::All(args) => return all::run(&args),
    }
    Ok(ExitCode::SUCCESS)
}
