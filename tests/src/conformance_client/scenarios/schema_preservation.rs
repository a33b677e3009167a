//! SEP-1613 and SEP-2106: a schema goes back to the server as it came.

use anyhow::Result;
use serde_json::json;

use crate::conformance_client::client::{Client, named};
use crate::conformance_client::target::Target;

pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    let tools = client.tools().await?;
    let schema = &named(&tools, "json_schema_2020_12_tool")?["inputSchema"];
    client.call(named(&tools, "json_schema_echo")?, &json!({ "schema": schema })).await?;
    client.close().await
}
