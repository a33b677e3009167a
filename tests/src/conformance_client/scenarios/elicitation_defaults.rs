//! SEP-1034: a form whose fields all propose a value.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::try_join;

use crate::conformance_client::form;
use crate::conformance_client::target::Target;
use crate::harness::client::Legacy;
use crate::harness::client::events::Events;

const TOOL: &str = "test_client_elicitation_defaults";

pub async fn play(target: &Target) -> Result<()> {
    let client = Legacy::connect(&target.url).await?;
    // This server asks on the stream that belongs to no request.
    let stream = client.stream(None).await?;
    let (said, ()) = try_join!(client.tool(TOOL, json!({})), answer(&client, stream))?;
    ensure!(said.starts_with("Elicitation completed"), "{said}");
    client.delete().await?;
    Ok(())
}

async fn answer(client: &Legacy, mut stream: Events) -> Result<()> {
    loop {
        let message = stream.message().await?.context("the stream ends without a question")?;
        if message["method"] == "elicitation/create" {
            return client.respond(&message, form::accepted(&message["params"])).await;
        }
    }
}
