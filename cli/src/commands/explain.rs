//! `omcp explain`.
//!
//! - [`schema`]: finding a way in a JSON Schema
//! - [`page`](mod@page): what a person reads

mod page;
mod schema;

use omcp_core::nearest;
use omcp_proto::v1::{OfferedRuntimeType, RuntimeType};
use serde_json::Value as Json;

use self::schema::Schema;
use super::runtimes;
use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::write;
use crate::output::{self, Format};

/// Show the settings of a runtime type
///
/// Where nodes have different versions of the type, the newest is shown, and what the others are is said.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp explain local-process
  omcp explain local-process.command
  omcp explain tcp --node node-a")]
pub struct Args {
    /// Runtime type, and the setting of it that is meant
    #[arg(value_name = "TYPE[.SETTING]")]
    path: String,

    /// Show the version that this node has
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

/// One version of a type, and the others that nodes offer, newest first.
struct Chosen {
    kind: RuntimeType,
    nodes: Vec<String>,
    others: Vec<OfferedRuntimeType>,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let mut parts = args.path.split('.');
    let name = parts.next().unwrap_or_default();
    let chosen = choose(name, args.node.as_deref(), runtimes::shown(context).await?)?;
    let schema: Json = serde_json::from_str(&chosen.kind.settings_schema_json).unwrap_or_default();
    let target = parts
        .try_fold(Schema::new(&schema), |schema, part| schema.setting(part))
        .map_err(|failure| failure.fix(format!("see them all with `omcp explain {name}`")))?;
    output::print(&match context.format() {
        Format::Json => format!("{:#}\n", target.at),
        Format::Yaml => write::yaml(&write::settings(&target.at.to_string())),
        Format::Name => target.names().map(|name| format!("{name}\n")).collect(),
        Format::Table | Format::Wide => page::page(&args.path, &chosen, target),
    })
}

fn choose(name: &str, node: Option<&str>, types: Vec<OfferedRuntimeType>) -> Result<Chosen, Failure> {
    let kind = |offered: &OfferedRuntimeType| offered.r#type.clone().unwrap_or_default();
    let names: Vec<_> = types.iter().map(|offered| kind(offered).name).collect();
    let mut versions: Vec<_> = types.into_iter().filter(|offered| kind(offered).name == name).collect();
    if versions.is_empty() {
        let fix = match nearest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "see `omcp runtimes`".to_owned(),
        };
        let why = "no runtime type of this name is known";
        return Err(Failure::new(Cause::NotFound, format!("explain {name}"), why).fix(fix));
    }
    let at = match node {
        None => Some(0),
        Some(node) => versions.iter().position(|offered| offered.nodes.iter().any(|one| one == node)),
    };
    let Some(at) = at else {
        let why = format!("node {} does not offer it", node.unwrap_or_default());
        return Err(Failure::new(Cause::NotFound, format!("explain {name}"), why).fix("see `omcp runtimes`"));
    };
    let chosen = versions.remove(at);
    Ok(Chosen { kind: kind(&chosen), nodes: chosen.nodes, others: versions })
}

#[cfg(test)]
mod tests;
