//! When everything runs, and what to say then.

use std::time::{Duration, Instant};

use omcp_proto::v1::{ListNodesRequest, NodeState};

use super::{demo, ports};
use crate::context::Context;
use crate::failure::{Cause, Failure};
use crate::manifest::node::Node;
use crate::manifest::write;
use crate::output::{self, Format, time};
use crate::style;

/// How long the nodes may take to find the control plane: all of it happens on this machine.
const SYNC_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between two looks at the nodes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until this many nodes have everything.
pub async fn in_sync(count: u16, context: &Context) -> Result<(), Failure> {
    let began = Instant::now();
    let client = context.client()?;
    while began.elapsed() < SYNC_TIMEOUT {
        let answer = client.fleet().list_nodes(ListNodesRequest {}).await;
        let nodes = answer.map_err(|status| Failure::rpc("find the nodes", &status))?.into_inner().nodes;
        let ready = nodes.iter().filter(|node| node.state() == NodeState::InSync).count();
        if ready >= usize::from(count) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let why = format!("it was not in sync within {}", time::short(SYNC_TIMEOUT));
    Err(Failure::new(Cause::Failed, "start the node", why).fix("look closer with OMCP_LOG=debug"))
}

/// The addresses, and what to do next.
pub fn show(mcp_url: &str, has_demo: bool, context: &Context, began: Instant) -> Result<(), Failure> {
    let mcp_url = format!("{mcp_url}/mcp/{}", if has_demo { demo::NAME } else { "BACKEND" });
    if context.format() == Format::Json {
        let document = Node::map([
            ("mcp_url".to_owned(), Node::text(&mcp_url)),
            ("admin_url".to_owned(), Node::text(&context.global.server)),
        ]);
        return output::print(&write::json(&document)).map(drop);
    }
    let usual = context.global.server.ends_with(&format!(":{}", ports::ADMIN));
    let server = if usual { String::new() } else { format!(" --server {}", context.global.server) };
    let next = match has_demo {
        true => format!("omcp{server} call demo.echo message=hello"),
        false => format!("omcp{server} apply -f backends.yaml --wait"),
    };
    let ready = time::short(began.elapsed());
    output::print(&format!(
        "\n  MCP endpoint   {}\n  next           {}\n\nready in {ready}; Ctrl-C stops everything\n",
        style::bold(&mcp_url),
        style::bold(&next),
    ))
    .map(drop)
}
