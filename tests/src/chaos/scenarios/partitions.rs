//! The network between control plane and nodes is cut, in every direction, and mended.
//!
//! Packets are dropped in a network namespace where the machine has such things; there and elsewhere a fault proxy
//! plays peers that lost their power, and lines that come and go.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::sleep;

use crate::chaos::load::Load;
use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::{checks, fleet, look};
use crate::faults::{Fault, FaultProxy, Way};
use crate::harness::Cluster;
use crate::harness::control_plane::{ControlPlane, address};
use crate::harness::manifest::manifest;
use crate::harness::namespace::{Cut, Namespace};

const NODES: usize = 3;
const NOTICE_LIMIT: Duration = Duration::from_secs(15);
const LEVEL_LIMIT: Duration = Duration::from_secs(1);
/// Dials a second and node, on average over a cut.
const DIALS_MAX: f64 = 2.0;
const POLL: Duration = Duration::from_millis(100);

/// What lies between.
enum Line {
    Namespace(Namespace),
    Proxy(FaultProxy),
}

#[derive(Clone, Copy, Debug)]
enum Loss {
    Packets(Cut),
    Faults(Fault, Way),
}

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let cuts = [Cut::Both, Cut::In, Cut::Out].map(Loss::Packets);
    let faults = [
        Loss::Faults(Fault::BlackHole, Way::Both),
        Loss::Faults(Fault::BlackHole, Way::Down),
        Loss::Faults(Fault::Reset { after_bytes: 0 }, Way::Both),
    ];
    let mut rows = Vec::new();
    match Namespace::create() {
        Some(namespace) => {
            let count = plan.pick(1, cuts.len());
            rows.extend(behind_namespace(plan, namespace, &cuts[..count]).await?);
            if plan.is_long {
                rows.extend(behind_proxy(plan, &faults).await?);
            }
        }
        None => {
            eprintln!("no network namespaces here: the fault proxy alone");
            rows.extend(behind_proxy(plan, &faults[..plan.pick(1, faults.len())]).await?);
        }
    }
    Ok(rows)
}

async fn behind_namespace(plan: Plan, namespace: Namespace, losses: &[Loss]) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let control_plane = ControlPlane::start_in(folder.path(), namespace.name(), &namespace.inside);
    let sync = control_plane.sync.clone();
    let cluster = Cluster::around(folder, control_plane, &sync, NODES, &[]);
    play(plan, cluster, Line::Namespace(namespace), losses).await
}

async fn behind_proxy(plan: Plan, losses: &[Loss]) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let control_plane = ControlPlane::start(folder.path());
    let to: SocketAddr = address(&control_plane.sync).parse().context("the address of a control plane")?;
    let proxy = FaultProxy::start(to, plan.seed).await?;
    let sync = format!("http://{}", proxy.address());
    let cluster = Cluster::around(folder, control_plane, &sync, NODES, &[]);
    play(plan, cluster, Line::Proxy(proxy), losses).await
}

async fn play(plan: Plan, cluster: Cluster, line: Line, losses: &[Loss]) -> Result<Vec<Row>> {
    let mut stage = Stage::around(plan, cluster);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let load = stage.load();
    let mut rows = Vec::new();
    for (number, loss) in losses.iter().enumerate() {
        rows.extend(one(plan, &stage, &line, *loss, number).await?);
    }
    if let Line::Proxy(proxy) = &line {
        rows.push(power_cycle(plan, &stage, proxy).await?);
        rows.push(flapping(plan, &stage, proxy).await?);
    }
    rows.extend(end(plan, &stage, load, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

async fn end(plan: Plan, stage: &Stage, load: Load, base: &[look::Look]) -> Result<Vec<Row>> {
    let outcome = load.stop().await;
    let mut rows = vec![
        checks::calls(&outcome, |_| false, ""),
        checks::nonces(&outcome),
        checks::executions(&stage.ledger),
    ];
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, base).await?);
    Ok(rows)
}

/// The other end of every connection is gone, and a new one is there at once: a peer that lost its power.
async fn power_cycle(plan: Plan, stage: &Stage, proxy: &FaultProxy) -> Result<Row> {
    let began = Instant::now();
    proxy.impose(Fault::HalfOpen, Way::Both);
    // Every connection has seen it by then.
    sleep(10 * POLL).await;
    proxy.heal();
    let mut edited = stage.backends[0].clone();
    edited["tags"] = json!(["power-cycle"]);
    stage.cluster.try_apply_text(&manifest(&[edited]), &[]).expect(0);
    let level = fleet::level(&stage.cluster.nodes, fleet::head(&stage.cluster)?, began).await?;
    let figure = format!("after {:.1} s", level.as_secs_f64());
    let limit = NOTICE_LIMIT + LEVEL_LIMIT;
    Ok(Row::judged("half-open noticed, nodes level", figure, "15 s and 1 s", level <= limit)
        .when_long(plan.is_long))
}

/// One cut, with an edit meanwhile, until the nodes have it.
async fn one(plan: Plan, stage: &Stage, line: &Line, loss: Loss, number: usize) -> Result<Vec<Row>> {
    let dials = line.dials();
    let cut_at = Instant::now();
    line.cut(loss);
    let noticed = fleet::parted(&stage.cluster.nodes, cut_at).await?;
    // Where the nodes are still heard, they are not gone.
    let missed = if line.is_heard(loss) { None } else { Some(gone(stage, cut_at).await) };
    let mut edited = stage.backends[0].clone();
    edited["tags"] = json!([format!("cut-{number}")]);
    stage.cluster.try_apply_text(&manifest(&[edited]), &[]).expect(0);
    let head = fleet::head(&stage.cluster)?;
    // The nodes are deep in their waits by now.
    sleep(plan.pick(Duration::from_secs(2), Duration::from_secs(20))).await;
    let (dials, lasted) = (line.dials().zip(dials), cut_at.elapsed());
    line.heal();
    let level = fleet::level(&stage.cluster.nodes, head, Instant::now()).await?;
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let missed_text =
        missed.map_or("goes on hearing them".to_owned(), |time| format!("after {}", seconds(time)));
    let notice = format!("nodes after {}, control plane {missed_text}", seconds(noticed));
    let slowest = noticed.max(missed.unwrap_or_default());
    let mut rows = vec![
        Row::judged(format!("{} noticed", name(loss)), notice, "15 s", slowest <= NOTICE_LIMIT)
            .when_long(plan.is_long),
        Row::judged(
            format!("{} mended, nodes level", name(loss)),
            format!("after {} ms", level.as_millis()),
            "1 s",
            level <= LEVEL_LIMIT,
        )
        .when_long(plan.is_long),
    ];
    if let Some((after, before)) = dials {
        let rate = (after - before) as f64 / lasted.as_secs_f64() / NODES as f64;
        rows.push(storm(name(loss), rate));
    }
    Ok(rows)
}

/// A second on, a second off.
async fn flapping(plan: Plan, stage: &Stage, proxy: &FaultProxy) -> Result<Row> {
    let (before, began) = (proxy.accepted(), Instant::now());
    for _ in 0..plan.pick(3, 60) {
        proxy.impose(Fault::Reset { after_bytes: 0 }, Way::Both);
        sleep(Duration::from_secs(1)).await;
        proxy.heal();
        sleep(Duration::from_secs(1)).await;
    }
    let rate = (proxy.accepted() - before) as f64 / began.elapsed().as_secs_f64() / NODES as f64;
    fleet::level(&stage.cluster.nodes, fleet::head(&stage.cluster)?, Instant::now()).await?;
    Ok(storm("a second on, a second off".to_owned(), rate))
}

fn storm(what: String, rate: f64) -> Row {
    let figure = format!("{rate:.2} a second and node");
    Row::judged(format!("dials during {what}"), figure, format!("{DIALS_MAX}"), rate <= DIALS_MAX)
}

/// How long after the cut the control plane shows no node as connected.
async fn gone(stage: &Stage, cut_at: Instant) -> Duration {
    let connected = |node: &serde_json::Value| node["state"] != "lost" && node["state"] != "disconnected";
    while stage.cluster.node_list().iter().any(connected) && cut_at.elapsed() < 4 * NOTICE_LIMIT {
        sleep(POLL).await;
    }
    cut_at.elapsed()
}

fn name(loss: Loss) -> String {
    match loss {
        Loss::Packets(Cut::Both) => "dropped packets".to_owned(),
        Loss::Packets(Cut::In) => "dropped packets to the control plane".to_owned(),
        Loss::Packets(Cut::Out) => "dropped packets to the nodes".to_owned(),
        Loss::Faults(fault, Way::Both) => format!("{fault}"),
        Loss::Faults(fault, way) => format!("{fault} {way:?}").to_lowercase(),
    }
}

impl Line {
    fn cut(&self, loss: Loss) {
        match (self, loss) {
            (Self::Namespace(namespace), Loss::Packets(cut)) => namespace.cut(cut),
            (Self::Proxy(proxy), Loss::Faults(fault, way)) => proxy.impose(fault, way),
            _ => unreachable!("each line has its own losses"),
        }
    }

    fn heal(&self) {
        match self {
            Self::Namespace(namespace) => namespace.heal(),
            Self::Proxy(proxy) => proxy.heal(),
        }
    }

    /// Whether what nodes say goes on arriving: a proxy carries it whatever becomes of the answers.
    fn is_heard(&self, loss: Loss) -> bool {
        matches!((self, loss), (Self::Proxy(_), Loss::Faults(Fault::BlackHole, Way::Down)))
    }

    /// Connections so far, where somebody counts them.
    fn dials(&self) -> Option<u64> {
        match self {
            Self::Namespace(_) => None,
            Self::Proxy(proxy) => Some(proxy.accepted()),
        }
    }
}
