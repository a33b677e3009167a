//! SEP-2243: arguments that are repeated in headers. The suite says which calls to make.

use anyhow::{Context, Result};

use crate::conformance_client::client::{Client, named};
use crate::conformance_client::target::Target;

pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    let tools = client.tools().await?;
    for call in target.context["toolCalls"].as_array().context("the suite names no calls")? {
        let name = call["name"].as_str().context("a call without a name")?;
        client.call(named(&tools, name)?, &call["arguments"]).await?;
    }
    client.close().await
}
