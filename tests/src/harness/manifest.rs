//! Manifests as JSON, which is YAML.

use serde_json::{Value, json};

use super::process;

/// The manifest of some backends.
pub fn manifest(backends: &[Value]) -> String {
    json!({ "servers": backends }).to_string()
}

/// The fixture server as a child of the node.
pub fn stdio(id: &str, options: &[&str]) -> Value {
    let arguments: Vec<_> = options.iter().copied().chain(["stdio"]).collect();
    json!({ "id": id, "runtime": {
        "type": "local-process", "command": process::program("omcp-fixture"), "args": arguments,
    }})
}

/// A Streamable HTTP server.
pub fn http(id: &str, url: &str) -> Value {
    json!({ "id": id, "runtime": { "type": "remote-http", "url": url } })
}

/// An HTTP+SSE server of 2024-11-05.
pub fn sse(id: &str, url: &str) -> Value {
    json!({ "id": id, "runtime": { "type": "remote-sse", "url": url } })
}
