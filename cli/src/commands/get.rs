//! `omcp get`.

use std::collections::BTreeMap;

use omcp_proto::v1::{Backend, BackendState, ManifestBackend, NodeBackendStatus};

use crate::context::{Context, backend_name};
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::manifest::write;
use crate::output::View;
use crate::output::table::{Cell, Mood, Table};
use crate::word;

/// List backends
///
/// With -o yaml or -o json, what is shown can be applied again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp get
  omcp get github -o yaml
  omcp get --tag production -o name")]
pub struct Args {
    /// Names of backends; all if none is given
    #[arg(value_name = "BACKEND")]
    names: Vec<String>,

    /// Only backends that have this tag; may be given several times
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let backends = find(&args, context).await?;
    let statuses = context.statuses("", "").await.unwrap_or_default();
    view(&backends, &statuses).show(context.format())
}

async fn find(args: &Args, context: &Context) -> Result<Vec<Backend>, Failure> {
    if args.names.is_empty() {
        return context.all_backends(&args.tags).await;
    }
    let mut found = Vec::new();
    for name in &args.names {
        let backend = context.backend(name).await?;
        let tags = backend.spec.as_ref().map(|spec| spec.tags.as_slice()).unwrap_or_default();
        if args.tags.iter().all(|tag| tags.contains(tag)) {
            found.push(backend);
        }
    }
    Ok(found)
}

pub fn view(backends: &[Backend], statuses: &[NodeBackendStatus]) -> View {
    let mut by_backend = BTreeMap::<&str, Vec<&NodeBackendStatus>>::new();
    for status in statuses {
        by_backend.entry(backend_name(status)).or_default().push(status);
    }
    let titles =
        ["NAME", "TYPE", "STATE", "NODES", "TOOLS", "TAGS", "|REVISION", "|GENERATION", "|DISPLAY NAME"];
    let mut table = Table::new(&titles);
    for backend in backends {
        let statuses = by_backend.get(backend.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        table.row(row(backend, statuses));
    }
    View {
        table,
        document: Node::map([("backends".to_owned(), Node::list(backends.iter().map(document)))]),
        names: backends.iter().map(|backend| backend.name.clone()).collect(),
    }
}

fn row(backend: &Backend, statuses: &[&NodeBackendStatus]) -> [Cell; 9] {
    let spec = backend.spec.clone().unwrap_or_default();
    let ready = statuses.iter().filter(|status| word::backend_state(status) == BackendState::Ready).count();
    let tools = statuses.iter().filter_map(|status| status.status.as_ref()?.tools).max();
    [
        backend.name.clone().into(),
        spec.runtime_type.into(),
        overall(spec.disabled, statuses),
        format!("{ready}/{}", statuses.len()).into(),
        tools.map_or("-".to_owned(), |count| count.to_string()).into(),
        spec.tags.join(",").into(),
        backend.revision.to_string().into(),
        backend.generation.to_string().into(),
        spec.display_name.into(),
    ]
}

/// The worst that any node says.
fn overall(disabled: bool, statuses: &[&NodeBackendStatus]) -> Cell {
    const WORST_FIRST: [BackendState; 5] = [
        BackendState::Rejected,
        BackendState::Failing,
        BackendState::Unspecified,
        BackendState::Starting,
        BackendState::Ready,
    ];
    if disabled {
        return "disabled".into();
    }
    let said: Vec<_> = statuses.iter().map(|status| word::backend_state(status)).collect();
    match WORST_FIRST.iter().find(|state| said.contains(state)) {
        Some(state) => word::backend_cell(*state),
        None if said.is_empty() => Cell::new("no-node", Mood::Waiting),
        None => word::backend_cell(BackendState::Stopped),
    }
}

/// A backend as people write it, followed by what the control plane knows of it.
pub fn document(backend: &Backend) -> Node {
    let written = write::entry(&ManifestBackend { name: backend.name.clone(), spec: backend.spec.clone() });
    let members = written.members().iter().map(|member| (member.key.clone(), member.value.clone()));
    let time =
        |time: &Option<prost_types::Timestamp>| Node::text(time.map(|t| t.to_string()).unwrap_or_default());
    let known = [
        ("uid".to_owned(), Node::text(&backend.uid)),
        ("generation".to_owned(), Node::number(backend.generation)),
        ("revision".to_owned(), Node::number(backend.revision)),
        ("create_time".to_owned(), time(&backend.create_time)),
        ("update_time".to_owned(), time(&backend.update_time)),
        ("etag".to_owned(), Node::text(&backend.etag)),
    ];
    Node::map(members.chain(known))
}
