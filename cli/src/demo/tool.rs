//! The tools of the demo backend.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Outbox;
use super::reply::{self, Refusal};

/// Longest wait that a caller may ask for, milliseconds.
const WAIT_MAX_MS: u64 = 600_000;
/// Largest text that a caller may ask for, bytes.
const TEXT_LEN_MAX: u64 = 16 * 1024 * 1024;
/// Most steps of progress that a caller may ask for.
const STEPS_MAX: u64 = 1000;

/// All tools, as they are listed.
pub fn list() -> Json {
    json!([
        tool("echo", "Says what you say.", json!({"message": {"type": "string"}}), &["message"]),
        tool(
            "add",
            "Adds two numbers.",
            json!({"a": {"type": "number"}, "b": {"type": "number"}}),
            &["a", "b"]
        ),
        tool("slow", "Answers after a while.", json!({"ms": wait()}), &[]),
        tool("fail", "Fails always.", json!({}), &[]),
        tool(
            "big",
            "Answers with a long text.",
            json!({"bytes": {"type": "integer", "default": 1_000_000}}),
            &[]
        ),
        tool(
            "progress",
            "Reports progress on its way to the answer.",
            json!({"steps": {"type": "integer", "default": 5}, "step_ms": wait()}),
            &[]
        ),
        tool("whoami", "Tells about the process that answers.", json!({}), &[]),
    ])
}

fn wait() -> Json {
    json!({"type": "integer", "description": "Milliseconds.", "default": 200})
}

fn tool(name: &str, description: &str, properties: Json, required: &[&str]) -> Json {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    json!({"name": name, "description": description, "inputSchema": schema})
}

/// Calls one.
///
/// # Errors
/// There is no such tool. A tool that fails answers with `isError`.
pub async fn call(params: &Json, outbox: &Outbox) -> Result<Json, Refusal> {
    let arguments = &params["arguments"];
    let name = params["name"].as_str().unwrap_or_default();
    let answer = match name {
        "echo" => echo(arguments),
        "add" => add(arguments),
        "slow" => slow(arguments).await,
        "fail" => Err("failing is what this tool is for".to_owned()),
        "big" => Ok("x".repeat(number(arguments, "bytes", 1_000_000).min(TEXT_LEN_MAX) as usize)),
        "progress" => progress(arguments, &params["_meta"]["progressToken"], outbox).await,
        "whoami" => Ok(whoami()),
        _ => return Err(Refusal::invalid(format!("there is no tool {name:?}"))),
    };
    let text = |text: String| json!([{"type": "text", "text": text}]);
    Ok(match answer {
        Ok(said) => json!({"content": text(said)}),
        Err(why) => json!({"content": text(why), "isError": true}),
    })
}

fn echo(arguments: &Json) -> Result<String, String> {
    let message = arguments["message"].as_str().ok_or("echo needs `message`, a text")?;
    Ok(message.to_owned())
}

fn add(arguments: &Json) -> Result<String, String> {
    let term = |name: &str| arguments[name].as_f64().ok_or(format!("add needs `{name}`, a number"));
    Ok((term("a")? + term("b")?).to_string())
}

async fn slow(arguments: &Json) -> Result<String, String> {
    let ms = number(arguments, "ms", 200).min(WAIT_MAX_MS);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(format!("waited {ms} ms"))
}

async fn progress(arguments: &Json, token: &Json, outbox: &Outbox) -> Result<String, String> {
    let steps = number(arguments, "steps", 5).min(STEPS_MAX);
    let step_ms = number(arguments, "step_ms", 200).min(WAIT_MAX_MS);
    for step in 1..=steps {
        tokio::time::sleep(Duration::from_millis(step_ms)).await;
        if !token.is_null() {
            let params = json!({"progressToken": token, "progress": step, "total": steps});
            reply::send(
                outbox,
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}),
            )
            .await;
        }
    }
    Ok(format!("{steps} steps done"))
}

fn whoami() -> String {
    let directory = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
    format!("process {} in {directory}", std::process::id())
}

fn number(arguments: &Json, name: &str, default: u64) -> u64 {
    arguments[name].as_u64().unwrap_or(default)
}
