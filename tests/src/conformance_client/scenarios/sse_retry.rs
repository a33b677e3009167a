//! SEP-1699: a server ends the stream in mid-call, and says when to come back.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::sleep;

use crate::conformance_client::target::Target;
use crate::harness::client::{Exchange, Legacy};

const ID: &str = "call";

pub async fn play(target: &Target) -> Result<()> {
    let client = Legacy::connect(&target.url).await?;
    client.request("tools/list", json!({})).await?;
    let params = json!({ "name": "test_reconnection", "arguments": {} });
    let call = client.open_as(json!(ID), "tools/call", params).await?;
    let (last_event_id, pause) = end_of(call).await?;
    sleep(pause).await;
    let mut rest = client.stream(Some(&last_event_id)).await?;
    while rest.message().await?.context("the call is never answered")?["id"] != ID {}
    drop(rest);
    client.delete().await?;
    Ok(())
}

/// The last event of a stream that ends, and the pause the server asks for.
async fn end_of(mut call: Exchange) -> Result<(String, Duration)> {
    let (mut id, mut pause) = (None, None);
    while let Some(event) = call.event().await? {
        id = event.id.or(id);
        pause = event.retry_ms.or(pause);
    }
    let id = id.context("no event has an id")?;
    Ok((id, Duration::from_millis(pause.context("the server names no pause")?)))
}
