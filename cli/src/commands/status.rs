//! `omcp status`.

use std::time::Duration;

use omcp_proto::v1::NodeBackendStatus;

use crate::context::{Context, backend_name};
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::output::table::{Cell, Table};
use crate::output::{View, time};
use crate::word;

/// Show how each backend does on each node, and why it does not serve
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp status
  omcp status github --node node-a -o json")]
pub struct Args {
    /// Name of a backend; all if none is given
    #[arg(value_name = "BACKEND")]
    name: Option<String>,

    /// Only this node
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let name = args.name.unwrap_or_default();
    if !name.is_empty() {
        context.backend(&name).await?;
    }
    let statuses = context.statuses(&name, args.node.as_deref().unwrap_or_default()).await?;
    view(&statuses).show(context.format())
}

pub fn view(statuses: &[NodeBackendStatus]) -> View {
    let titles =
        ["BACKEND", "NODE", "STATE", "SINCE", "|ERAS", "|TOOLS", "|SESSIONS", "|FAILURES", "|PIDS", "REASON"];
    let mut table = Table::new(&titles);
    statuses.iter().for_each(|status| table.row(row(status)));
    View {
        table,
        document: Node::map([("statuses".to_owned(), Node::list(statuses.iter().map(document)))]),
        names: statuses.iter().map(|status| format!("{}/{}", status.node, backend_name(status))).collect(),
    }
}

fn row(status: &NodeBackendStatus) -> [Cell; 10] {
    let said = status.status.clone().unwrap_or_default();
    let pids: Vec<_> = said.pids.iter().map(u32::to_string).collect();
    [
        backend_name(status).into(),
        status.node.clone().into(),
        word::backend_cell(word::backend_state(status)),
        time::short(Duration::from_millis(said.since_ms)).into(),
        said.eras.join(",").into(),
        said.tools.map_or("-".to_owned(), |count| count.to_string()).into(),
        said.sessions.to_string().into(),
        said.failures.to_string().into(),
        pids.join(",").into(),
        word::reason(status).into(),
    ]
}

pub fn document(status: &NodeBackendStatus) -> Node {
    let said = status.status.clone().unwrap_or_default();
    let texts = |texts: Vec<String>| Node::list(texts.into_iter().map(Node::text));
    let mut members = vec![
        ("backend".to_owned(), Node::text(backend_name(status))),
        ("node".to_owned(), Node::text(&status.node)),
        ("state".to_owned(), Node::text(word::backend_word(word::backend_state(status)))),
        ("reason".to_owned(), Node::text(word::reason(status))),
        ("since_ms".to_owned(), Node::number(said.since_ms)),
        ("revision".to_owned(), Node::number(said.revision)),
        ("serving_revision".to_owned(), Node::number(said.serving_revision)),
        ("last_error".to_owned(), Node::text(said.last_error)),
        ("stderr_tail".to_owned(), texts(said.stderr_tail)),
        ("last_exit".to_owned(), Node::text(said.last_exit)),
        ("failures".to_owned(), Node::number(said.failures.into())),
        ("eras".to_owned(), texts(said.eras)),
        ("pids".to_owned(), Node::list(said.pids.iter().map(|pid| Node::number((*pid).into())))),
        ("sessions".to_owned(), Node::number(said.sessions.into())),
    ];
    members.extend(said.tools.map(|count| ("tools".to_owned(), Node::number(count.into()))));
    members.extend(status.rejection.as_ref().map(|found| {
        let rejection = Node::map([
            ("code".to_owned(), Node::text(word::rejection(found.code))),
            ("field".to_owned(), Node::text(&found.field)),
            ("message".to_owned(), Node::text(&found.message)),
            ("revision".to_owned(), Node::number(found.revision)),
            ("offered_by".to_owned(), Node::list(status.offered_by.iter().map(Node::text))),
        ]);
        ("rejection".to_owned(), rejection)
    }));
    Node::map(members)
}
