//! A handshake and a request.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::conformance_client::target::Target;
use crate::harness::client::legacy::{INITIALIZED, NEWEST};
use crate::harness::client::{Http, Legacy};

pub async fn play(target: &Target) -> Result<()> {
    let client = Legacy::introduce(Http::default(), &target.url, NEWEST, json!({})).await?;
    // This server answers a notification with 200 and a body, where the specification has 202 and none.
    let reply = client.post(&json!({ "jsonrpc": "2.0", "method": INITIALIZED })).await?;
    ensure!(reply.status.is_success(), "{INITIALIZED} answers {}", reply.status);
    client.request("tools/list", json!({})).await?;
    Ok(())
}
