//! `omcp tools`.

use serde_json::Value as Json;

use crate::context::Context;
use crate::endpoint::{self, Endpoint};
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::node::Node;
use crate::manifest::write;
use crate::output::table::Table;
use crate::output::{self, View};

/// List the tools of a backend, or of all backends
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
    let tools = match &args.backend {
        Some(backend) => tools_of(backend, &args.endpoint, context).await?,
        None => tools_of_all(&args.endpoint, context).await?,
    };
    view(&tools).show(context.format())
}

async fn tools_of(backend: &str, endpoint: &Endpoint, context: &Context) -> Result<Vec<Json>, Failure> {
    let mut client = endpoint.connect(backend, context).await?;
    let tools = client.list("tools/list", "tools").await;
    client.close().await;
    let what = format!("list the tools of {backend}");
    let mut tools = tools.map_err(|error| endpoint::failure(what, &error))?;
    for tool in &mut tools {
        let name = format!("{backend}.{}", tool["name"].as_str().unwrap_or_default());
        tool["name"] = name.into();
    }
    Ok(tools)
}

/// One backend after the other; those that do not answer are named and left out.
async fn tools_of_all(endpoint: &Endpoint, context: &Context) -> Result<Vec<Json>, Failure> {
    let mut all = Vec::new();
    for backend in context.all_backends(&[]).await? {
        if backend.spec.is_some_and(|spec| spec.disabled) {
            continue;
        }
        match tools_of(&backend.name, endpoint, context).await {
            Ok(tools) => all.extend(tools),
            Err(failure) => output::warn(&format!("cannot {}: {}", failure.what, failure.why)),
        }
    }
    Ok(all)
}

fn view(tools: &[Json]) -> View {
    let mut table = Table::new(&["TOOL", "ARGUMENTS", "DESCRIPTION"]);
    for tool in tools {
        table.row([name(tool).into(), arguments(tool).into(), summary(tool).into()]);
    }
    let document = |tool: &Json| write::settings(&tool.to_string());
    View {
        table,
        document: Node::map([("tools".to_owned(), Node::list(tools.iter().map(document)))]),
        names: tools.iter().map(name).collect(),
    }
}

/// As `omcp call` takes it.
fn name(tool: &Json) -> String {
    tool["name"].as_str().unwrap_or_default().to_owned()
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
    fn arguments_and_first_sentence() {
        let schema = json!({"properties": {"a": {}, "b": {}}, "required": ["a"]});
        let tools = [json!({"name": "x.add", "description": "Adds. Slowly.", "inputSchema": schema})];
        let view = view(&tools);
        assert_eq!(
            view.render(Format::Table),
            "TOOL    ARGUMENTS   DESCRIPTION\nx.add   a [b]       Adds.\n"
        );
        assert_eq!(view.render(Format::Name), "x.add\n");
    }
}
