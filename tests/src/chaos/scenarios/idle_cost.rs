//! What a session and a stream cost a node while nothing happens on them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::time::sleep;

use crate::chaos::look::{look, memory_kib};
use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::streams::listen;
use crate::harness::Cluster;
use crate::harness::client::{Http, Legacy, legacy};
use crate::harness::manifest::stdio;
use crate::harness::node::Node;

const SESSION_KIB_MAX: f64 = 8.0;
const STREAM_KIB_MAX: f64 = 32.0;
/// Being opened at once.
const PARALLEL: usize = 16;
/// Memory that was needed to open them goes back meanwhile.
const SETTLE: Duration = Duration::from_secs(1);
/// One lane carries no more subscriptions.
const STREAMS_PER_BACKEND: usize = 2_500;

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let limits = [("OMCP_SESSIONS_MAX", "20000"), ("OMCP_CONNECTIONS_MAX", "20000")];
    let cluster = Cluster::start_with(1, &limits);
    let mut shared = stdio("shared", &["--era", "legacy"]);
    shared["lifecycle"] = json!({ "isolation": "shared" });
    let streaming = ["stream-0", "stream-1", "stream-2", "stream-3"];
    let mut backends = vec![shared];
    backends.extend(streaming.map(|name| stdio(name, &["--era", "modern"])));
    cluster.apply(&backends);
    let node = &cluster.nodes[0];
    let sessions = sessions(plan, node).await?;
    let streams = streams(plan, node, &streaming).await?;
    let mut rows = vec![sessions, streams];
    rows.push(Row::shown("the node afterwards", look(node).await?.to_string()));
    Ok(rows)
}

/// Sessions that share a process, over few connections.
async fn sessions(plan: Plan, node: &Node) -> Result<Row> {
    let (count, url) = (plan.pick(1_000, 10_000), Arc::<str>::from(node.endpoint("shared")));
    let http = Http::default();
    // What is allocated once is allocated by the first ones.
    let warm = open(&http, &url, count / 10).await?;
    let cost = growth(node, async { open(&http, &url, count).await }).await?;
    let (kib, opened) = (cost.0 / count as f64, cost.1);
    ensure!(opened.len() == count, "not all sessions are open");
    let alive = opened.last().context("a session")?.tool("echo", json!({ "message": "x" })).await?;
    ensure!(alive == "x", "{alive}");
    drop(warm);
    Ok(Row::judged(
        format!("{count} idle legacy sessions"),
        format!("{kib:.1} KiB each"),
        format!("{SESSION_KIB_MAX} KiB"),
        kib <= SESSION_KIB_MAX,
    ))
}

async fn open(http: &Http, url: &Arc<str>, count: usize) -> Result<Vec<Legacy>> {
    let each = |_| {
        let (http, url) = (http.clone(), url.clone());
        async move { Legacy::connect_with(http, &url, legacy::NEWEST).await }
    };
    stream::iter(0..count).map(each).buffer_unordered(PARALLEL).try_collect().await
}

/// Subscriptions, each on a connection of its own.
async fn streams(plan: Plan, node: &Node, backends: &[&str]) -> Result<Row> {
    let count = plan.pick(300, backends.len() * STREAMS_PER_BACKEND);
    let urls: Vec<Arc<str>> = backends.iter().map(|name| node.endpoint(name).into()).collect();
    let open = |count: usize| {
        let each = |number: usize| {
            let url = urls[number % urls.len()].clone();
            async move { listen(&url).await }
        };
        stream::iter(0..count).map(each).buffer_unordered(PARALLEL).try_collect::<Vec<_>>()
    };
    let warm = open(count / 10).await?;
    let cost = growth(node, async { open(count - count / 10).await }).await?;
    let kib = cost.0 / cost.1.len() as f64;
    drop(warm);
    Ok(Row::judged(
        format!("{count} idle listen streams, each with a connection"),
        format!("{kib:.1} KiB each"),
        format!("{STREAM_KIB_MAX} KiB"),
        kib <= STREAM_KIB_MAX,
    ))
}

/// By how much the memory of a node grows, KiB, and what was made.
async fn growth<T>(node: &Node, make: impl Future<Output = Result<T>>) -> Result<(f64, T)> {
    sleep(SETTLE).await;
    let before = memory_kib(node.pid())?;
    let made = make.await?;
    sleep(SETTLE).await;
    Ok((memory_kib(node.pid())?.saturating_sub(before) as f64, made))
}
