//! `omcp runtimes`.

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
    view(&list(context).await?).show(context.format())
}

/// The runtime types that are known.
pub async fn list(context: &Context) -> Result<Vec<OfferedRuntimeType>, Failure> {
    let answer = context.client()?.fleet().list_runtime_types(ListRuntimeTypesRequest {}).await;
    Ok(answer.map_err(|status| Failure::rpc("list runtime types", &status))?.into_inner().types)
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
    let name = |offered: &OfferedRuntimeType| Some(offered.r#type.as_ref()?.name.clone());
    View {
        table,
        document: Node::map([("runtime_types".to_owned(), Node::list(documents))]),
        names: types.iter().filter_map(name).collect(),
    }
}
