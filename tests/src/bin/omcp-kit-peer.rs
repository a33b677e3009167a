//! The other end of the conformance kit as a program: over standard input and output, TCP, a Unix socket or
//! HTTP.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use omcp_runtimes::conformance::peer::Machine;
use omcp_runtimes::conformance::peer::lines::{End, serve};
use omcp_tests::kit::http_peer;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::{TcpListener, UnixListener};

/// What the program ends with when it has to seem to crash.
const CRASH_STATUS: i32 = 70;

#[derive(Parser)]
#[command(name = "omcp-kit-peer", version, about = "The other end of the conformance kit")]
struct Arguments {
    /// Serve one conversation over standard input and output. This is the default
    #[arg(long, conflicts_with_all = ["tcp", "unix"])]
    stdio: bool,
    /// Listen here; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", conflicts_with = "unix")]
    tcp: Option<String>,
    /// Listen on this Unix socket
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Serve Streamable HTTP at /mcp and HTTP+SSE at /sse of this address; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["stdio", "tcp", "unix", "token"])]
    http: Option<String>,
    /// Insist on this token before anything else
    #[arg(long)]
    token: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("omcp-kit-peer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    if let Some(address) = &arguments.http {
        let listener = bind(address).await?;
        return Ok(http_peer::serve(listener, crash).await?);
    }
    let machine = move || match &arguments.token {
        Some(token) => Machine::guarded(token.as_str()),
        None => Machine::new(),
    };
    match (&arguments.tcp, &arguments.unix) {
        (Some(address), _) => {
            let listener = bind(address).await?;
            loop {
                converse(listener.accept().await?.0, machine());
            }
        }
        (_, Some(path)) => {
            std::fs::remove_file(path).ok();
            let listener = UnixListener::bind(path).with_context(|| format!("bind {}", path.display()))?;
            announce(&format!("unix:{}", path.display()))?;
            loop {
                converse(listener.accept().await?.0, machine());
            }
        }
        (None, None) => {
            let served = serve(tokio::io::stdin(), tokio::io::stdout(), machine()).await;
            finish(served);
            // The thread that reads standard input cannot be interrupted, and would keep the program alive.
            std::process::exit(0);
        }
    }
}

async fn bind(address: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("bind {address}"))?;
    announce(&listener.local_addr()?.to_string())?;
    Ok(listener)
}

fn announce(address: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {address}")?;
    Ok(stdout.flush()?)
}

fn converse(stream: impl AsyncRead + AsyncWrite + Send + 'static, machine: Machine) {
    tokio::spawn(async move {
        let (reader, writer) = split(stream);
        finish(serve(reader, writer, machine).await);
    });
}

fn finish(served: std::io::Result<End>) {
    match served {
        Ok(End::Closed) => {}
        Ok(End::Died) => crash(),
        Err(error) => eprintln!("omcp-kit-peer: a conversation broke: {error}"),
    }
}

fn crash() {
    std::process::exit(CRASH_STATUS);
}
