//! One backend of twenty is slow, one floods, one never answers the handshake: the others are as fast as before.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::chaos::load::Outcome;
use crate::chaos::plan::Plan;
use crate::chaos::row::Row;
use crate::chaos::stage::Stage;
use crate::chaos::{checks, look};
use crate::harness::client::Modern;
use crate::harness::manifest::manifest;

/// Times the p99 without them.
const RATIO_MAX: f64 = 1.2;
/// Calls of the slow one that wait at once.
const SLOW_CALLS: usize = 20;
const SLOW_MS: u64 = 120_000;
const BAD: [&str; 3] = ["slow", "flood", "mute"];

pub async fn run(plan: Plan) -> Result<Vec<Row>> {
    let mut stage = Stage::start(plan, 1);
    stage.warm_up().await;
    let base = look::steady(&stage.cluster.nodes).await?;
    let rounds = plan.pick(1, 5);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut all = Outcome::default();
    for _ in 0..rounds {
        without.push(measure(&mut stage, plan, &mut all).await);
        let bad = bad(&stage);
        // The mute one never becomes ready, so nobody waits for it.
        stage.cluster.try_apply_text(&manifest(&bad), &[]).expect(0);
        let calls = call(&stage).await;
        with.push(measure(&mut stage, plan, &mut all).await);
        drop(calls);
        stage.cluster.omcp(&[&["delete"], &BAD[..], &["--yes"]].concat()).expect(0);
    }
    let (without, with) = (median(without), median(with));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let mut rows = vec![
        Row::judged(
            "p99 of the others beside a slow, a flooding and a mute one",
            format!("{} instead of {}: {ratio:.2} times", ms(with), ms(without)),
            format!("{RATIO_MAX} times"),
            ratio <= RATIO_MAX,
        )
        .when_long(plan.is_long),
        checks::calls(&all, |_| false, ""),
        checks::nonces(&all),
        checks::executions(&stage.ledger),
    ];
    rows.extend(checks::leftovers(&plan, &stage.cluster.nodes, &base).await?);
    rows.push(stage.end().await);
    Ok(rows)
}

fn bad(stage: &Stage) -> Vec<Value> {
    let [slow, flood, mute] = BAD;
    vec![
        stage.pipe(slow, &[]),
        stage.pipe(flood, &["--behave", "flood-stdout"]),
        stage.pipe(mute, &["--behave", "hang-handshake"]),
    ]
}

/// Calls that wait for the slow one, and some of the other two.
async fn call(stage: &Stage) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    let node = &stage.cluster.nodes[0];
    let [slow, flood, mute] = BAD.map(|name| Modern::new(&node.endpoint(name)));
    for _ in 0..SLOW_CALLS {
        let slow = slow.clone();
        // However these end, it is no affair of the others.
        calls.spawn(async move {
            loop {
                slow.tool("slow", json!({ "ms": SLOW_MS })).await.ok();
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    for client in [flood, mute] {
        calls.spawn(async move {
            loop {
                client.tool("echo", json!({ "message": "x" })).await.ok();
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    calls
}

/// The p99 of one load.
async fn measure(stage: &mut Stage, plan: Plan, all: &mut Outcome) -> Duration {
    let load = stage.load();
    sleep(plan.pick(Duration::from_secs(4), Duration::from_secs(30))).await;
    stage.next_nonces(&load);
    let outcome = load.stop().await;
    let p99 = outcome.quantile(0.99);
    all.calls += outcome.calls;
    all.failures.extend(outcome.failures);
    p99
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
