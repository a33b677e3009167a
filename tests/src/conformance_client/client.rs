//! A client of either era, with the verbs that scenarios of both need.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::mirror;
use super::target::{Era, Target};
use crate::harness::client::{Legacy, Modern};

pub enum Client {
    Legacy(Legacy),
    Modern(Modern),
}

impl Client {
    /// # Errors
    /// The handshake of a session fails.
    pub async fn connect(target: &Target) -> Result<Self> {
        Ok(match target.era {
            Era::Legacy => Self::Legacy(Legacy::connect(&target.url).await?),
            Era::Modern => Self::Modern(Modern::new(&target.url)),
        })
    }

    /// Sends a request and waits for its result.
    ///
    /// # Errors
    /// It is an error, or never comes.
    pub async fn request(&self, method: &str, params: Value) -> Result<Value> {
        match self {
            Self::Legacy(client) => client.request(method, params).await,
            Self::Modern(client) => client.request(method, params).await,
        }
    }

    /// The entries of a list.
    ///
    /// # Errors
    /// There is no list.
    pub async fn list(&self, method: &str, entries: &str) -> Result<Vec<Value>> {
        let listed = self.request(method, json!({})).await?;
        listed[entries].as_array().cloned().with_context(|| format!("no {entries} in {listed}"))
    }

    /// The tools of the server. A client that mirrors arguments must not use those that say wrongly how.
    ///
    /// # Errors
    /// There is no list.
    pub async fn tools(&self) -> Result<Vec<Value>> {
        let mut tools = self.list("tools/list", "tools").await?;
        if matches!(self, Self::Modern(_)) {
            tools.retain(|tool| mirror::headers(&tool["inputSchema"], &Value::Null).is_ok());
        }
        Ok(tools)
    }

    /// Calls a tool that was listed.
    ///
    /// # Errors
    /// It fails.
    pub async fn call(&self, tool: &Value, arguments: &Value) -> Result<Value> {
        let params = json!({ "name": tool["name"], "arguments": arguments });
        match self {
            Self::Legacy(client) => client.request("tools/call", params).await,
            Self::Modern(client) => {
                let headers = mirror::headers(&tool["inputSchema"], arguments)?;
                client.open_with("tools/call", params, &headers).await?.result().await
            }
        }
    }

    /// Ends the session, if there is one. Servers may keep it all the same.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::Legacy(client) if !client.session().is_empty() => client.delete().await.map(drop),
            _ => Ok(()),
        }
    }
}

/// The tool of this name.
///
/// # Errors
/// It is not among them.
pub fn named<'a>(tools: &'a [Value], name: &str) -> Result<&'a Value> {
    tools.iter().find(|tool| tool["name"] == name).with_context(|| format!("no tool is called {name}"))
}
