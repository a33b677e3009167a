//! `omcp logs`.

use futures_util::future::join_all;
use omcp_proto::v1::{ListNodesRequest, Node, NodeState};

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::node_admin::Page;
use crate::output;
use crate::style;

/// Show what a backend's processes write to their standard error
///
/// Nodes keep the last lines in memory; they are read from the nodes directly.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp logs github
  omcp logs github -f --node node-a")]
pub struct Args {
    /// Name of the backend
    #[arg(value_name = "BACKEND")]
    name: String,

    /// Go on showing new lines until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Only this node
    #[arg(long, value_name = "NODE")]
    node: Option<String>,

    /// Number of old lines to begin with
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    lines: u32,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    context.backend(&args.name).await?;
    let nodes = nodes(&args, context).await?;
    let several = nodes.len() > 1;
    let shown = join_all(nodes.iter().map(|node| show(node, &args, several, context))).await;
    if shown.iter().any(|shown| *shown) {
        return Ok(Outcome::Done);
    }
    Err(Failure::new(Cause::Unreachable, format!("read the log of {}", args.name), "no node could be read")
        .fix("see `omcp nodes -o wide` for the admin addresses, and `omcp status` for the last lines"))
}

async fn nodes(args: &Args, context: &Context) -> Result<Vec<Node>, Failure> {
    let answer = context.client()?.fleet().list_nodes(ListNodesRequest {}).await;
    let nodes = answer.map_err(|status| Failure::rpc("list nodes", &status))?.into_inner().nodes;
    let wanted = |node: &Node| args.node.as_ref().is_none_or(|name| *name == node.name);
    let nodes: Vec<_> = nodes.into_iter().filter(wanted).collect();
    match &args.node {
        Some(name) if nodes.is_empty() => {
            let failure =
                Failure::new(Cause::NotFound, format!("read the log on {name}"), "there is no such node");
            Err(failure.fix("see `omcp nodes`"))
        }
        _ => Ok(nodes.into_iter().filter(|node| node.state() != NodeState::Disconnected).collect()),
    }
}

/// Shows the lines of one node; whether it could be read.
async fn show(node: &Node, args: &Args, several: bool, context: &Context) -> bool {
    let follow = u8::from(args.follow);
    let url = format!("{}/backends/{}/logs?lines={}&follow={follow}", node.admin_url, args.name, args.lines);
    let mut page = match Page::open(&url, context.global.timeout).await {
        Ok(Some(page)) => page,
        Ok(None) => {
            output::warn(&format!("{} does not have {}", node.name, args.name));
            return true;
        }
        Err(why) => {
            output::warn(&format!("cannot read {url}: {why}"));
            return false;
        }
    };
    let prefix = if several { format!("{} | ", style::printable(&node.name)) } else { String::new() };
    while let Some(line) = page.next_line().await {
        if output::print(&format!("{prefix}{}\n", style::printable(&line))).is_err() {
            break;
        }
    }
    true
}
