//! `omcp runtimes`.

use std::collections::BTreeSet;

use omcp_proto::v1::{ListRuntimeTypesRequest, OfferedRuntimeType};

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::manifest::write;
use crate::output::View;
use crate::output::table::Table;

/// List the runtime types, and the nodes that offer them
///
/// `omcp explain TYPE` shows the settings of one.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_: Args, context: &Context) -> Result<Outcome, Failure> {
    view(&for_people(list(context).await?)).show(context.format())
}

/// By name; a version that no node offers is left out if some node offers another.
fn for_people(types: Vec<OfferedRuntimeType>) -> Vec<OfferedRuntimeType> {
    let offered: BTreeSet<_> = types.iter().filter(|one| !one.nodes.is_empty()).map(name).collect();
    let mut kept: Vec<_> =
        types.into_iter().filter(|one| !one.nodes.is_empty() || !offered.contains(&name(one))).collect();
    kept.sort_by_key(name);
    kept
}

fn name(offered: &OfferedRuntimeType) -> String {
    offered.r#type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default()
}

/// The runtime types that are known, those that nodes offer first.
pub async fn list(context: &Context) -> Result<Vec<OfferedRuntimeType>, Failure> {
    let answer = context.client()?.fleet().list_runtime_types(ListRuntimeTypesRequest {}).await;
    let mut types = answer.map_err(|status| Failure::rpc("list runtime types", &status))?.into_inner().types;
    types.sort_by_key(|offered| offered.nodes.is_empty());
    Ok(types)
}

fn view(types: &[OfferedRuntimeType]) -> View {
    let mut table = Table::new(&["TYPE", "VERSION", "ORIGIN", "NODES"]);
    let mut documents = Vec::new();
    for offered in types {
        let kind = offered.r#type.clone().unwrap_or_default();
        let nodes = if offered.nodes.is_empty() { "-".to_owned() } else { offered.nodes.join(",") };
        documents.push(Node::map([
            ("type".to_owned(), Node::text(&kind.name)),
            ("version".to_owned(), Node::text(&kind.version)),
            ("origin".to_owned(), Node::text(&kind.origin)),
            ("nodes".to_owned(), Node::list(offered.nodes.iter().map(Node::text))),
            ("settings_schema".to_owned(), write::settings(&kind.settings_schema_json)),
        ]));
        table.row([kind.name.into(), kind.version.into(), kind.origin.into(), nodes.into()]);
    }
    View {
        table,
        document: Node::map([("runtime_types".to_owned(), Node::list(documents))]),
        names: types.iter().map(name).collect(),
    }
}
