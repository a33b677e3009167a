//! [`Endpoint`]: which node to talk MCP to, and failures of doing so.

use std::time::Duration;

use omcp_proto::v1::{ListNodesRequest, Node, NodeState};
use serde_json::Value as Json;

use crate::context::Context;
use crate::exit;
use crate::failure::{Cause, Failure};
use crate::mcp_client::{McpClient, McpError};
use crate::output::{self, time};
use crate::style;

/// Options of every command that talks MCP.
#[derive(clap::Args, Clone, Debug)]
pub struct Endpoint {
    /// Name of the node to ask; any connected one if none is given
    #[arg(long, value_name = "NODE", conflicts_with = "node_url")]
    node: Option<String>,

    /// MCP address of a node, instead of asking the control plane for one
    #[arg(long, env = "OMCP_NODE_URL", hide_env_values = true, value_name = "URL")]
    node_url: Option<String>,

    /// Longest wait for an answer of the backend
    #[arg(long, default_value = "5m", value_parser = time::parse, value_name = "DURATION")]
    call_timeout: Duration,
}

impl Endpoint {
    /// Opens a conversation with a backend.
    ///
    /// # Errors
    /// No node is there, or it does not serve the backend.
    pub async fn connect(&self, backend: &str, context: &Context) -> Result<McpClient, Failure> {
        let url = self.url(Some(backend), None, context).await?;
        McpClient::connect(&url, self.call_timeout, tell)
            .await
            .map_err(|error| failure(format!("reach {url}"), &error))
    }

    /// Where a node serves a backend, or all of them; rather not at `failed`, where nobody answers.
    ///
    /// # Errors
    /// No node is there.
    pub async fn url(
        &self,
        backend: Option<&str>,
        failed: Option<&str>,
        context: &Context,
    ) -> Result<String, Failure> {
        let url = match &self.node_url {
            Some(url) => url.clone(),
            None => self.find(failed, context).await?,
        };
        let url = url.trim_end_matches('/');
        Ok(backend.map_or_else(|| format!("{url}/mcp"), |backend| format!("{url}/mcp/{backend}")))
    }

    /// Whether a node is named by its address, so that no control plane need be there.
    pub fn is_fixed(&self) -> bool {
        self.node_url.is_some()
    }

    pub fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    async fn find(&self, failed: Option<&str>, context: &Context) -> Result<String, Failure> {
        let answer = context.client()?.fleet().list_nodes(ListNodesRequest {}).await;
        let nodes = answer.map_err(|status| Failure::rpc("find a node", &status))?.into_inner().nodes;
        let usable = |node: &&Node| node.state() != NodeState::Disconnected && !node.mcp_url.is_empty();
        let wanted = |node: &&Node| self.node.as_ref().is_none_or(|name| *name == node.name);
        let here = |node: &&Node| failed.is_some_and(|url| url.starts_with(&node.mcp_url));
        match nodes.iter().filter(usable).filter(wanted).min_by_key(here) {
            Some(node) => Ok(node.mcp_url.clone()),
            None => Err(self.no_node()),
        }
    }

    fn no_node(&self) -> Failure {
        let why = match &self.node {
            Some(name) => format!("node {name} is not connected to the control plane"),
            None => "no node is connected to the control plane".to_owned(),
        };
        Failure::new(Cause::Unreachable, "find a node", why)
            .fix("see `omcp nodes`, or name an address with --node-url")
    }
}

/// Says on standard error what a backend reports while it works.
fn tell(method: &str, params: &Json) {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = match method {
        "notifications/progress" => {
            let total = params.get("total").map(|total| format!("/{total}")).unwrap_or_default();
            format!(
                "progress {}{total} {}",
                params["progress"],
                params["message"].as_str().unwrap_or_default()
            )
        }
        "notifications/message" => format!("{}: {}", text(&params["level"]), text(&params["data"])),
        _ => return,
    };
    output::say(style::printable(&line).trim_end());
}

/// What an MCP error means to a person.
pub fn failure(what: impl Into<String>, error: &McpError) -> Failure {
    let fix = match error {
        McpError::NotFound(_) => "see what there is with `omcp get`",
        McpError::Unreachable { .. } => "see `omcp nodes`",
        McpError::Timeout(_) => "wait longer with --call-timeout",
        McpError::Rpc { .. } if !error.reason().is_empty() => "see `omcp status`",
        _ => "",
    };
    let mut failure = Failure::new(exit::mcp_cause(error), what, error.to_string()).fix(fix);
    failure.reason = error.reason().into();
    failure
}
