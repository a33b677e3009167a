//! Rules of the handshake revisions over Streamable HTTP.

use anyhow::Result;
use http::Method;
use omcp_tests::harness::client::{Http, Legacy};
use serde_json::{Value, json};

use super::case::Want::{Error, Status};
use super::case::{Case, ID, Want};

pub async fn cases(node: &str, backend: &str) -> Result<Vec<Case>> {
    let path = format!("/mcp/{backend}");
    let url = format!("{node}{path}");
    let open = Legacy::connect(&url).await?;
    let batching = Legacy::connect_with(Http::default(), &url, "2025-03-26").await?;
    let gone = Legacy::connect(&url).await?;
    gone.delete().await?;
    let groups = [
        without_session(&path),
        bad_sessions(&path, gone.session()),
        in_session(&path, open.session()),
        batches(&path, open.session(), batching.session()),
    ];
    Ok(groups.into_iter().flatten().collect())
}

fn message(method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": ID, "method": method, "params": params }).to_string()
}

fn post(path: &str, name: &str, body: &str, want: Want) -> Case {
    Case::post(format!("{path} {name}"), path, body, want)
}

fn without_session(path: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = ["ping", "tools/list", "tools/call", "resources/read", "vendor/unheard-of"]
        .map(|method| {
            post(
                path,
                &format!("{method} without a session"),
                &message(method, json!({})),
                Error(400, -32600),
            )
        })
        .into();
    let name = format!("DELETE {path} without a session");
    cases.push(Case::new(name, Method::DELETE, path, Status(400)).with("mcp-protocol-version", "2025-11-25"));
    let stream = |name: &str, want| {
        let new = Case::new(format!("GET {path} {name}"), Method::GET, path, want);
        new.with("accept", "text/event-stream").with("mcp-protocol-version", "2025-11-25")
    };
    cases.push(stream("without a session", Status(400)));
    cases.push(stream("for HTML", Status(406)).with("accept", "text/html"));
    cases.push(stream("for JSON", Status(406)).with("accept", "application/json"));
    cases
}

/// One answer for every way in which a session id can be bad.
fn bad_sessions(path: &str, gone: &str) -> Vec<Case> {
    let long = "a".repeat(4096);
    let ids = [
        gone,
        "unknown",
        "0",
        "00000000000000000000000000000000",
        "../../etc/passwd",
        "' OR 1=1",
        long.as_str(),
    ];
    let mut cases = Vec::new();
    for id in ids {
        let shown = &id[..id.len().min(40)];
        let name = format!("in session {shown}");
        cases.push(
            post(path, &name, &message("ping", json!({})), Error(404, -32600)).with("mcp-session-id", id),
        );
        let name = format!("DELETE {path} {name}");
        cases.push(Case::new(name, Method::DELETE, path, Status(404)).with("mcp-session-id", id));
        let name = format!("GET {path} in session {shown}");
        cases.push(
            Case::new(name, Method::GET, path, Status(404))
                .with("mcp-session-id", id)
                .with("accept", "text/event-stream"),
        );
    }
    cases
}

fn in_session(path: &str, session: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for version in ["2024-13-01", "banana", "1.0", "2025-11-26", "latest"] {
        let name = format!("with version {version}");
        cases.push(
            post(path, &name, &message("ping", json!({})), Error(400, -32600))
                .with("mcp-session-id", session)
                .with("mcp-protocol-version", version),
        );
    }
    for (method, params, code) in [
        ("vendor/unheard-of", json!({}), -32601),
        ("tools/Call", json!({}), -32601),
        ("server/discover", json!({}), -32601),
        ("tools/call", json!({ "name": "no-such-tool" }), -32602),
        ("tools/call", json!({ "name": "echo", "arguments": { "message": 1 } }), -32602),
        ("tools/call", json!({ "name": 1 }), -32602),
        ("tools/call", json!({}), -32602),
        ("prompts/get", json!({ "name": "no-such-prompt" }), -32602),
        ("resources/read", json!({ "uri": "test://no-such-resource" }), -32002),
        ("logging/setLevel", json!({ "level": "shout" }), -32602),
        ("completion/complete", json!({ "ref": { "type": "ref/nothing" } }), -32602),
    ] {
        let name = format!("{method} {params}");
        cases.push(
            post(path, &name, &message(method, params), Error(200, code)).with("mcp-session-id", session),
        );
    }
    cases
}

/// Batches belong to 2025-03-26 and nowhere else, and a handshake belongs to none.
fn batches(path: &str, open: &str, batching: &str) -> Vec<Case> {
    let ping = message("ping", json!({}));
    let start = message("initialize", json!({ "protocolVersion": "2025-03-26" }));
    let mut cases = Vec::new();
    for (session, body) in [
        (open, format!("[{ping}]")),
        (open, format!("[{ping},{ping}]")),
        (open, "[]".to_owned()),
        (batching, "[]".to_owned()),
        (batching, "[1]".to_owned()),
        (batching, format!("[{ping},[]]")),
        (batching, format!("[{ping},{start}]")),
        (batching, format!("[{ping}")),
    ] {
        let code = if body.ends_with(']') { -32600 } else { -32700 };
        let name = format!("with batch {body}");
        cases.push(post(path, &name, &body, Error(400, code)).with("mcp-session-id", session));
    }
    cases
}
