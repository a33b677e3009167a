//! SEP-2243: requests of every kind, whose method and name stand in headers as well.

use anyhow::Result;
use serde_json::json;

use crate::conformance_client::client::Client;
use crate::conformance_client::target::Target;

pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    for tool in client.tools().await? {
        client.call(&tool, &json!({})).await?;
    }
    for resource in client.list("resources/list", "resources").await? {
        client.request("resources/read", json!({ "uri": resource["uri"] })).await?;
    }
    client.request("resources/templates/list", json!({})).await?;
    for prompt in client.list("prompts/list", "prompts").await? {
        client.request("prompts/get", json!({ "name": prompt["name"] })).await?;
    }
    client.close().await
}
