//! A first signal starts a drain, a second one ends it.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Http, Legacy, Modern};
use omcp_tests::harness::wait::{self, holds};
use rustix::process::Signal;
use serde_json::json;

use super::{TREE_LEN, mark, stubborn, supervisors, until_gone, until_marked};

/// The drain alone would outlast every deadline of the test.
const DRAIN: (&str, &str) = ("OMCP_DRAIN_TIMEOUT_MS", "600000");
/// Longer than the drain.
const CALL_MS: u64 = 3_000_000;
/// Time for a call that is cut, and one that is not.
const SETTLE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn cuts_the_drain_short_and_leaves_nothing() -> Result<()> {
    for second in [Signal::TERM, Signal::INT] {
        let mut cluster = Cluster::start_with(1, &[DRAIN]);
        let mark = mark(&format!("second-signal-{}", second.as_raw()));
        cluster.apply(&[stubborn(&mark)]);
        let mut node = cluster.nodes.remove(0);
        let endpoint = node.endpoint("stubborn");
        let session = Legacy::connect(&endpoint).await?;
        let arguments = json!({ "name": "progress", "arguments": { "steps": 2, "delay_ms": CALL_MS },
            "_meta": { "progressToken": "p" } });
        let modern = Modern::new(&endpoint).open("tools/call", arguments.clone()).await?;
        let mut calls =
            [modern.under_way().await?, session.open("tools/call", arguments).await?.under_way().await?];
        until_marked(&mark, |count| count == 2 * TREE_LEN).await;
        let supervisors: Vec<_> = supervisors(node.pid());
        node.signal(Signal::TERM);
        let readiness = format!("{}/readyz", node.admin);
        wait::until("the drain", async || {
            let reply = Http::default().request(Method::GET, &readiness, &[], b"").await;
            let status = reply.map(|reply| reply.status.as_u16()).map_err(|error| format!("{error:#}"))?;
            holds(status == 503, status.to_string())
        })
        .await;
        let waiting = tokio::time::timeout(SETTLE, calls[0].next()).await;
        ensure!(waiting.is_err() && node.is_running(), "the first signal cuts nothing: {waiting:?}");
        node.signal(second);
        let ended = tokio::task::spawn_blocking(move || node.end()).await?;
        assert_eq!(ended.code(), Some(1), "what was cut is no clean end");
        for call in &mut calls {
            // Some are told, others just cut.
            if let Ok(answer) = call.answer().await {
                ensure!(answer.get("error").is_some(), "{answer}");
            }
        }
        until_marked(&mark, |count| count == 0).await;
        until_gone(&supervisors.iter().map(|process| process.pid).collect()).await;
    }
    Ok(())
}
