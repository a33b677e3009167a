//! The program `omcp-control-plane`.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use omcp_control_plane::config::{ADMIN_LISTEN, HEARTBEAT_MS, RETAIN_REVISIONS, SYNC_LISTEN};
use omcp_control_plane::{Config, ControlPlane};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Keeps backend definitions and streams them to the nodes of Open MCP Gateway.
///
/// Exit codes: 0 stopped as asked, 1 could not start, 2 wrong flags.
#[derive(Debug, Parser)]
#[command(name = "omcp-control-plane", version)]
struct Flags {
    /// SQLite database; made if there is none
    #[arg(long, env = "OMCP_DB", default_value = "omcp.db")]
    db: PathBuf,
    /// Where the admin API listens
    #[arg(long, env = "OMCP_ADMIN_LISTEN", default_value = ADMIN_LISTEN)]
    admin_listen: SocketAddr,
    /// Where nodes connect
    #[arg(long, env = "OMCP_SYNC_LISTEN", default_value = SYNC_LISTEN)]
    sync_listen: SocketAddr,
    /// Allow listening beyond loopback, although there is no authentication
    #[arg(long, env = "OMCP_INSECURE_LISTEN")]
    insecure_listen: bool,
    /// Time between heartbeats to nodes, milliseconds
    #[arg(long, env = "OMCP_HEARTBEAT_MS", default_value_t = HEARTBEAT_MS, value_parser = clap::value_parser!(u32).range(100..=600_000))]
    heartbeat_ms: u32,
    /// Revisions for which a node can catch up without a snapshot
    #[arg(long, env = "OMCP_RETAIN_REVISIONS", default_value_t = RETAIN_REVISIONS, value_parser = clap::value_parser!(u64).range(1..))]
    retain_revisions: u64,
    /// What to log, for example "info" or "omcp_control_plane=debug"
    #[arg(long, env = "OMCP_LOG", default_value = "info")]
    log: EnvFilter,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let config = Config {
        admin_listen: flags.admin_listen,
        sync_listen: flags.sync_listen,
        insecure_listen: flags.insecure_listen,
        heartbeat_ms: flags.heartbeat_ms,
        retain_revisions: flags.retain_revisions,
        ..Config::new(flags.db)
    };
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(flags.log).with_ansi(ansi).with_writer(std::io::stderr).init();
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let db = config.db.clone();
    let running = ControlPlane::start(config).await?;
    // The first line on standard output tells programs where to connect.
    let _ = writeln!(
        std::io::stdout(),
        "listening admin=http://{} sync=http://{}",
        running.admin(),
        running.sync()
    );
    tracing::info!(db = %db.display(), admin = %running.admin(), sync = %running.sync(), "control plane is ready");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    running.shutdown().await;
    Ok(())
}
