//! The fixture server as a program: a strict MCP server that can also misbehave on request.

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use omcp_tests::fixture::behaviour::Quirk;
use omcp_tests::fixture::lambda::{self, Handshake};
use omcp_tests::fixture::{Eras, Fixture, Settings, http, sse, stdio, tcp};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "omcp-fixture", version, about = "A strict MCP server for tests")]
struct Arguments {
    /// Which eras to serve: handshake revisions up to 2025-11-25, the stateless 2026-07-28, or both.
    #[arg(long, global = true, value_enum, default_value_t = Era::Both)]
    era: Era,

    /// Entries per page of a listing; 0 lists everything at once.
    #[arg(long, global = true, default_value_t = 0)]
    page_size: usize,

    /// List so many tools more, which cannot be called.
    #[arg(long, global = true, default_value_t = 0)]
    more_tools: usize,

    /// Over HTTP, answer with an event stream even when JSON would do. Without it, a client whose Accept names
    /// text/event-stream first gets one.
    #[arg(long, global = true)]
    always_events: bool,

    /// File to which the tool "tally" appends the nonce of each call, one a line.
    #[arg(long, global = true, value_name = "FILE")]
    tally: Option<PathBuf>,

    /// Misbehave, on stdio: exit-at-once, hang-handshake, garbage, half-line, half-line-hang, flood-stdout,
    /// flood-stderr, slow-start-ms=N, answer-twice, unknown-ids, deaf, ignore-eof, ignore-sigterm, brood;
    /// anywhere: die-on=TOOL, pose-ms=N, newest-words. Can be repeated.
    #[arg(long, global = true, value_name = "KIND[=VALUE]")]
    behave: Vec<Quirk>,

    #[command(subcommand)]
    transport: Transport,
}

#[derive(Subcommand)]
enum Transport {
    /// Newline-delimited JSON over stdin and stdout, until stdin ends.
    Stdio,
    /// Streamable HTTP at /mcp.
    Http(Listen),
    /// HTTP+SSE of 2024-11-05 at /sse and /message.
    Sse(Listen),
    /// Newline-delimited JSON over TCP; every connection is a conversation of its own.
    Tcp(Listen),
    /// An AWS Lambda function, invoked with one JSON-RPC message at a time, until it is stopped.
    Lambda(Function),
}

#[derive(clap::Args)]
struct Function {
    /// What it makes of the handshake: insist on one, do without one, or not even know it.
    #[arg(long, value_enum, default_value_t = Handshaking::Insist)]
    handshake: Handshaking,

    /// Raise an error instead of answering calls of this tool.
    #[arg(long)]
    fail_on: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Handshaking {
    Insist,
    Optional,
    Unknown,
}

impl From<Handshaking> for Handshake {
    fn from(handshake: Handshaking) -> Self {
        match handshake {
            Handshaking::Insist => Self::Insisted,
            Handshaking::Optional => Self::Optional,
            Handshaking::Unknown => Self::Unknown,
        }
    }
}

#[derive(clap::Args)]
struct Listen {
    /// Address; port 0 picks a free one. The URL, for TCP the address, is the first line on stdout.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[derive(Clone, Copy, ValueEnum)]
enum Era {
    Both,
    Legacy,
    Modern,
}

impl From<Era> for Eras {
    fn from(era: Era) -> Self {
        match era {
            Era::Both => Self::Both,
            Era::Legacy => Self::Legacy,
            Era::Modern => Self::Modern,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("omcp-fixture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let behaviour = arguments.behave.into_iter().collect();
    let fixture = Arc::new(Fixture::new(Settings {
        eras: arguments.era.into(),
        behaviour,
        page_size: arguments.page_size,
        more_tools: arguments.more_tools,
        always_events: arguments.always_events,
        tally: arguments.tally,
    }));
    let stop = stop_signal(fixture.settings.behaviour.ignore_sigterm)?;
    match arguments.transport {
        Transport::Stdio => {
            tokio::select! {
                served = stdio::serve(fixture, tokio::io::stdin(), tokio::io::stdout()) => served?,
                () = stop => {}
            }
            // The thread that reads stdin cannot be interrupted, and would keep the runtime waiting.
            std::process::exit(0);
        }
        Transport::Http(Listen { listen }) => {
            let listener = http::bind(listen).with_context(|| format!("binding {listen}"))?;
            announce(&format!("http://{}{}", listener.local_addr()?, http::PATH))?;
            http::serve(listener, fixture, stop).await;
        }
        Transport::Sse(Listen { listen }) => {
            let listener = http::bind(listen).with_context(|| format!("binding {listen}"))?;
            announce(&format!("http://{}{}", listener.local_addr()?, sse::PATH))?;
            sse::serve(listener, fixture, stop).await;
        }
        Transport::Tcp(Listen { listen }) => {
            let listener = http::bind(listen).with_context(|| format!("binding {listen}"))?;
            announce(&listener.local_addr()?.to_string())?;
            tcp::serve(listener, fixture, stop).await;
        }
        Transport::Lambda(Function { handshake, fail_on }) => {
            tokio::select! {
                served = lambda::serve(fixture, handshake.into(), fail_on) => served?,
                () = stop => {}
            }
        }
    }
    Ok(())
}

fn announce(place: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {place}")?;
    Ok(stdout.flush()?)
}

fn stop_signal(ignore_sigterm: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => if !ignore_sigterm { return },
                _ = interrupt.recv() => return,
            }
        }
    })
}
