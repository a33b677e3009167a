//! `omcp node`.

use clap::Subcommand;
use omcp_proto::v1::{DrainNodeRequest, ListNodesRequest};

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::from_json;
use crate::manifest::node::{Node, Value};
use crate::node_admin::Page;
use crate::output::table::Table;
use crate::output::{self, View};

/// Take one node out of service, bring it back, or show its limits
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp node drain node-a && sleep 30    # balancers see 503 at its /readyz
  omcp node uncordon node-a
  omcp node config node-a")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make its readiness say 503, so that nothing new is sent to it; it serves what it has
    Drain {
        /// Name of the node
        #[arg(value_name = "NODE")]
        name: String,
    },
    /// Take that back; a node that restarts is not drained any more either
    Uncordon {
        /// Name of the node
        #[arg(value_name = "NODE")]
        name: String,
    },
    /// Show the limits it works with: value, default, and why
    Config {
        /// Name of the node
        #[arg(value_name = "NODE")]
        name: String,
    },
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    match args.action {
        Action::Drain { name } => drain(name, true, context).await,
        Action::Uncordon { name } => drain(name, false, context).await,
        Action::Config { name } => config(&name, context).await,
    }
}

async fn drain(name: String, drain: bool, context: &Context) -> Result<Outcome, Failure> {
    let (verb, told) = if drain { ("drain", "drained") } else { ("uncordon", "back in service") };
    let request = DrainNodeRequest { node: name.clone(), drain };
    let answer = context.client()?.fleet().drain_node(request).await;
    answer.map_err(|status| Failure::rpc(format!("{verb} node {name}"), &status).fix("see `omcp nodes`"))?;
    output::print(&format!("{name} was told to be {told}\n"))
}

async fn config(name: &str, context: &Context) -> Result<Outcome, Failure> {
    let what = format!("read the limits of {name}");
    let answer = context.client()?.fleet().list_nodes(ListNodesRequest {}).await;
    let nodes = answer.map_err(|status| Failure::rpc(&what, &status))?.into_inner().nodes;
    let Some(node) = nodes.into_iter().find(|node| node.name == name) else {
        return Err(Failure::new(Cause::NotFound, what, "there is no such node").fix("see `omcp nodes`"));
    };
    let url = format!("{}/config", node.admin_url);
    let unreachable = |why: String| {
        Failure::new(Cause::Unreachable, &*what, format!("{url}: {why}"))
            .fix("its admin address has to be reachable from here: see `omcp nodes -o wide`")
    };
    let page = Page::open(&url, context.global.timeout).await.map_err(unreachable)?;
    let text = page.ok_or_else(|| unreachable("there is no such page".to_owned()))?.text().await;
    let page = from_json::node(&text).map_err(|error| unreachable(error.to_string()))?;
    let limits = page.member("limits").map(|member| member.value.clone());
    view(limits.unwrap_or_else(|| Node::list([]))).show(context.format())
}

fn view(limits: Node) -> View {
    let mut table = Table::new(&["LIMIT", "VALUE", "DEFAULT", "|OPTION", "WHY"]);
    let items = match &limits.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    let text =
        |item: &Node, key: &str| item.member(key).map(|member| plain(&member.value)).unwrap_or_default();
    for item in items {
        table.row(["name", "value", "default", "option", "why"].map(|key| text(item, key).into()));
    }
    let names = items.iter().map(|item| text(item, "name")).collect();
    View { table, document: Node::map([("limits".to_owned(), limits)]), names }
}

fn plain(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => text.clone(),
        Value::Null => "-".to_owned(),
        _ => node.to_json(),
    }
}
