//! Ids of events, which are not sealed: they come with a session, and are about that one only.

use anyhow::{Context, Result};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Legacy;
use omcp_tests::harness::manifest::stdio;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_another_session_is_not_found() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("both", &[])]);
    let url = cluster.nodes[0].endpoint("both");
    let (owner, thief) = (Legacy::connect(&url).await?, Legacy::connect(&url).await?);
    let params =
        json!({ "name": "progress", "arguments": { "steps": 3 }, "_meta": { "progressToken": "t" } });
    let mut exchange = owner.open_as(json!("hers"), "tools/call", params).await?;
    let first = exchange.next().await?.context("progress")?;
    assert_eq!(first["method"], "notifications/progress", "{first}");
    let event = exchange.last_event_id.clone().context("an id")?;
    exchange.result().await?;

    let rest = owner.stream(Some(&event)).await?.message().await?.context("the next event")?;
    assert_eq!(rest["params"]["progressToken"], "t", "its own session reads on: {rest}");
    let told = thief.stream(Some(&event)).await?.message().await?.context("an answer")?;
    // The id names the request, so that its client can be told that it is lost: here, that it never was.
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!("hers"), &json!(-32603)), "{told}");
    Ok(())
}
