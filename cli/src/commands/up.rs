//! `omcp up`: a control plane and nodes in this process. The only file that knows both planes.
//!
//! - [`state`]: where the state is kept
//! - [`ports`]: where everything listens
//! - [`demo`]: the demo backend
//! - [`ready`]: when everything runs
//! - [`stop`]: the wish to stop

mod demo;
mod ports;
mod ready;
mod state;
mod stop;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser as _;
use omcp_control_plane::{ControlPlane, Running, StartError};
use omcp_data_plane::{Node as GatewayNode, NodeConfig, NodeError};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use self::state::StateDir;
use self::stop::wanted;
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::output::{self, time};
use crate::style;

/// How long calls may take to finish after Ctrl-C; a second Ctrl-C cuts that short.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Run a control plane and a node in this process, for a first try or a laptop
///
/// Listens on loopback only: 4180 MCP, 4181 admin, 4182 node sync, 4183 health and metrics. Ctrl-C
/// drains and ends everything that it started. OMCP_LOG=info shows what happens inside.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp up --demo
  omcp up --demo --ephemeral
  omcp up --state-dir ./state")]
pub struct Args {
    /// Apply a backend `demo`, served by this program itself
    #[arg(long)]
    demo: bool,

    /// Where to keep the state [default: $XDG_STATE_HOME/omcp or ~/.local/state/omcp]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    state_dir: Option<PathBuf>,

    /// Keep the state in a temporary directory and delete it at the end
    #[arg(long)]
    ephemeral: bool,

    /// Number of nodes; the first listens on 4180, the others on free ports
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    nodes: u16,

    /// Port of the admin API
    #[arg(long, default_value_t = ports::ADMIN, value_name = "PORT", conflicts_with = "free_ports")]
    admin_port: u16,

    /// Use free ports instead of 4180 to 4183
    #[arg(long)]
    free_ports: bool,
}

/// Belongs at the start of `main`: a node of `omcp up` starts this program again to supervise its processes.
pub fn supervise() {
    omcp_data_plane::supervise();
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let stop = stop::signals()?;
    log(context.global.verbose);
    let began = Instant::now();
    let state = StateDir::open(args.state_dir.as_deref(), args.ephemeral)?;
    say(&format!("omcp {}   loopback only, state in {}", env!("CARGO_PKG_VERSION"), state.path().display()));
    let control_plane = start_control_plane(&args, state.path()).await?;
    let context = Context { global: at(&control_plane, context), program: context.program };
    tick("control plane", &format!("http://{}", control_plane.admin()));
    let ended = match Nodes::start(&args, &control_plane, state.path(), &stop).await {
        Ok(nodes) => serve(&args, nodes, &context, stop, began).await,
        Err(failure) => Err(failure),
    };
    control_plane.shutdown().await;
    drop(state);
    ended.map(|()| Outcome::Done)
}

/// Finishes the start, and serves until somebody wants to stop or a node ends by itself.
async fn serve(
    args: &Args,
    mut nodes: Nodes,
    context: &Context,
    mut stop: watch::Receiver<u32>,
    began: Instant,
) -> Result<(), Failure> {
    let urls = nodes.urls.as_slice();
    let started = async {
        finish_start(args, urls, context, began).await?;
        std::future::pending().await
    };
    let served = tokio::select! {
        () = wanted(&mut stop, 1) => {
            say("\nstopping; once more Ctrl-C cuts it short");
            Ok(())
        }
        failed = started => failed,
        ended = nodes.tasks.join_next() => Err(ended_early(ended)),
    };
    let stopped = nodes.stop().await;
    served.and(stopped)
}

async fn finish_start(
    args: &Args,
    urls: &[(String, String)],
    context: &Context,
    began: Instant,
) -> Result<(), Failure> {
    ready::in_sync(args.nodes, context).await?;
    for (name, mcp_url) in urls {
        tick(&format!("node {name}"), mcp_url);
    }
    if args.demo {
        let began = Instant::now();
        demo::apply(context).await?;
        tick("backend demo", &format!("ready in {}", time::short(began.elapsed())));
    }
    let mcp_url = urls.first().map(|(_, url)| url.as_str()).unwrap_or_default();
    ready::show(mcp_url, args.demo, context, began)
}

async fn start_control_plane(args: &Args, state: &Path) -> Result<Running, Failure> {
    let mut config = omcp_control_plane::Config::new(state.join("omcp.db"));
    config.admin_listen = ports::loopback(if args.free_ports { 0 } else { args.admin_port });
    config.sync_listen = ports::usual_or_free(ports::SYNC, "node sync", args.free_ports);
    let admin = config.admin_listen;
    ControlPlane::start(config).await.map_err(|error| match &error {
        StartError::Listen { address, source, .. }
            if *address == admin && source.kind() == std::io::ErrorKind::AddrInUse =>
        {
            Failure::new(Cause::Failed, "start", format!("another omcp seems to run here: {admin} is taken"))
                .fix("use that one (`omcp nodes`), stop it, or start with --free-ports and --state-dir or --ephemeral")
        }
        _ => Failure::new(Cause::Failed, "start the control plane", chain(&error)),
    })
}

/// The nodes of this process.
struct Nodes {
    /// Name and MCP address of each.
    urls: Vec<(String, String)>,
    tasks: JoinSet<Result<(), NodeError>>,
    end: watch::Sender<bool>,
}

impl Nodes {
    /// Binds and runs them.
    async fn start(
        args: &Args,
        control_plane: &Running,
        state: &Path,
        stop: &watch::Receiver<u32>,
    ) -> Result<Self, Failure> {
        let (end, _) = watch::channel(false);
        let mut nodes = Self { urls: Vec::new(), tasks: JoinSet::new(), end };
        for number in 1..=args.nodes {
            let started = nodes.add(args, number, control_plane, state, stop).await;
            if let Err(failure) = started {
                return nodes.stop().await.and(Err(failure));
            }
        }
        Ok(nodes)
    }

    async fn add(
        &mut self,
        args: &Args,
        number: u16,
        control_plane: &Running,
        state: &Path,
        stop: &watch::Receiver<u32>,
    ) -> Result<(), Failure> {
        let config = node_config(args, number, control_plane, state)?;
        let name = config.name.clone();
        let node = GatewayNode::build(config, omcp_data_plane::builtin()).await;
        let node =
            node.map_err(|error| Failure::new(Cause::Failed, format!("start node {name}"), chain(&error)))?;
        self.urls.push((name, node.mcp_url().to_owned()));
        let (mut end, mut hurry) = (self.end.subscribe(), stop.clone());
        self.tasks.spawn(node.run_until(async move { drop(end.wait_for(|end| *end).await) }, async move {
            wanted(&mut hurry, 2).await
        }));
        Ok(())
    }

    /// Drains and ends them all.
    async fn stop(mut self) -> Result<(), Failure> {
        self.end.send_replace(true);
        let mut ended = Ok(());
        while let Some(end) = self.tasks.join_next().await {
            // Who stops it twice knows.
            if let Err(why) = read_end(end.map(|end| end.or_else(forgive_hurry))) {
                ended = Err(Failure::new(Cause::Failed, "end a node cleanly", why));
            }
        }
        ended
    }
}

fn forgive_hurry(error: NodeError) -> Result<(), NodeError> {
    if matches!(error, NodeError::Hurried) { Ok(()) } else { Err(error) }
}

/// How the task of a node ended.
type End = Result<Result<(), NodeError>, JoinError>;

fn read_end(end: End) -> Result<(), String> {
    end.map_err(|error| error.to_string())?.map_err(|error| chain(&error))
}

/// A node ended, and nobody asked it to.
fn ended_early(end: Option<End>) -> Failure {
    let why = end.and_then(|end| read_end(end).err()).unwrap_or_else(|| "it stopped by itself".to_owned());
    Failure::new(Cause::Failed, "keep the node running", why).fix("look closer with OMCP_LOG=debug")
}

fn node_config(
    args: &Args,
    number: u16,
    control_plane: &Running,
    state: &Path,
) -> Result<NodeConfig, Failure> {
    let parsed = omcp_data_plane::Args::try_parse_from(["omcp"]).map_err(|error| {
        Failure::new(Cause::Invalid, "read the settings of the node from the environment", error.to_string())
    })?;
    let free = args.free_ports || number > 1;
    let mut config = NodeConfig::from(parsed);
    config.name = if number == 1 { "local".to_owned() } else { format!("local-{number}") };
    config.control_plane = format!("http://{}", control_plane.sync());
    config.listen = ports::usual_or_free(ports::MCP, "MCP", free);
    config.admin_listen = ports::usual_or_free(ports::NODE_ADMIN, "health and metrics", free);
    config.state_dir = state.join("nodes").join(&config.name);
    config.insecure_listen = false;
    config.advertise_url = None;
    // No balancer stands in front of it.
    config.shutdown_delay = Duration::ZERO;
    config.front.drain_timeout = DRAIN_TIMEOUT;
    Ok(config)
}

/// The global options of somebody who talks to this control plane.
fn at(control_plane: &Running, context: &Context) -> crate::args::Global {
    crate::args::Global { server: format!("http://{}", control_plane.admin()), ..context.global.clone() }
}

fn log(verbose: u8) {
    let default = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let logs = tracing_subscriber::fmt()
        .with_env_filter(omcp_data_plane::telemetry::filter(default))
        .with_ansi(output::can_redraw())
        .with_writer(std::io::stderr);
    // Only a program that logs already refuses.
    drop(logs.try_init());
}

fn tick(what: &str, detail: &str) {
    say(&format!("  {} {what:<16} {detail}", style::good("✓")));
}

fn say(text: &str) {
    output::say(text);
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_node_that_ends_is_a_failure_with_its_reason() {
        let broken = NodeError::Front(Error::new(ErrorKind::AddrNotAvailable, "no such address"));
        for (end, why) in [
            (Some(Ok(Err(broken))), "the MCP listener failed: no such address"),
            (Some(Ok(Ok(()))), "it stopped by itself"),
        ] {
            let failure = ended_early(end);
            assert_eq!(failure.cause, Cause::Failed);
            assert!(failure.render(false).contains(why), "{}", failure.render(false));
        }
    }
}
