//! Calls in a closed loop: every connection sends its next call when it has the answer to the last one.

mod connection;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::task::JoinSet;
use tokio::time;

use self::connection::Connection;
use self::request::Request;
use crate::histogram::Histogram;
use crate::process;

/// Time before counting starts: connections open, caches fill.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long the connections may take to finish after the end.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Which family of revisions the calls belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Era {
    /// 2025-11-25, in a session.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// Which tool is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// A small result.
    Echo,
    /// A result of 64 KiB.
    Big,
    /// 20 progress notifications, then a result.
    Progress,
}

/// Where the calls go, and what they are.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// Address of the server.
    #[arg(long)]
    pub to: SocketAddr,
    /// Path of its MCP endpoint.
    #[arg(long, default_value = "/mcp")]
    pub path: String,
    /// Family of revisions.
    #[arg(long, value_enum, default_value = "legacy")]
    pub era: Era,
    /// The tool.
    #[arg(long, value_enum, default_value = "echo")]
    pub tool: Tool,
}

/// Arguments of `load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Connections, each with one call in flight.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Process whose CPU time to measure.
    #[arg(long)]
    pid: Option<u32>,
}

/// What one run measured.
#[derive(Debug)]
pub struct Measured {
    /// Calls per second.
    pub calls_per_second: f64,
    /// Time from request to answer.
    pub latency: Histogram,
    /// CPU time of the process under test, per call, in microseconds; 0 if no process was named.
    pub cpu_micros: f64,
}

/// Runs one load and prints what it measured.
///
/// # Errors
/// If a call fails or its answer is wrong.
pub fn run(args: &Args) -> Result<()> {
    let measured = measure(
        &args.target,
        args.connections,
        Duration::from_secs_f64(args.seconds),
        args.pid,
    )?;
    let micros = |share: f64| measured.latency.quantile(share).as_secs_f64() * 1e6;
    println!(
        "{:.0} calls/s, p50 {:.1} us, p99 {:.1} us, cpu {:.2} us/call",
        measured.calls_per_second,
        micros(0.5),
        micros(0.99),
        measured.cpu_micros
    );
    Ok(())
}

/// Runs one load.
///
/// # Errors
/// If a call fails or its answer is wrong.
#[tokio::main(flavor = "current_thread")]
pub async fn measure(
    target: &Target,
    connections: usize,
    duration: Duration,
    pid: Option<u32>,
) -> Result<Measured> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(call_until_the_end(target.clone(), phase.clone()));
    }
    let window = Window::watch(&phase, duration, pid).await?;
    let latency = time::timeout(FINISH_TIMEOUT, join(tasks))
        .await
        .context("calls do not come back")??;
    anyhow::ensure!(latency.total() > 0, "no call came back within {duration:?}");
    Ok(window.measured(latency))
}

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const ENDED: u8 = 2;

/// The time in which calls count, and the CPU time spent in it.
#[derive(Debug)]
struct Window {
    elapsed: Duration,
    cpu: Duration,
}

impl Window {
    async fn watch(phase: &AtomicU8, duration: Duration, pid: Option<u32>) -> Result<Self> {
        let cpu_time = || pid.map_or(Ok(Duration::ZERO), process::cpu_time);
        time::sleep(WARM_UP).await;
        let (began, cpu_before) = (Instant::now(), cpu_time()?);
        phase.store(COUNTING, Ordering::Relaxed);
        time::sleep(duration).await;
        phase.store(ENDED, Ordering::Relaxed);
        Ok(Self {
            elapsed: began.elapsed(),
            cpu: cpu_time()?.saturating_sub(cpu_before),
        })
    }

    fn measured(&self, latency: Histogram) -> Measured {
        let calls = latency.total() as f64;
        Measured {
            calls_per_second: calls / self.elapsed.as_secs_f64(),
            cpu_micros: self.cpu.as_secs_f64() * 1e6 / calls,
            latency,
        }
    }
}

async fn join(mut tasks: JoinSet<Result<Histogram>>) -> Result<Histogram> {
    let mut all = Histogram::default();
    while let Some(done) = tasks.join_next().await {
        all.merge(&done??);
    }
    Ok(all)
}

async fn call_until_the_end(target: Target, phase: Arc<AtomicU8>) -> Result<Histogram> {
    let mut latency = Histogram::default();
    let mut connection = Connection::open(target.to).await?;
    let mut request = open_session(&target, &mut connection).await?;
    loop {
        let began = Instant::now();
        let id = request.next_id();
        let reply = connection.exchange(request.bytes()).await?;
        request::check(&reply, &id, target.tool)?;
        match phase.load(Ordering::Relaxed) {
            WARMING => {}
            COUNTING => latency.record(began.elapsed()),
            _ => return Ok(latency),
        }
    }
}

/// The request to repeat: for a legacy client, within a session that it opens here.
async fn open_session(target: &Target, connection: &mut Connection) -> Result<Request> {
    if target.era == Era::Modern {
        return Ok(Request::modern(target));
    }
    let reply = connection.exchange(&request::initialize(target)).await?;
    anyhow::ensure!(reply.status == 200, "initialize was answered with {reply}");
    let session = reply.session.clone();
    let reply = connection
        .exchange(&request::initialized(target, &session))
        .await?;
    anyhow::ensure!(reply.status == 202, "initialized was answered with {reply}");
    Ok(Request::legacy(target, &session))
}
