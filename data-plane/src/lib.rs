//! The node: receives backend definitions, builds runtimes from them, and proxies MCP traffic.
//!
//! In reading order:
//!
//! - [`config`], [`limits`]: what a node is started with
//! - [`node`]: its parts, their order of start and end
//! - [`sync`]: what it receives from the control plane, and keeps
//! - [`backends`]: what it builds from that
//! - [`plugins`]: runtime types that other processes bring
//! - [`host`]: what its machine lends to backends
//! - [`front`], [`session`], [`clients`]: MCP clients come in
//! - [`aggregate`]: many backends behind one endpoint
//! - [`members`]: the other nodes, and what is shared with them
//! - [`upstream`]: the way out to backends that are HTTP servers
//! - [`acceptor`], [`alarm`]: connections, also when descriptors run out, and their deadlines
//! - [`admin`]: health, metrics, logs and state of this node
//! - [`failure`], [`fields`], [`telemetry`]: small things used all over
//!
//! [`main`] also turns the program into the supervisor of a process when a node starts it for that. Who
//! calls [`run`] instead begins their own `main` with [`supervise`].
//!
//! A program with runtime types of its own is this node with a longer registry:
//!
//! ```no_run
//! # use omcp_runtimes::local_process::LocalProcess as MyRuntime;
//! fn main() -> std::process::ExitCode {
//!     omcp_data_plane::main(omcp_data_plane::builtin().with(MyRuntime))
//! }
//! ```

pub mod acceptor;
pub mod admin;
pub mod aggregate;
pub mod alarm;
pub mod backends;
pub mod clients;
pub mod config;
pub mod failure;
pub mod fields;
pub mod front;
pub mod host;
pub mod limits;
pub mod members;
pub mod node;
pub mod plugins;
pub mod session;
mod signals;
pub mod sync;
pub mod telemetry;
pub mod upstream;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use omcp_core::{GatewayError, RuntimeRegistry};

pub use config::{Args, NodeConfig};
pub use node::{Node, NodeError};
pub use omcp_runtimes::builtin;
use omcp_runtimes::process::descriptors::raise_limit;
pub use omcp_runtimes::supervisor::enter as supervise;

/// What may still run when the node has ended, such as a look-up of a name that nobody answers, is not waited
/// for any longer.
const LEFTOVERS_WAIT: Duration = Duration::from_millis(200);

/// The whole program: reads the arguments, starts an async runtime and runs a node that offers the types
/// of `registry` until it is told to stop. A registry that could not be made is told as any other error.
pub fn main(registry: Result<RuntimeRegistry, GatewayError>) -> ExitCode {
    supervise();
    let args = Args::parse();
    raise_limit();
    let registry = match registry {
        Ok(registry) => registry,
        Err(error) => return complain(&error),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(args, registry));
            runtime.shutdown_timeout(LEFTOVERS_WAIT);
            code
        }
        Err(error) => complain(&error),
    }
}

/// [`main`] for a program that has an async runtime already, and whose own `main` began with [`supervise`].
pub async fn run(args: Args, registry: RuntimeRegistry) -> ExitCode {
    telemetry::start();
    match serve(args.into(), registry).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

async fn serve(config: NodeConfig, registry: RuntimeRegistry) -> Result<(), NodeError> {
    let (stop, hurry) = signals::stop_and_hurry().map_err(NodeError::Signals)?;
    let node = Node::build(config, registry).await?;
    let _ = writeln!(std::io::stdout(), "listening mcp={} admin={}", node.mcp_url(), node.admin_url());
    node.run_until(stop, hurry).await
}

fn complain(error: &dyn std::error::Error) -> ExitCode {
    let mut line = format!("omcp-data-plane: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    eprintln!("{line}");
    ExitCode::FAILURE
}
