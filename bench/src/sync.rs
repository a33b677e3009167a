//! How fast a change reaches the nodes, and what 10,000 backends cost.
//!
//! - [`node`]: a simulated node: the real stream, a map instead of runtimes
//! - [`changes`]: changes at a fixed rate, timed until the last node has applied them
//! - [`cold`]: a real node that starts with nothing

mod changes;
mod cold;
mod node;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use omcp_proto::v1::ManifestBackend;

pub use self::changes::{Changes, Delays};
pub use self::cold::{Cold, measure as cold_start};
use crate::gateway::{Gateway, apply, http_backend};
use crate::histogram::Histogram;
use crate::process;
use crate::program::Program;

/// Core of the load, of the backend and of simulated nodes.
pub const LOAD_CORE: usize = 0;
/// Core of the program under test.
pub const TEST_CORE: usize = 1;
/// Random bytes in each backend: written as hexadecimal digits they make about 1 KiB of settings.
const FILLING_LEN: usize = 450;

/// Arguments of `sync`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the gateway's programs.
    #[arg(long, default_value = "target/release")]
    gateway_bin_dir: PathBuf,
    /// Backends in the store.
    #[arg(long, default_value_t = 10_000)]
    backends: usize,
    /// Simulated nodes.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// Changes to time.
    #[arg(long, default_value_t = 1000)]
    changes: usize,
    /// Changes per second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
}

/// Measures and prints.
///
/// # Errors
/// If a program does not start or a change does not arrive.
pub fn run(args: &Args) -> Result<()> {
    process::pin(LOAD_CORE)?;
    let work_dir = tempfile::tempdir()?;
    let gateway = Gateway::new(&args.gateway_bin_dir, work_dir.path());
    let backend = bench_backend(&[])?;
    let control_plane = gateway.control_plane("sync", TEST_CORE)?;
    fill(&control_plane, &backend, args.backends)?;
    let cold = cold_start(&gateway, "cold", &control_plane, args.backends)?;
    println!(
        "cold start of a node: ready after {:?}, first call answered after {:?}",
        cold.ready, cold.served
    );
    println!("control plane: {} KiB", cold.control_plane_bytes / 1024);
    let changes = Changes { count: args.changes, per_second: args.rate, backends: args.backends };
    print_delays(args.nodes, &changes.measure(&control_plane, args.nodes)?.all());
    Ok(())
}

fn print_delays(nodes: usize, delays: &Delays) {
    let show = |what: &str, histogram: &Histogram| {
        let at = |share| histogram.quantile(share);
        println!("{nodes} nodes, {what}: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));
    };
    show("update sent to last applied", &delays.from_request);
    show("update answered to last applied", &delays.from_response);
    show("update itself", &delays.update);
}

/// Starts the HTTP backend of this program on the core of the load.
///
/// # Errors
/// If it does not start.
pub fn bench_backend(arguments: &[&str]) -> Result<Program> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("backend").args(arguments);
    Program::start(command, LOAD_CORE, &[""])
}

/// Stores so many backends.
///
/// # Errors
/// If the control plane refuses them.
#[tokio::main(flavor = "current_thread")]
pub async fn fill(control_plane: &Program, backend: &Program, count: usize) -> Result<()> {
    let address = backend.address("")?;
    let backends: Result<Vec<ManifestBackend>> =
        (0..count).map(|number| Ok(http_backend(&backend_name(number), address, &filling()?))).collect();
    apply(control_plane.address("admin")?, &backends?).await
}

fn backend_name(number: usize) -> String {
    format!("bench-{number:05}")
}

/// Random text, so that compression cannot flatter.
fn filling() -> Result<String> {
    let mut bytes = [0; FILLING_LEN];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("read random bytes: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
