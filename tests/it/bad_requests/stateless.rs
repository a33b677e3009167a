//! Rules of 2026-07-28.

use http::Method;
use omcp_tests::harness::client::modern::{VERSION, with_envelope};
use serde_json::{Value, json};

use super::case::Want::{Error, Status};
use super::case::{Case, ID, Want};

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";

pub fn cases(backend: &str) -> Vec<Case> {
    let path = format!("/mcp/{backend}");
    [metadata(&path), versions(&path), headers(&path), names(&path), methods(&path), handlers(&path)]
        .into_iter()
        .flatten()
        .collect()
}

fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": ID, "method": method, "params": with_envelope(params) })
}

fn echo() -> Value {
    request("tools/call", json!({ "name": "echo", "arguments": { "message": "x" } }))
}

fn case(path: &str, name: &str, message: &Value, want: Want) -> Case {
    Case::modern(format!("{path} {name}"), path, message, want)
}

fn metadata(path: &str) -> Vec<Case> {
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut message = echo();
        change(&mut message["params"]);
        case(path, name, &message, Error(400, -32602))
    };
    let mut cases = vec![
        changed("without metadata", &|params| {
            drop(params.as_object_mut().map(|params| params.remove("_meta")))
        }),
        changed("with empty metadata", &|params| params["_meta"] = json!({})),
        changed("without a version", &|params| {
            drop(params["_meta"].as_object_mut().map(|meta| meta.remove(VERSION_KEY)))
        }),
        changed("without capabilities", &|params| {
            drop(params["_meta"].as_object_mut().map(|meta| meta.remove(CAPABILITIES_KEY)));
        }),
    ];
    for value in [json!(null), json!([]), json!("all"), json!(1), json!(true)] {
        cases.push(changed(&format!("with capabilities {value}"), &|params| {
            params["_meta"][CAPABILITIES_KEY] = value.clone()
        }));
    }
    for value in [
        json!(null),
        json!("me"),
        json!({}),
        json!({ "name": "me" }),
        json!({ "version": "1" }),
        json!({ "name": 1, "version": "1" }),
    ] {
        cases.push(changed(&format!("from client {value}"), &|params| {
            params["_meta"][CLIENT_KEY] = value.clone()
        }));
    }
    cases
}

fn versions(path: &str) -> Vec<Case> {
    let mut cases = vec![
        case(path, "without a version header", &echo(), Error(400, -32020)).without("mcp-protocol-version"),
        case(path, "with two version headers", &echo(), Error(400, -32020))
            .and("mcp-protocol-version", VERSION),
    ];
    for other in ["2025-11-25", "2099-01-01", "2026-07-29", "banana", ""] {
        let name = format!("with the version header {other:?}");
        cases.push(case(path, &name, &echo(), Error(400, -32020)).with("mcp-protocol-version", other));
    }
    for other in ["2099-01-01", "2026-07-29", "9999-12-31"] {
        let mut message = echo();
        message["params"]["_meta"][VERSION_KEY] = json!(other);
        let name = format!("of version {other}");
        cases.push(case(path, &name, &message, Error(400, -32022)).with("mcp-protocol-version", other));
    }
    cases
}

fn headers(path: &str) -> Vec<Case> {
    let method = |name: &str| case(path, name, &echo(), Error(400, -32020));
    let mut cases = vec![
        method("without Mcp-Method").without("mcp-method"),
        method("with Mcp-Method twice").and("mcp-method", "tools/call"),
        method("without Mcp-Name").without("mcp-name"),
        method("with Mcp-Name twice").and("mcp-name", "echo"),
    ];
    for other in ["tools/list", "TOOLS/CALL", "Tools/call", "ping", "", "tools/call, tools/call"] {
        cases.push(method(&format!("with Mcp-Method {other:?}")).with("mcp-method", other));
    }
    for other in ["die", "Echo", "", "=?base64?!!!?=", "=?base64?ZGll?=", "=?BASE64?ZWNobw==?=", "echo, die"]
    {
        cases.push(method(&format!("with Mcp-Name {other:?}")).with("mcp-name", other));
    }
    let region = json!({ "name": "test_custom_header", "arguments": { "region": "eu" } });
    let region = request("tools/call", region);
    for value in [None, Some("us"), Some("=?base64?!?="), Some("")] {
        let new = case(path, &format!("with Mcp-Param-Region {value:?}"), &region, Error(400, -32020));
        cases.push(match value {
            Some(value) => new.with("mcp-param-region", value),
            None => new,
        });
    }
    cases
}

/// Every method whose target is mirrored in a header.
fn names(path: &str) -> Vec<Case> {
    let targets = [
        ("prompts/get", json!({ "name": "test_simple_prompt" })),
        ("resources/read", json!({ "uri": "test://static-text" })),
        ("tasks/get", json!({ "taskId": "t" })),
        ("tasks/cancel", json!({ "taskId": "t" })),
        ("tasks/update", json!({ "taskId": "t", "inputResponses": {} })),
    ];
    let cases = targets.map(|(method, params)| {
        let message = request(method, params);
        [
            case(path, &format!("{method} without Mcp-Name"), &message, Error(400, -32020))
                .without("mcp-name"),
            case(path, &format!("{method} with another Mcp-Name"), &message, Error(400, -32020))
                .with("mcp-name", "other"),
        ]
    });
    cases.into_iter().flatten().collect()
}

fn methods(path: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for gone in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/result",
        "vendor/unheard-of",
        "tools/Call",
        "",
    ] {
        let message = request(gone, json!({}));
        cases.push(case(path, &format!("method {gone:?}"), &message, Error(404, -32601)));
    }
    for method in [Method::GET, Method::DELETE] {
        let new = Case::new(format!("{method} {path} of 2026-07-28"), method, path, Status(405));
        cases.push(new.with("mcp-protocol-version", VERSION).with("accept", "text/event-stream"));
    }
    let answer = json!({ "jsonrpc": "2.0", "id": ID, "result": {} });
    cases.push(case(path, "an answer nobody asked for", &answer, Error(400, -32600)));
    let batch = json!([echo()]);
    cases.push(case(path, "a batch", &batch, Error(400, -32600)));
    cases
}

/// What a handler finds wrong is told in the answer.
fn handlers(path: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, params) in [
        ("tools/call", json!({ "name": "no-such-tool" })),
        ("tools/call", json!({ "name": "echo", "arguments": { "message": 1 } })),
        ("tools/call", json!({ "name": "echo", "arguments": [] })),
        ("prompts/get", json!({ "name": "no-such-prompt" })),
        ("resources/read", json!({ "uri": "test://no-such-resource" })),
        ("tools/list", json!({ "cursor": "no-such-cursor" })),
        ("tools/list", json!({ "_meta": { "io.modelcontextprotocol/logLevel": "shout" } })),
    ] {
        cases.push(case(path, &format!("{method} {params}"), &request(method, params), Error(200, -32602)));
    }
    let undeclared = json!({ "name": "test_missing_capability", "_meta": { CAPABILITIES_KEY: {} } });
    cases.push(case(path, "without sampling", &request("tools/call", undeclared), Error(400, -32021)));
    cases
}
