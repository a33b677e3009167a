//! Calls in a closed loop: every connection sends its next call when it has the answer to the last one.

pub mod connection;
pub mod request;

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
use crate::awake::stay_awake;
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
    /// Use one legacy session on all connections instead of one on each.
    #[arg(long)]
    pub share_session: bool,
    /// Never sleep.
    #[arg(long)]
    pub awake: bool,
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
    let measured = measure(&args.target, args.connections, Duration::from_secs_f64(args.seconds), args.pid)?;
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
    let shared = shared_session(target).await?;
    for _ in 0..connections {
        tasks.spawn(call_until_the_end(target.clone(), shared.clone(), phase.clone()));
    }
    let awake = target.awake.then(|| tokio::spawn(stay_awake()));
    let window = Window::watch(&phase, duration, pid).await?;
    let latency = time::timeout(FINISH_TIMEOUT, join(tasks)).await.context("calls do not come back")??;
    if let Some(awake) = awake {
        awake.abort();
    }
    anyhow::ensure!(latency.total() > 0, "no call came back within {duration:?}");
    Ok(window.measured(latency))
}

/// The session that all connections use, if they are to share one. It stays open until the server goes.
async fn shared_session(target: &Target) -> Result<Option<String>> {
    if !target.share_session || target.era == Era::Modern {
        return Ok(None);
    }
    let mut connection = Connection::open(target.to).await?;
    open_session(target, &mut connection).await.map(Some)
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
        Ok(Self { elapsed: began.elapsed(), cpu: cpu_time()?.saturating_sub(cpu_before) })
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

async fn call_until_the_end(
    target: Target,
    shared: Option<String>,
    phase: Arc<AtomicU8>,
) -> Result<Histogram> {
    let mut connection = Connection::open(target.to).await?;
    let own = match (target.era, &shared) {
        (Era::Legacy, None) => Some(open_session(&target, &mut connection).await?),
        _ => None,
    };
    let request = match shared.as_ref().or(own.as_ref()) {
        Some(session) => Request::legacy(&target, session),
        None => Request::modern(&target),
    };
    let latency = repeat(request, target.tool, &mut connection, &phase).await?;
    if let Some(session) = own {
        connection.exchange(&request::delete_session(&target, &session)).await?;
    }
    Ok(latency)
}

async fn repeat(
    mut request: Request,
    tool: Tool,
    connection: &mut Connection,
    phase: &AtomicU8,
) -> Result<Histogram> {
    let mut latency = Histogram::default();
    loop {
        let id = request.next_id();
        let began = Instant::now();
        let reply = connection.exchange(request.bytes()).await?;
        let elapsed = began.elapsed();
        request::check(reply, &id, tool)?;
        match phase.load(Ordering::Relaxed) {
            WARMING => {}
            COUNTING => latency.record(elapsed),
            _ => return Ok(latency),
        }
    }
}

/// Opens a legacy session and returns its id; empty if the server needs none.
async fn open_session(target: &Target, connection: &mut Connection) -> Result<String> {
    let reply = connection.exchange(&request::initialize(target)).await?;
    anyhow::ensure!(reply.status == 200, "initialize was answered with {reply}");
    let session = reply.session.clone();
    let reply = connection.exchange(&request::initialized(target, &session)).await?;
    anyhow::ensure!(reply.status == 202, "initialized was answered with {reply}");
    Ok(session)
}
