//! `omcp tools`.

use serde_json::Value as Json;

use crate::context::Context;
use crate::endpoint::{self, Endpoint};
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::manifest::write;
use crate::output::View;
use crate::output::table::Table;

/// List the tools of a backend, or of all backends together
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp tools
  omcp tools github -o wide")]
pub struct Args {
    /// Name of a backend; all if none is given
    #[arg(value_name = "BACKEND")]
    backend: Option<String>,

    #[command(flatten)]
    endpoint: Endpoint,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let backend = args.backend.as_deref();
    let mut client = args.endpoint.connect(backend, context).await?;
    let tools = client.list("tools/list", "tools").await;
    client.close().await;
    let tools = tools.map_err(|error| endpoint::failure("list the tools", &error))?;
    view(backend, &tools).show(context.format())
}

fn view(backend: Option<&str>, tools: &[Json]) -> View {
    let mut table = Table::new(&["TOOL", "ARGUMENTS", "DESCRIPTION"]);
    for tool in tools {
        table.row([name(backend, tool).into(), arguments(tool).into(), summary(tool).into()]);
    }
    let document = |tool: &Json| write::settings(&tool.to_string());
    View {
        table,
        document: Node::map([("tools".to_owned(), Node::list(tools.iter().map(document)))]),
        names: tools.iter().map(|tool| name(backend, tool)).collect(),
    }
}

/// As `omcp call` takes it. All together, tools are called `backend__tool` by the gateway.
fn name(backend: Option<&str>, tool: &Json) -> String {
    let name = tool["name"].as_str().unwrap_or_default();
    match backend {
        Some(backend) => format!("{backend}.{name}"),
        None => name.replacen("__", ".", 1),
    }
}

/// The names of its arguments, those that may be left out in brackets.
fn arguments(tool: &Json) -> String {
    let schema = &tool["inputSchema"];
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let shown = |name: &String| if required(name) { name.clone() } else { format!("[{name}]") };
    let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| shown(name));
    names.collect::<Vec<_>>().join(" ")
}

/// The first sentence of its description.
fn summary(tool: &Json) -> String {
    let text = tool["description"].as_str().or_else(|| tool["title"].as_str()).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split_inclusive(". ").next().unwrap_or(line).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::Format;

    #[test]
    fn names_are_those_of_call() {
        let schema = json!({"properties": {"a": {}, "b": {}}, "required": ["a"]});
        let tools = [json!({"name": "x__add", "description": "Adds. Slowly.", "inputSchema": schema})];
        assert_eq!(
            view(None, &tools).render(Format::Table),
            "TOOL    ARGUMENTS   DESCRIPTION\nx.add   a [b]       Adds.\n"
        );
        assert_eq!(view(Some("y"), &tools).render(Format::Name), "y.x__add\n");
    }
}
