//! A server that misbehaves harms nobody but itself, and can be seen to.

mod kinds;

use anyhow::Result;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::wait::{self, holds};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn words_on_stderr_reach_the_status_and_the_log() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("talker", &[])]);
    let client = Modern::new(&cluster.nodes[0].endpoint("talker"));
    client.tool("log_stderr", json!({ "line": "the disk is made of cheese" })).await?;
    wait::until("the line in the log", async || {
        let logs = cluster.omcp(&["logs", "talker"]).expect(0).stdout;
        holds(logs.contains("the disk is made of cheese"), logs)
    })
    .await;
    Ok(())
}
