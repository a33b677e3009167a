//! `omcp call`.

use std::io::Read as _;

use serde_json::{Map, Value as Json};

use crate::context::Context;
use crate::endpoint::{self, Endpoint};
use crate::exit::Outcome;
use crate::failure::{Cause, Failure};
use crate::manifest::write;
use crate::output::{self, Format};
use crate::style;

/// Call a tool
///
/// Arguments are `name=text` or `name:=json`. Ends with 9 if the tool says that it failed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  omcp call demo.echo message=hello
  omcp call demo.add a:=1 b:=2
  omcp call github.search --json '{\"query\": \"mcp\"}' -o json")]
pub struct Args {
    /// The tool, after its backend
    #[arg(value_name = "BACKEND.TOOL")]
    tool: String,

    /// Its arguments: name=text or name:=json
    #[arg(value_name = "ARGUMENT")]
    arguments: Vec<String>,

    /// All arguments as one JSON object; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "JSON")]
    json: Option<String>,

    #[command(flatten)]
    endpoint: Endpoint,
}

pub async fn run(args: Args, context: &Context) -> Result<Outcome, Failure> {
    let (backend, tool) =
        args.tool.split_once('.').filter(|(_, tool)| !tool.is_empty()).ok_or_else(|| {
            Failure::new(
                Cause::Invalid,
                format!("call {}", args.tool),
                "it does not name a backend and a tool",
            )
            .fix("write BACKEND.TOOL as in `omcp call demo.echo message=hello`; see `omcp tools`")
        })?;
    let arguments = arguments(args.json.as_deref(), &args.arguments)
        .map_err(|why| Failure::new(Cause::Invalid, format!("call {}", args.tool), why))?;
    let mut client = args.endpoint.connect(backend, context).await?;
    let answer = client.call_tool(tool, Json::Object(arguments)).await;
    client.close().await;
    let result = answer.map_err(|error| endpoint::failure(format!("call {}", args.tool), &error))?;
    show(&args.tool, &result, context.format())
}

/// `--json` first, single arguments over it.
fn arguments(json: Option<&str>, single: &[String]) -> Result<Map<String, Json>, String> {
    let mut all = match json {
        Some(text) => object(text)?,
        None => Map::new(),
    };
    for argument in single {
        let (name, value) = argument
            .split_once('=')
            .filter(|(name, _)| !name.trim_end_matches(':').is_empty())
            .ok_or_else(|| format!("{argument:?} is not an argument: write name=text or name:=json"))?;
        let (name, value) = match name.strip_suffix(':') {
            Some(name) => (name, parsed(name, value)?),
            None => (name, Json::from(value)),
        };
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

fn parsed(name: &str, text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|error| format!("{name}:={text} is not JSON: {error}"))
}

fn object(text: &str) -> Result<Map<String, Json>, String> {
    let text = match text.strip_prefix('@') {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
            text
        }
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| format!("--json is not a JSON object: {error}"))
}

fn show(tool: &str, result: &Json, format: Format) -> Result<Outcome, Failure> {
    if result["resultType"] == "input_required" {
        let why = "the tool asks its caller for input, which this command cannot give";
        return Err(
            Failure::new(Cause::Failed, format!("call {tool}"), why).fix("call it from an MCP client")
        );
    }
    output::print(&match format {
        Format::Json => format!("{result:#}\n"),
        Format::Yaml => write::yaml(&write::settings(&result.to_string())),
        Format::Table | Format::Wide | Format::Name => text(result),
    })?;
    if result["isError"] == true {
        output::say(&format!("{}: {tool} says that it failed", style::error("error")));
        return Ok(Outcome::ToolError);
    }
    Ok(Outcome::Done)
}

/// What a person wants to see of a result.
fn text(result: &Json) -> String {
    let blocks = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    if blocks.is_empty() && !result["structuredContent"].is_null() {
        return format!("{:#}\n", result["structuredContent"]);
    }
    blocks.iter().map(|content| format!("{}\n", block(content).trim_end_matches('\n'))).collect()
}

fn block(content: &Json) -> String {
    let part = |name: &str| content[name].as_str().unwrap_or_default();
    match part("type") {
        "text" => style::printable_text(part("text")),
        kind @ ("image" | "audio") => {
            format!("[{kind} {}, {} characters of Base64; see -o json]", part("mimeType"), part("data").len())
        }
        "resource_link" => format!("[resource {}]", style::printable(part("uri"))),
        "resource" => match content["resource"]["text"].as_str() {
            Some(text) => style::printable_text(text),
            None => format!("[resource {}]", style::printable(&content["resource"]["uri"].to_string())),
        },
        _ => content.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(json: Option<&str>, single: &[&str]) -> Result<Json, String> {
        arguments(json, &single.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).map(Json::Object)
    }

    #[test]
    fn arguments_are_text_or_json() {
        assert_eq!(
            all(None, &["a=1", "b:=1", "c=x=y", "d:={\"e\":[]}", "f="]).unwrap(),
            json!({"a": "1", "b": 1, "c": "x=y", "d": {"e": []}, "f": ""})
        );
        assert_eq!(all(Some("{\"a\":1,\"b\":2}"), &["b=3"]).unwrap(), json!({"a": 1, "b": "3"}));
        for bad in ["a", "=x", ":=1", "a:=x"] {
            assert!(all(None, &[bad]).is_err(), "{bad}");
        }
        assert!(all(Some("[]"), &[]).is_err());
        assert!(all(Some("@/nonexistent"), &[]).is_err());
    }

    #[test]
    fn shows_blocks() {
        let result = json!({"content": [
            {"type": "text", "text": "one\ttwo\n\u{1b}[2J"},
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "resource_link", "uri": "demo://x"}
        ]});
        assert_eq!(
            text(&result),
            "one\ttwo\n [2J\n[image image/png, 4 characters of Base64; see -o json]\n[resource demo://x]\n"
        );
        assert_eq!(text(&json!({"structuredContent": 5})), "5\n");
        assert_eq!(text(&json!({})), "");
    }
}
