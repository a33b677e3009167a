//! Rules that hold before a message is looked at, whatever its era.

use http::Method;

use super::case::Want::{Anonymous, Error, Plain, Status};
use super::case::{Case, ID};
use super::texts;

pub fn cases(backend: &str) -> Vec<Case> {
    let path = format!("/mcp/{backend}");
    let ping = format!("{{\"jsonrpc\":\"2.0\",\"id\":{ID},\"method\":\"ping\"}}");
    [hosts_and_origins(&path, &ping), paths(&ping), headers(&path, &ping), bodies(&path), methods(&path)]
        .into_iter()
        .flatten()
        .collect()
}

fn hosts_and_origins(path: &str, ping: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for origin in [
        "http://evil.example",
        "https://evil.example:443",
        "null",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example/http://localhost",
        "http://localhost@evil.example",
        "file://",
        "chrome-extension://abc",
        "localhost",
    ] {
        let name = format!("{path} from origin {origin}");
        cases.push(Case::post(name, path, ping, Anonymous(403, -32600)).with("origin", origin));
    }
    for host in [
        "evil.example",
        "10.0.0.1",
        "localhost.evil.example:4180",
        "127.0.0.1.evil.example",
        "evil@localhost.example",
    ] {
        let name = format!("{path} at host {host}");
        cases.push(Case::post(name, path, ping, Anonymous(403, -32600)).with("host", host));
    }
    for method in [Method::GET, Method::DELETE] {
        let name = format!("{method} {path} from elsewhere");
        cases.push(
            Case::new(name, method, path, Anonymous(403, -32600)).with("origin", "http://evil.example"),
        );
    }
    cases
}

/// Nothing there looks like MCP: a client that probes would draw conclusions.
fn paths(ping: &str) -> Vec<Case> {
    let paths = [
        "/",
        "/mcp//",
        "/mcp//http",
        "/mcp/no-such-backend",
        "/mcp/HTTP",
        "/mcp/http/more",
        "/mcp/../http",
        "/mcp/%68ttp",
        "/sse//",
        "/sse/no-such-backend",
        "/metrics",
        "/.well-known/oauth-protected-resource",
        "/favicon.ico",
    ];
    paths.map(|path| Case::post(format!("POST {path}"), path, ping, Plain(404))).into()
}

fn headers(path: &str, ping: &str) -> Vec<Case> {
    let mut cases = vec![
        Case::post(format!("{path} without a type"), path, ping, Anonymous(415, -32600))
            .without("content-type"),
    ];
    for kind in [
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json-rpc",
        "application/octet-stream",
        "json",
        "application/*",
    ] {
        let name = format!("{path} as {kind}");
        cases.push(Case::post(name, path, ping, Anonymous(415, -32600)).with("content-type", kind));
    }
    for accept in [
        "text/html",
        "image/png",
        "application/xml, text/plain",
        "application/json;q=0, text/event-stream;q=0",
    ] {
        let name = format!("{path} for {accept}");
        cases.push(Case::post(name, path, ping, Anonymous(406, -32600)).with("accept", accept));
    }
    cases
}

fn bodies(path: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, text) in texts::not_json() {
        cases.push(Case::post(format!("{path} with {name}"), path, text, Anonymous(400, -32700)));
    }
    for (name, text) in texts::not_json_rpc().into_iter().chain(texts::ambiguous()) {
        cases.push(Case::post(format!("{path} with {name}"), path, text, Error(400, -32600)));
    }
    for array in ["[]", "[1]", "[[]]", "[{}]", "[{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"ping\"}]"] {
        cases.push(Case::post(format!("{path} with {array}"), path, array, Error(400, -32600)));
    }
    let huge = format!("{{\"jsonrpc\":\"2.0\",\"id\":{ID},\"method\":\"{}\"}}", "x".repeat(5 << 20));
    cases.push(Case::post(format!("{path} with 5 MiB"), path, huge, Anonymous(413, -32600)));
    cases
}

fn methods(path: &str) -> Vec<Case> {
    let methods = [Method::PUT, Method::PATCH, Method::HEAD, Method::TRACE];
    methods.map(|method| Case::new(format!("{method} {path}"), method, path, Status(405))).into()
}
