//! `omcp nodes`.

use std::time::Duration;

use clap::Subcommand;
use omcp_proto::v1::{AcceptMassRemovalRequest, ListNodesRequest, Node as GatewayNode, ResumeSource};

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::node::Node;
use crate::output::table::{Cell, Table};
use crate::output::{self, View, time};
use crate::word;

/// List the nodes and how they stand towards the control plane
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let a node go on with the removal of many backends that it holds back
    AcceptRemoval {
        /// Name of the node; all that hold if none is given
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    match args.action {
        None => list(context).await,
        Some(Action::AcceptRemoval { node }) => accept_removal(node.unwrap_or_default(), context).await,
    }
}

async fn list(context: &Context) -> Result<Outcome, Failure> {
    let answer = context.client()?.fleet().list_nodes(ListNodesRequest {}).await;
    let nodes = answer.map_err(|status| Failure::rpc("list nodes", &status))?.into_inner().nodes;
    view(&nodes).show(context.format())
}

async fn accept_removal(node: String, context: &Context) -> Result<Outcome, Failure> {
    let what =
        if node.is_empty() { "accept removals".to_owned() } else { format!("accept the removal of {node}") };
    let request = AcceptMassRemovalRequest { node };
    let answer = context.client()?.fleet().accept_mass_removal(request).await;
    let nodes = answer.map_err(|status| Failure::rpc(&what, &status))?.into_inner().nodes;
    if nodes.is_empty() {
        let why = "no connected node of this name holds a removal back";
        return Err(Failure::new(Cause::NotFound, what, why).fix("see `omcp nodes`"));
    }
    output::print(&nodes.iter().map(|name| format!("{name} was told to go on\n")).collect::<String>())
}

pub fn view(nodes: &[GatewayNode]) -> View {
    let titles = [
        "NAME",
        "STATE",
        "REVISION",
        "LAG",
        "SILENT",
        "BACKENDS",
        "READY",
        "REJECTED",
        "|SAVED",
        "|RESUMED FROM",
        "|BUILD",
        "|MCP URL",
        "|ADMIN URL",
    ];
    let mut table = Table::new(&titles);
    nodes.iter().for_each(|node| table.row(row(node)));
    View {
        table,
        document: Node::map([("nodes".to_owned(), Node::list(nodes.iter().map(document)))]),
        names: nodes.iter().map(|node| node.name.clone()).collect(),
    }
}

fn row(node: &GatewayNode) -> [Cell; 13] {
    [
        node.name.clone().into(),
        word::node_cell(node.state, node.drained),
        node.applied_revision.to_string().into(),
        node.head_revision.saturating_sub(node.applied_revision).to_string().into(),
        time::short(Duration::from_millis(node.silent_ms)).into(),
        node.backends.to_string().into(),
        node.ready.to_string().into(),
        node.rejected.to_string().into(),
        node.persisted_revision.to_string().into(),
        resumed_from(node).into(),
        node.build.clone().into(),
        node.mcp_url.clone().into(),
        node.admin_url.clone().into(),
    ]
}

fn resumed_from(node: &GatewayNode) -> &'static str {
    match node.resume_source() {
        ResumeSource::None => "nothing",
        ResumeSource::Memory => "memory",
        ResumeSource::Disk => "disk",
        ResumeSource::Unspecified => "unknown",
    }
}

fn document(node: &GatewayNode) -> Node {
    Node::map([
        ("name".to_owned(), Node::text(&node.name)),
        ("state".to_owned(), Node::text(word::node_state(node.state))),
        ("drained".to_owned(), Node::flag(node.drained)),
        ("build".to_owned(), Node::text(&node.build)),
        ("mcp_url".to_owned(), Node::text(&node.mcp_url)),
        ("admin_url".to_owned(), Node::text(&node.admin_url)),
        ("applied_revision".to_owned(), Node::number(node.applied_revision)),
        ("persisted_revision".to_owned(), Node::number(node.persisted_revision)),
        ("head_revision".to_owned(), Node::number(node.head_revision)),
        ("silent_ms".to_owned(), Node::number(node.silent_ms)),
        ("backends".to_owned(), Node::number(node.backends.into())),
        ("ready".to_owned(), Node::number(node.ready.into())),
        ("rejected".to_owned(), Node::number(node.rejected.into())),
        ("resume_source".to_owned(), Node::text(resumed_from(node))),
        ("snapshot_bytes".to_owned(), Node::number(node.snapshot_bytes)),
    ])
}
