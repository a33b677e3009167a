//! SEP-2243: tools that say wrongly which arguments are repeated in headers must not be called.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::conformance_client::client::Client;
use crate::conformance_client::target::Target;

/// Calls everything it may use.
pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    for tool in client.tools().await? {
        client.call(&tool, &arguments(&tool)).await?;
    }
    client.close().await
}

/// Something for whatever the tool requires.
fn arguments(tool: &Value) -> Value {
    let required = tool["inputSchema"]["required"].as_array().into_iter().flatten();
    let filled = required.filter_map(Value::as_str).map(|name| (name.to_owned(), json!("us-west1")));
    Value::Object(filled.collect::<Map<_, _>>())
}
