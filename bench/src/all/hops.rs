//! The rows of the call path: what a call costs on its way through the gateway.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Effort;
use super::pair::{Calls, Endpoint, Pair, Property};
use super::table::Table;
use crate::gateway::{self, Gateway};
use crate::load::{self, Era, Target, Tool};
use crate::process;
use crate::program::Program;
use crate::sync::{LOAD_CORE, TEST_CORE, bench_backend};

const HTTP_BACKEND: &str = "bench-http";
const PIPE_BACKEND: &str = "bench-pipe";
/// Connections of a busy endpoint.
const MANY: usize = 64;
/// How long a backend may take until the node serves it.
const SERVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a node rests before its memory is read.
const REST: Duration = Duration::from_secs(2);
const MIB: f64 = 1024.0 * 1024.0;

/// The programs that are compared with.
#[derive(Debug)]
struct Yardsticks {
    backend: Program,
    pass_through: Program,
    bridge: Program,
}

/// The gateway under test.
#[derive(Debug)]
struct Fleet {
    node: Program,
    _control_plane: Program,
}

/// Measures the call path.
///
/// # Errors
/// If a program does not start or a call fails.
pub fn measure(gateway: Option<&Gateway>, effort: Effort, table: &mut Table) -> Result<()> {
    let yardsticks = Yardsticks::start()?;
    let fleet = gateway.map(|gateway| Fleet::start(gateway, &yardsticks.backend)).transpose()?;
    if let Some(fleet) = &fleet {
        idle_row(table, "node at rest, 2 backends", fleet, Some(16.0))?;
    }
    let (transparent, relay) = pairs(fleet.as_ref(), &yardsticks)?;
    for era in [Era::Legacy, Era::Modern] {
        transparent_rows(&transparent, era, effort, table)?;
        relay_rows(&relay, era, effort, table)?;
    }
    if let Some(fleet) = &fleet {
        idle_row(table, "node at rest, after the load", fleet, None)?;
    }
    Ok(())
}

impl Yardsticks {
    fn start() -> Result<Self> {
        let backend = bench_backend()?;
        let own = |arguments: &[&str]| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(arguments);
            Program::start(command, TEST_CORE, &[""])
        };
        let to = backend.address("")?.to_string();
        let pass_through = own(&["pass-through", "--to", &to])?;
        let exe = std::env::current_exe()?;
        let exe = exe.to_str().context("this program's path is not text")?;
        let bridge = own(&["bridge", "--", exe, "stdio-backend", "--core", &LOAD_CORE.to_string()])?;
        Ok(Self { backend, pass_through, bridge })
    }
}

impl Fleet {
    fn start(gateway: &Gateway, backend: &Program) -> Result<Self> {
        let control_plane = gateway.control_plane("hops", LOAD_CORE)?;
        let node = gateway.node("hops-node", &control_plane, TEST_CORE)?;
        apply(control_plane.address("admin")?, backend.address("")?)?;
        let fleet = Self { node, _control_plane: control_plane };
        fleet.wait(HTTP_BACKEND)?;
        fleet.wait(PIPE_BACKEND)?;
        Ok(fleet)
    }

    /// Waits until a backend answers.
    fn wait(&self, backend: &str) -> Result<()> {
        let Endpoint { address, path, .. } = self.endpoint(backend)?;
        let target = Target { to: address, path, era: Era::Modern, tool: Tool::Echo, share_session: false };
        let deadline = Instant::now() + SERVE_TIMEOUT;
        loop {
            match load::measure(&target, 1, Duration::from_millis(10), None) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!(
                        "{backend} is not served; the node said: {}",
                        self.node.last_words()
                    )));
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn endpoint(&self, backend: &str) -> Result<Endpoint> {
        Ok(Endpoint {
            address: self.node.address("mcp")?,
            path: format!("/mcp/{backend}"),
            pid: self.node.pid(),
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn apply(control_plane: SocketAddr, backend: SocketAddr) -> Result<()> {
    let exe = std::env::current_exe()?;
    let core = LOAD_CORE.to_string();
    let pipe = gateway::process_backend(PIPE_BACKEND, &exe, &["stdio-backend", "--core", &core]);
    gateway::apply(control_plane, &[gateway::http_backend(HTTP_BACKEND, backend, "hops"), pipe]).await
}

/// Ours beside the yardsticks; without a gateway, each yardstick beside itself: the noise of the machine.
fn pairs(fleet: Option<&Fleet>, yardsticks: &Yardsticks) -> Result<(Pair, Pair)> {
    let bare = |program: &Program| -> Result<Endpoint> {
        Ok(Endpoint { address: program.address("")?, path: "/mcp".to_owned(), pid: program.pid() })
    };
    let (pass_through, bridge) = (bare(&yardsticks.pass_through)?, bare(&yardsticks.bridge)?);
    let ours = |backend: &str, yardstick: &Endpoint| match fleet {
        Some(fleet) => fleet.endpoint(backend),
        None => Ok(yardstick.clone()),
    };
    let transparent = Pair {
        mode: "T",
        ours: ours(HTTP_BACKEND, &pass_through)?,
        yardstick: pass_through,
        share_session: false,
    };
    // A legacy session has a process of its own, and the bridge has one process: one session, then.
    let relay =
        Pair { mode: "R", ours: ours(PIPE_BACKEND, &bridge)?, yardstick: bridge, share_session: true };
    Ok((transparent, relay))
}

fn transparent_rows(pair: &Pair, era: Era, effort: Effort, table: &mut Table) -> Result<()> {
    let calls = |tool, connections| Calls { era, tool, connections };
    let name = |what: &str| format!("T {} {what}", era_name(era));
    let many = pair.compare(calls(Tool::Echo, MANY), effort)?;
    many.row(table, &name("64 connections, cpu/call"), Property::Cpu, Some(1.6));
    many.row(table, &name("64 connections, p99"), Property::P99, Some(1.5));
    many.row(table, &name("64 connections, calls"), Property::Throughput, None);
    let one = pair.compare(calls(Tool::Echo, 1), effort)?;
    one.row(table, &name("1 connection, p50"), Property::P50, Some(1.15));
    let big = pair.compare(calls(Tool::Big, MANY), effort)?;
    big.row(table, &name("64 KiB results, cpu/call"), Property::Cpu, Some(1.3));
    let progress = pair.compare(calls(Tool::Progress, MANY), effort)?;
    progress.row(table, &name("20 progress events, cpu/call"), Property::Cpu, Some(1.4));
    Ok(())
}

fn relay_rows(pair: &Pair, era: Era, effort: Effort, table: &mut Table) -> Result<()> {
    let many = pair.compare(Calls { era, tool: Tool::Echo, connections: MANY }, effort)?;
    let name = |what: &str| format!("R {} stdio, 64 connections, {what}", era_name(era));
    many.row(table, &name("cpu/call"), Property::Cpu, Some(2.0));
    many.row(table, &name("calls"), Property::Throughput, None);
    Ok(())
}

fn idle_row(table: &mut Table, name: &str, fleet: &Fleet, target: Option<f64>) -> Result<()> {
    thread::sleep(REST);
    table.value(name, process::resident_bytes(fleet.node.pid())? as f64 / MIB, "MiB", target);
    Ok(())
}

fn era_name(era: Era) -> &'static str {
    match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    }
}
