//! Counters that live in sessions: every call arrives exactly once, whichever node takes it.
//!
//! `OMCP_ANY_NODE_SESSIONS=200 OMCP_ANY_NODE_CALLS=500` is the large form. With `2` and `3000` one session calls
//! alone, and what it prints (`--nocapture`) is what forwarding costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use omcp_tests::harness::Balancer;
use omcp_tests::harness::client::{Http, Legacy};
use serde_json::json;

use super::House;

/// Sessions and calls in each, when nobody asks for more.
const SESSIONS: usize = 12;
const CALLS: usize = 25;
/// Sessions that call at once: the machine is shared.
const AT_ONCE: usize = 16;

/// How long calls took: of the node that has the session, and of the others.
#[derive(Default)]
struct Times {
    own: Vec<Duration>,
    others: Vec<Duration>,
    /// Requests that another node than the owner took.
    astray: u64,
}

impl Times {
    fn add(&mut self, other: Self) {
        self.own.extend(other.own);
        self.others.extend(other.others);
        self.astray += other.astray;
    }
}

fn asked(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_counts_once_on_whichever_node() -> Result<()> {
    let (sessions, calls) = (asked("OMCP_ANY_NODE_SESSIONS", SESSIONS), asked("OMCP_ANY_NODE_CALLS", CALLS));
    let house = House::build().await;
    for backend in ["stdio", "http"] {
        let balancer = Arc::new(house.balancer(backend, 7));
        let before = house.sum("omcp_forwarded_total").await;
        let times = run(&balancer, sessions / 2, calls).await?;
        let forwarded = house.sum("omcp_forwarded_total").await - before;
        // One is counted more on each side of a hop: a request that went further would be counted twice.
        ensure!(forwarded == house.sum("omcp_forwards_received_total").await - before);
        let requests = (times.own.len() + times.others.len()) as u64;
        if backend == "http" {
            assert_eq!(forwarded, 0, "an HTTP server's sessions need no node");
        } else {
            assert_eq!(forwarded, times.astray, "each goes to its owner, once");
            ensure!(forwarded * 3 > requests, "{forwarded} of {requests} went to another node first");
        }
        tell(backend, sessions / 2, calls, forwarded, times);
    }
    Ok(())
}

/// Opens sessions, and calls in each through any node; the counters have to be exact.
async fn run(balancer: &Arc<Balancer>, sessions: usize, calls: usize) -> Result<Times> {
    let room = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let one = |_| {
        let (balancer, room) = (balancer.clone(), room.clone());
        tokio::spawn(async move {
            let _place = room.acquire().await?;
            session(&balancer, calls).await
        })
    };
    let running: Vec<_> = (0..sessions).map(one).collect();
    let mut times = Times::default();
    for session in running {
        times.add(session.await??);
    }
    Ok(times)
}

async fn session(balancer: &Balancer, calls: usize) -> Result<Times> {
    let (owner, mut times) = (balancer.pick(), Times::default());
    let client = Legacy::connect_with(Http::default(), balancer.endpoint(owner), "2025-11-25").await?;
    for call in 1..=calls {
        let node = balancer.pick();
        let began = Instant::now();
        let count = client.at(balancer.endpoint(node)).tool("counter", json!({})).await?;
        if node == owner { &mut times.own } else { &mut times.others }.push(began.elapsed());
        ensure!(count == call.to_string(), "call {call} counts as {count}");
    }
    let node = balancer.pick();
    ensure!(client.at(balancer.endpoint(node)).delete().await?.status == 200);
    times.astray = times.others.len() as u64 + u64::from(node != owner);
    Ok(times)
}

fn tell(backend: &str, sessions: usize, calls: usize, forwarded: u64, mut times: Times) {
    let middle = |times: &mut Vec<Duration>| {
        times.sort();
        times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let (own, others) = (middle(&mut times.own), middle(&mut times.others));
    println!(
        "{backend}: {sessions} sessions of {calls} calls, {forwarded} forwarded; p50 {own:.3} ms at the owner, \
         {others:.3} ms elsewhere, {:+.3} ms",
        others - own
    );
}
