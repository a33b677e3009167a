//! Answers of the demo backend. Requests with a modern envelope get modern results.

use omcp_mcp::envelope::{META_PROTOCOL_VERSION, META_SERVER_INFO};
use omcp_mcp::revision::Revision;
use serde_json::{Value as Json, json};

use super::{Outbox, tool};

const README: &str = "This is the demo backend of Open MCP Gateway. Call one of its tools.";

/// What may be wrong with a request.
#[derive(Debug)]
pub struct Refusal {
    pub code: i64,
    pub message: String,
}

impl Refusal {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: -32602, message: message.into() }
    }
}

/// The answer to a request.
pub async fn answer(message: &Json, outbox: &Outbox) -> Json {
    let method = message["method"].as_str().unwrap_or_default();
    match result(method, &message["params"], outbox).await {
        Ok(result) if is_modern(&message["params"]) => success(&message["id"], modern(method, result)),
        Ok(result) => success(&message["id"], result),
        Err(refusal) => error(&message["id"], refusal.code, &refusal.message),
    }
}

async fn result(method: &str, params: &Json, outbox: &Outbox) -> Result<Json, Refusal> {
    Ok(match method {
        "initialize" => initialize(params),
        "server/discover" => json!({
            "supportedVersions": Revision::MODERN.map(Revision::as_str),
            "capabilities": capabilities(),
            "serverInfo": server_info(),
        }),
        "ping" | "logging/setLevel" => json!({}),
        "tools/list" => json!({"tools": tool::list()}),
        "tools/call" => tool::call(params, outbox).await?,
        "resources/list" => json!({"resources": [resource()]}),
        "resources/templates/list" => json!({"resourceTemplates": []}),
        "resources/read" => read(params)?,
        "prompts/list" => json!({"prompts": [prompt()]}),
        "prompts/get" => greet(params)?,
        _ => {
            return Err(Refusal {
                code: -32601,
                message: format!("the demo backend has no method {method}"),
            });
        }
    })
}

fn is_modern(params: &Json) -> bool {
    let version = params["_meta"][META_PROTOCOL_VERSION].as_str();
    version.is_some_and(omcp_mcp::revision::is_modern_version)
}

/// Adds what every modern result carries.
fn modern(method: &str, mut result: Json) -> Json {
    result["resultType"] = "complete".into();
    result["_meta"] = json!({META_SERVER_INFO: server_info()});
    if method == "server/discover" || method.ends_with("/list") || method == "resources/read" {
        result["ttlMs"] = 0.into();
        result["cacheScope"] = "private".into();
    }
    result
}

fn initialize(params: &Json) -> Json {
    let wanted = params["protocolVersion"].as_str().and_then(Revision::parse);
    let known = wanted.filter(|revision| Revision::LEGACY.contains(revision));
    json!({
        "protocolVersion": known.unwrap_or(Revision::LATEST_LEGACY).as_str(),
        "capabilities": capabilities(),
        "serverInfo": server_info(),
    })
}

fn capabilities() -> Json {
    json!({"tools": {}, "resources": {}, "prompts": {}})
}

fn server_info() -> Json {
    json!({"name": "omcp-demo", "version": env!("CARGO_PKG_VERSION")})
}

fn resource() -> Json {
    json!({"uri": "demo://readme", "name": "readme", "mimeType": "text/plain", "description": "What this is."})
}

fn read(params: &Json) -> Result<Json, Refusal> {
    if params["uri"] != "demo://readme" {
        return Err(Refusal::invalid(format!("there is no resource {}", params["uri"])));
    }
    Ok(json!({"contents": [{"uri": "demo://readme", "mimeType": "text/plain", "text": README}]}))
}

fn prompt() -> Json {
    let name = json!({"name": "name", "description": "Whom to greet.", "required": false});
    json!({"name": "greet", "description": "Greets somebody.", "arguments": [name]})
}

fn greet(params: &Json) -> Result<Json, Refusal> {
    if params["name"] != "greet" {
        return Err(Refusal::invalid(format!("there is no prompt {}", params["name"])));
    }
    let name = params["arguments"]["name"].as_str().unwrap_or("the world");
    let content = json!({"type": "text", "text": format!("Say hello to {name}, kindly.")});
    Ok(json!({"messages": [{"role": "user", "content": content}]}))
}

fn success(id: &Json, result: Json) -> Json {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// An error; without an id if none could be read.
pub fn error(id: &Json, code: i64, message: &str) -> Json {
    let error = json!({"code": code, "message": message});
    match id {
        Json::Null => json!({"jsonrpc": "2.0", "error": error}),
        id => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    }
}

/// Hands a message to the writer; if it is gone, so is the peer.
pub async fn send(outbox: &Outbox, message: Json) {
    let _ = outbox.send(message).await;
}
