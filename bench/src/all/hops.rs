//! The rows of the call path: what a call costs on its way through the gateway.

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
const AWAKE_BACKEND: &str = "bench-awake";
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
    http: Hop,
    /// The same with a backend that stays awake.
    awake: Hop,
    bridge: Program,
}

/// A backend and the yardstick in front of it.
#[derive(Debug)]
struct Hop {
    backend: Program,
    pass_through: Program,
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
    let fleet = gateway.map(|gateway| Fleet::start(gateway, &yardsticks)).transpose()?;
    if let Some(fleet) = &fleet {
        idle_row(table, "node at rest, 3 backends", fleet, Some(16.0))?;
    }
    let pairs = Pairs::new(fleet.as_ref(), &yardsticks)?;
    for era in [Era::Legacy, Era::Modern] {
        transparent_rows(&pairs.transparent, era, effort, table)?;
        relay_rows(&pairs.relay, era, effort, table)?;
        awake_rows(&pairs, era, effort, table)?;
    }
    if let Some(fleet) = &fleet {
        idle_row(table, "node at rest, after the load", fleet, None)?;
    }
    Ok(())
}

impl Yardsticks {
    fn start() -> Result<Self> {
        let exe = std::env::current_exe()?;
        let exe = exe.to_str().context("this program's path is not text")?;
        let bridge = yardstick(&["bridge", "--", exe, "stdio-backend", "--core", &LOAD_CORE.to_string()])?;
        Ok(Self { http: Hop::start(&[])?, awake: Hop::start(&["--awake"])?, bridge })
    }
}

impl Hop {
    fn start(backend: &[&str]) -> Result<Self> {
        let backend = bench_backend(backend)?;
        let pass_through = yardstick(&["pass-through", "--to", &backend.address("")?.to_string()])?;
        Ok(Self { backend, pass_through })
    }
}

fn yardstick(arguments: &[&str]) -> Result<Program> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Program::start(command, TEST_CORE, &[""])
}

impl Fleet {
    fn start(gateway: &Gateway, yardsticks: &Yardsticks) -> Result<Self> {
        let control_plane = gateway.control_plane("hops", LOAD_CORE)?;
        let node = gateway.node("hops-node", &control_plane, TEST_CORE)?;
        apply(&control_plane, yardsticks)?;
        let fleet = Self { node, _control_plane: control_plane };
        [HTTP_BACKEND, AWAKE_BACKEND, PIPE_BACKEND]
            .into_iter()
            .try_for_each(|backend| fleet.wait(backend))?;
        Ok(fleet)
    }

    /// Waits until a backend answers.
    fn wait(&self, backend: &str) -> Result<()> {
        let Endpoint { address, path, .. } = self.endpoint(backend)?;
        let target = Target {
            to: address,
            path,
            era: Era::Modern,
            tool: Tool::Echo,
            share_session: false,
            awake: false,
        };
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
async fn apply(control_plane: &Program, yardsticks: &Yardsticks) -> Result<()> {
    let exe = std::env::current_exe()?;
    let backends = [
        gateway::http_backend(HTTP_BACKEND, yardsticks.http.backend.address("")?, ""),
        gateway::http_backend(AWAKE_BACKEND, yardsticks.awake.backend.address("")?, ""),
        gateway::process_backend(PIPE_BACKEND, &exe, &["stdio-backend", "--core", &LOAD_CORE.to_string()]),
    ];
    gateway::apply(control_plane.address("admin")?, &backends).await
}

/// The three comparisons.
#[derive(Debug)]
struct Pairs {
    transparent: Pair,
    /// The same with a backend that stays awake.
    awake: Pair,
    relay: Pair,
}

impl Pairs {
    /// Ours beside the yardsticks; without a gateway, each yardstick beside itself: the noise of the machine.
    fn new(fleet: Option<&Fleet>, yardsticks: &Yardsticks) -> Result<Self> {
        let pair = |mode, backend: &str, yardstick: &Program, share_session| -> Result<Pair> {
            let yardstick =
                Endpoint { address: yardstick.address("")?, path: "/mcp".to_owned(), pid: yardstick.pid() };
            let ours = fleet.map_or_else(|| Ok(yardstick.clone()), |fleet| fleet.endpoint(backend))?;
            Ok(Pair { mode, ours, yardstick, share_session })
        };
        Ok(Self {
            transparent: pair("T", HTTP_BACKEND, &yardsticks.http.pass_through, false)?,
            awake: pair("T", AWAKE_BACKEND, &yardsticks.awake.pass_through, false)?,
            // A legacy session has a process of its own, and the bridge has one process: one session, then.
            relay: pair("R", PIPE_BACKEND, &yardsticks.bridge, true)?,
        })
    }
}

fn transparent_rows(pair: &Pair, era: Era, effort: Effort, table: &mut Table) -> Result<()> {
    let calls = |tool, connections| Calls { era, tool, connections, awake: false };
    let name = |what: &str| format!("T {} {what}", era_name(era));
    let many = pair.compare(calls(Tool::Echo, MANY), effort)?;
    many.row(table, &name("64 connections, cpu/call"), Property::Cpu, Some(1.6));
    many.row(table, &name("64 connections, p99"), Property::P99, Some(1.5));
    many.row(table, "  of all rounds together, p99", Property::P99OfAll, None);
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
    let many = pair.compare(Calls { era, tool: Tool::Echo, connections: MANY, awake: false }, effort)?;
    let name = |what: &str| format!("R {} stdio, 64 connections, {what}", era_name(era));
    many.row(table, &name("cpu/call"), Property::Cpu, Some(2.0));
    many.row(table, &name("calls"), Property::Throughput, None);
    Ok(())
}

/// What is left when neither has to wake its peers: see [`crate::awake`].
fn awake_rows(pairs: &Pairs, era: Era, effort: Effort, table: &mut Table) -> Result<()> {
    for pair in [&pairs.awake, &pairs.relay] {
        let many = pair.compare(Calls { era, tool: Tool::Echo, connections: MANY, awake: true }, effort)?;
        let name = format!("{} {} peers kept awake, cpu/call", pair.mode, era_name(era));
        many.row(table, &name, Property::Cpu, None);
    }
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
