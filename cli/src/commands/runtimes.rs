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

/// Digits of a schema's hash in a table: enough to tell two versions apart.
const HASH_LEN_SHOWN: usize = 8;

/// List the runtime types, and the nodes that offer them
///
/// A type of which nodes have different versions has a line for each, the newest first.
/// `omcp explain TYPE` shows the settings of one.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(_: Args, context: &Context) -> Result<Outcome, Failure> {
    view(&shown(context).await?).show(context.format())
}

/// By name, then newest first; a version that no node offers is left out if some node offers another.
fn for_people(types: Vec<OfferedRuntimeType>) -> Vec<OfferedRuntimeType> {
    let offered: BTreeSet<_> =
        types.iter().filter(|one| !one.nodes.is_empty()).map(|one| name(one).to_owned()).collect();
    types.into_iter().filter(|one| !one.nodes.is_empty() || !offered.contains(name(one))).collect()
}

fn name(offered: &OfferedRuntimeType) -> &str {
    offered.r#type.as_ref().map(|kind| kind.name.as_str()).unwrap_or_default()
}

/// The runtime types that are known, by name, then newest first.
async fn list(context: &Context) -> Result<Vec<OfferedRuntimeType>, Failure> {
    let answer = context.client()?.fleet().list_runtime_types(ListRuntimeTypesRequest {}).await;
    Ok(answer.map_err(|status| Failure::rpc("list runtime types", &status))?.into_inner().types)
}

/// The same, as a person is to see them.
pub async fn shown(context: &Context) -> Result<Vec<OfferedRuntimeType>, Failure> {
    Ok(for_people(list(context).await?))
}

fn view(types: &[OfferedRuntimeType]) -> View {
    let mut table = Table::new(&["TYPE", "VERSION", "ORIGIN", "|SCHEMA", "NODES"]);
    let mut documents = Vec::new();
    let mut names: Vec<_> = types.iter().map(name).collect();
    names.dedup();
    for offered in types {
        let kind = offered.r#type.clone().unwrap_or_default();
        let hash: String = kind.schema_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let nodes = if offered.nodes.is_empty() { "-".to_owned() } else { offered.nodes.join(",") };
        documents.push(Node::map([
            ("type".to_owned(), Node::text(&kind.name)),
            ("version".to_owned(), Node::text(&kind.version)),
            ("origin".to_owned(), Node::text(&kind.origin)),
            ("schema_hash".to_owned(), Node::text(&hash)),
            ("nodes".to_owned(), Node::list(offered.nodes.iter().map(Node::text))),
            ("settings_schema".to_owned(), write::settings(&kind.settings_schema_json)),
        ]));
        let short = hash.get(..HASH_LEN_SHOWN).unwrap_or(&hash).to_owned();
        table.row([kind.name.into(), kind.version.into(), kind.origin.into(), short.into(), nodes.into()]);
    }
    View {
        table,
        document: Node::map([("runtime_types".to_owned(), Node::list(documents))]),
        names: names.into_iter().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use omcp_proto::v1::RuntimeType;

    use super::*;

    fn offered(version: &str, nodes: &[&str]) -> OfferedRuntimeType {
        let kind = RuntimeType { name: "x".into(), version: version.into(), ..RuntimeType::default() };
        OfferedRuntimeType {
            r#type: Some(kind),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        }
    }

    #[test]
    fn versions_that_nobody_offers_are_shown_only_where_nobody_offers_any() {
        let versions = |types: Vec<OfferedRuntimeType>| -> Vec<String> {
            for_people(types).into_iter().filter_map(|one| Some(one.r#type?.version)).collect()
        };
        assert_eq!(versions(vec![offered("3", &[]), offered("2", &["a"]), offered("1", &["b"])]), ["2", "1"]);
        assert_eq!(versions(vec![offered("3", &[])]), ["3"]);
    }
}
