//! A list of tools and a call.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::conformance_client::client::{Client, named};
use crate::conformance_client::target::Target;

pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    let tools = client.tools().await?;
    let result = client.call(named(&tools, "add_numbers")?, &json!({ "a": 5, "b": 3 })).await?;
    ensure!(result["content"][0]["text"] == "The sum of 5 and 3 is 8", "{result}");
    client.close().await
}
