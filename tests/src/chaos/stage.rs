//! A control plane, nodes, and twenty backends of every kind that the load calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::caller::{Caller, Era};
use super::ledger::Ledger;
use super::load::Load;
use super::plan::Plan;
use super::row::Row;
use crate::harness::Cluster;
use crate::harness::manifest::{http, stdio};
use crate::harness::processes;
use crate::harness::server::Server;

/// What stands in the environment of every process that a node starts here.
pub const MARK: &str = "OMCP_TEST_MARK";
/// And whose it is.
pub const BACKEND: &str = "OMCP_TEST_BACKEND";
/// The eras of servers: both, one, the other.
const ERAS: [&str; 3] = ["both", "legacy", "modern"];
const PIPES: usize = 8;
/// A process that nobody uses for so long ends, so that nothing is left at rest.
const IDLE_MS: u64 = 1_000;
/// What a server does that can only be killed, with children that hide.
const STUBBORN: [&str; 6] = ["--behave", "brood", "--behave", "ignore-eof", "--behave", "ignore-sigterm"];
const BACKENDS: usize = 20;
/// Before anything is measured: connections open, sessions begin, caches fill.
const WARM_UP: Duration = Duration::from_secs(2);
/// Supervisors give a process two seconds, so that this is enough for them and some load.
const END_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// Longest pause between two starts of a program that was killed soon after its start, and some time for the last.
const SETTLE_LIMIT: Duration = Duration::from_secs(75);
const SETTLE_POLL: Duration = Duration::from_millis(500);

pub struct Stage {
    pub plan: Plan,
    pub cluster: Cluster,
    pub ledger: Arc<Ledger>,
    /// What the backends are defined as.
    pub backends: Vec<Value>,
    _servers: Vec<Server>,
    mark: String,
    rng: Rng,
    nonce: u64,
}

impl Stage {
    /// Starts everything; returns when every node serves all twenty.
    pub fn start(plan: Plan, nodes: usize) -> Self {
        Self::around(plan, Cluster::start(nodes))
    }

    /// Puts the backends on a cluster that runs.
    pub fn around(plan: Plan, cluster: Cluster) -> Self {
        let ledger = Ledger::new(cluster.folder().join("tally"));
        let file = ledger.file().to_string_lossy().into_owned();
        let servers = ERAS.map(|era| Server::http(&["--era", era, "--tally", &file]));
        let mark = format!("{MARK}=chaos-{}", std::process::id());
        let backend = |number: usize| {
            let era = ERAS[number % ERAS.len()];
            match number {
                0..PIPES => pipe(&format!("pipe-{number}"), &["--era", era, "--tally", &file], &mark),
                _ => http(&format!("http-{number}"), &servers[number % ERAS.len()].url),
            }
        };
        let backends: Vec<_> = (0..BACKENDS).map(backend).collect();
        cluster.apply(&backends);
        let (servers, rng) = (servers.into(), plan.rng());
        Self { plan, cluster, ledger: Arc::new(ledger), backends, _servers: servers, mark, rng, nonce: 1 }
    }

    /// A process that a node starts, marked as ours.
    pub fn pipe(&self, id: &str, options: &[&str]) -> Value {
        pipe(id, options, &self.mark)
    }

    /// A server that can only be killed, with children that hide; killed soon.
    pub fn stubborn(&self, id: &str) -> Value {
        let mut backend = self.pipe(id, &STUBBORN);
        for field in ["stop_timeout_ms", "kill_timeout_ms"] {
            backend["runtime"][field] = json!(200);
        }
        backend
    }

    /// Everything that runs for one backend, on all nodes.
    pub fn processes_of(&self, id: &str) -> usize {
        let of = |pid| backend_of(pid).is_some_and(|backend| backend == id);
        processes::marked(&self.mark).into_iter().filter(|process| of(process.pid)).count()
    }

    /// Whether this backend speaks only one era, and which.
    pub fn only_era(backend: &str) -> Option<Era> {
        let number: usize = backend.rsplit('-').next()?.parse().ok()?;
        match ERAS[number % ERAS.len()] {
            "legacy" => Some(Era::Legacy),
            "modern" => Some(Era::Modern),
            _ => None,
        }
    }

    /// Steady calls of clients of both eras to every backend, by way of all nodes.
    pub fn load(&mut self) -> Load {
        self.load_at(self.plan.rate())
    }

    /// The same, at another rate.
    pub fn load_at(&mut self, rate: u32) -> Load {
        let names = self.backends.iter().filter_map(|backend| backend["id"].as_str());
        let callers = names.flat_map(|name| {
            [Era::Legacy, Era::Modern].map(|era| {
                let urls = self.cluster.nodes.iter().map(|node| node.endpoint(name)).collect();
                Arc::new(Caller::new(name, era, urls))
            })
        });
        Load::start(callers.collect(), rate, self.rng.fork(), self.nonce, self.ledger.clone())
    }

    /// Calls everything for a while, so that what is opened once and kept is open.
    ///
    /// # Panics
    /// A call failed although nothing was done to it.
    pub async fn warm_up(&mut self) {
        let load = self.load();
        sleep(WARM_UP).await;
        self.next_nonces(&load);
        let failures = load.stop().await.failures;
        assert!(failures.is_empty(), "undisturbed calls fail: {:?}", &failures[..failures.len().min(3)]);
    }

    /// Another load begins where this one ends: calls that it still makes have other nonces.
    pub fn next_nonces(&mut self, load: &Load) {
        self.nonce = load.next_nonce() + 1_000_000;
    }

    /// The processes that nodes started here, with the backend that each belongs to.
    pub fn pipes(&self) -> Vec<(u32, String)> {
        let found = processes::marked(&self.mark).into_iter();
        let found = found.filter(|process| process.name == "omcp-fixture");
        found.filter_map(|process| Some((process.pid, backend_of(process.pid)?))).collect()
    }

    /// Waits until no backend is about to be started again: what is started then comes to rest unused.
    pub async fn settle(&self) {
        let deadline = Instant::now() + SETTLE_LIMIT;
        let at_rest = |status: &Value| ["ready", "idle"].map(Value::from).contains(&status["state"]);
        while !self.cluster.statuses().iter().all(at_rest) && Instant::now() < deadline {
            sleep(SETTLE_POLL).await;
        }
    }

    /// Kills every node, and says what is left of its processes.
    pub async fn end(self) -> Row {
        let Self { plan, cluster, mark, .. } = self;
        drop(cluster);
        let began = Instant::now();
        let limit = plan.limit(END_LIMIT);
        let mut left = processes::marked(&mark).len();
        while left > 0 && began.elapsed() < limit {
            sleep(POLL).await;
            left = processes::marked(&mark).len();
        }
        Row::judged(
            "kill -9 of every node",
            format!("{left} processes left after {:.1} s", began.elapsed().as_secs_f64()),
            format!("0 after {} s", limit.as_secs()),
            left == 0,
        )
    }
}

fn pipe(id: &str, options: &[&str], mark: &str) -> Value {
    let mut backend = stdio(id, options);
    let mark = mark.split_once('=').map_or(mark, |(_, value)| value);
    backend["env"] = json!({ MARK: mark, BACKEND: id });
    backend["lifecycle"] = json!({ "idle_timeout_ms": IDLE_MS });
    backend
}

fn backend_of(pid: u32) -> Option<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environ = String::from_utf8_lossy(&environ).into_owned();
    environ.split('\0').find_map(|entry| Some(entry.strip_prefix(BACKEND)?.strip_prefix('=')?.to_owned()))
}
