//! The rows of the aggregate: how long a list takes that is made of many backends, also while some are dead
//! and one hangs, and on a node that has just started.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use tokio::time::sleep;

use super::Effort;
use super::table::Table;
use crate::gateway::{self, Gateway, http_backend};
use crate::histogram::Histogram;
use crate::load::connection::Connection;
use crate::load::request;
use crate::program::Program;
use crate::sync::{LOAD_CORE, TEST_CORE, bench_backend};

/// Backends behind the endpoint.
const BACKENDS: usize = 50;
/// Tools of each.
const TOOLS: usize = 20;
/// Backends that die before the second node starts.
const DEAD: usize = 5;
/// How long the lists may take to be whole.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What a list says that lacks something.
const MISSING_NOTHING: &[u8] = br#""missing":[]"#;
const PARTIAL: &[u8] = b"open-mcp-gateway/partial";

/// Measures the lists.
///
/// # Errors
/// If a program does not start, or a list is never whole.
pub fn measure(gateway: &Gateway, effort: Effort, table: &mut Table) -> Result<()> {
    let tools = TOOLS.to_string();
    let (lasting, mortal) = (bench_backend(&["--tools", &tools])?, bench_backend(&["--tools", &tools])?);
    let hanging = Hanging::start()?;
    let control_plane = gateway.control_plane("aggregate", LOAD_CORE)?;
    let node = gateway.node("aggregate-first", &control_plane, TEST_CORE)?;
    apply(&control_plane, &lasting, &mortal, hanging.address)?;
    let first = node.address("mcp")?;
    let known = BACKENDS - 1;
    whole(first, known).with_context(|| node.last_words())?;
    let measured = lists(first, known, effort.lists)?;
    rows(table, "1,000 tools of 50 backends", &measured, 2.0);
    drop(mortal);
    let late = gateway.node("aggregate-late", &control_plane, TEST_CORE)?;
    let began = Instant::now();
    whole(late.address("mcp")?, known).with_context(|| late.last_words())?;
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    table.value("tools/list, node start to all that is known", milliseconds, "ms", None);
    let measured = lists(late.address("mcp")?, known, effort.lists)?;
    rows(table, "1 hangs, 5 are dead, new node", &measured, 5.0);
    Ok(())
}

fn rows(table: &mut Table, name: &str, measured: &Histogram, target: f64) {
    let at = |share: f64| measured.quantile(share).as_secs_f64() * 1e3;
    table.value(&format!("tools/list, {name}, p50"), at(0.5), "ms", None);
    table.value(&format!("tools/list, {name}, p99"), at(0.99), "ms", Some(target));
}

/// A server that takes connections and never answers.
struct Hanging {
    address: SocketAddr,
    _listener: TcpListener,
}

impl Hanging {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Ok(Self { address: listener.local_addr()?, _listener: listener })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn apply(
    control_plane: &Program,
    lasting: &Program,
    mortal: &Program,
    hanging: SocketAddr,
) -> Result<()> {
    let (lasting, mortal) = (lasting.address("")?, mortal.address("")?);
    let address = |number| match number {
        0 => hanging,
        1..=DEAD => mortal,
        _ => lasting,
    };
    let backend = |number| http_backend(&format!("backend-{number:02}"), address(number), "");
    let backends: Vec<_> = (0..BACKENDS).map(backend).collect();
    gateway::apply(control_plane.address("admin")?, &backends).await
}

/// Waits until the tools of so many backends are listed.
#[tokio::main(flavor = "current_thread")]
async fn whole(node: SocketAddr, backends: usize) -> Result<()> {
    let deadline = Instant::now() + WHOLE_TIMEOUT;
    loop {
        let mut connection = Connection::open(node).await?;
        let reply = connection.exchange(&request::list_tools(node)).await?;
        match check(&reply.body, backends) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// One list after the other on one connection.
#[tokio::main(flavor = "current_thread")]
async fn lists(node: SocketAddr, backends: usize, count: usize) -> Result<Histogram> {
    let request = request::list_tools(node);
    let mut connection = Connection::open(node).await?;
    let mut times = Histogram::default();
    for _ in 0..count {
        let began = Instant::now();
        let reply = connection.exchange(&request).await?;
        times.record(began.elapsed());
        check(&reply.body, backends)?;
    }
    Ok(times)
}

/// Every backend that ever told what it lists is there; the one that hangs never did.
fn check(list: &[u8], backends: usize) -> Result<()> {
    let count = memmem::find_iter(list, b"\"name\":\"backend-").count();
    ensure!(count == backends * TOOLS, "the list has {count} tools");
    let partial = memmem::find(list, PARTIAL).is_some();
    ensure!(partial && memmem::find(list, MISSING_NOTHING).is_none(), "the list does not say what it lacks");
    Ok(())
}
