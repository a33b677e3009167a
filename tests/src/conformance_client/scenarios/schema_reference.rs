//! SEP-2106: a schema that refers to another server, which nobody may ask.

use anyhow::Result;

use crate::conformance_client::client::{Client, named};
use crate::conformance_client::target::Target;

pub async fn play(target: &Target) -> Result<()> {
    let client = Client::connect(target).await?;
    named(&client.tools().await?, "lookup_user")?;
    client.close().await
}
