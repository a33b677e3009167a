//! `omcp export`.

use clap::ValueEnum;
use omcp_proto::v1::ExportManifestRequest;

use crate::context::Context;
use crate::exit::Outcome;
use crate::failure::Failure;
use crate::manifest::write;
use crate::output::{self, Format};

/// Print every backend as a manifest
///
/// What is printed can be applied again, here or elsewhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp export > backends.yaml
  omcp export --format mcpServers > mcp.json")]
pub struct Args {
    /// Shape of the manifest; -o chooses between YAML and JSON
    #[arg(long, default_value = "servers", value_name = "SHAPE")]
    format: Shape,

    /// Only backends that have this tag; may be given several times
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// Our own
    #[value(name = "servers")]
    Servers,
    /// The JSON that MCP clients read
    #[value(name = "mcpServers")]
    McpServers,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let request = ExportManifestRequest { tags: args.tags };
    let answer = context.client()?.manifests().export_manifest(request).await;
    let manifest =
        answer.map_err(|status| Failure::rpc("export the backends", &status))?.into_inner().manifest;
    let backends = manifest.unwrap_or_default().backends;
    if matches!(args.format, Shape::McpServers) {
        let (document, left_out) = write::mcp_servers(&backends);
        for name in left_out {
            output::warn(&format!("{name} is left out: mcpServers has no form for its runtime type"));
        }
        return output::print(&write::json(&document));
    }
    let names = || backends.iter().map(|backend| format!("{}\n", backend.name)).collect::<String>();
    output::print(&match context.global.output {
        Some(Format::Json) => write::json(&write::manifest(&backends)),
        Some(Format::Name) => names(),
        _ => write::yaml(&write::manifest(&backends)),
    })
}
