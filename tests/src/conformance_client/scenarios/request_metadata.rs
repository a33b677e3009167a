//! SEP-2575: what every request says of its client, and a server that refuses the first one.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::conformance_client::client::Client;
use crate::conformance_client::target::Target;
use crate::harness::client::{Modern, modern};

const UNSUPPORTED_VERSION: i64 = -32022;

pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    if let Client::Modern(client) = &client {
        discover(client).await?;
    }
    client.tools().await?;
    client.request("tools/call", json!({ "name": "any", "arguments": {} })).await?;
    client.close().await
}

/// Asks again with a revision that the server names. Through a gateway the refusal has met the gateway.
async fn discover(client: &Modern) -> Result<()> {
    let answer = client.open("server/discover", json!({})).await?.answer().await?;
    let Some(error) = answer.get("error") else { return Ok(()) };
    let supported = error["data"]["supported"].as_array();
    let is_supported = supported.is_some_and(|supported| supported.contains(&json!(modern::VERSION)));
    ensure!(error["code"] == UNSUPPORTED_VERSION && is_supported, "{answer}");
    client.request("server/discover", json!({})).await?;
    Ok(())
}
