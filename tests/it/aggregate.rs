//! Many backends behind one endpoint: clients of both eras, backends of both eras, over every transport.

mod handshake_client;
mod lists;
mod sse_client;
mod stateless_client;
mod troubles;

use anyhow::Result;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::manifest::{http, sse, stdio};
use omcp_tests::harness::server::Server;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

/// `_meta` key of what a list lacks.
pub const PARTIAL: &str = "open-mcp-gateway/partial";

/// One node in front of the fixture server, reached in every way.
struct House {
    cluster: Cluster,
    _servers: Vec<Server>,
}

/// All backends, in the order of their names.
const ALL: [&str; 7] = ["http", "legacy-http", "legacy-stdio", "modern-http", "modern-stdio", "sse", "stdio"];
/// Those that speak the handshake revisions.
const LEGACY: [&str; 5] = ["http", "legacy-http", "legacy-stdio", "sse", "stdio"];

impl House {
    /// Returns when all backends have been listed.
    async fn build() -> Self {
        let (both, sse_server) = (Server::http(&[]), Server::sse(&["--era", "legacy"]));
        let (legacy, modern) = (Server::http(&["--era", "legacy"]), Server::http(&["--era", "modern"]));
        let cluster = Cluster::start(1);
        cluster.apply(&[
            tagged(http("http", &both.url), &["both", "remote"]),
            tagged(stdio("stdio", &[]), &["both"]),
            sse("sse", &sse_server.url),
            stdio("modern-stdio", &["--era", "modern"]),
            stdio("legacy-stdio", &["--era", "legacy"]),
            http("modern-http", &modern.url),
            http("legacy-http", &legacy.url),
        ]);
        let house = Self { cluster, _servers: vec![both, sse_server, legacy, modern] };
        listed(&house.endpoint(), &ALL).await;
        house
    }

    fn endpoint(&self) -> String {
        endpoint(&self.cluster)
    }
}

fn endpoint(cluster: &Cluster) -> String {
    format!("{}/mcp", cluster.nodes[0].mcp)
}

fn tagged(mut backend: Value, tags: &[&str]) -> Value {
    backend["tags"] = json!(tags);
    backend
}

/// Waits until the tools of exactly these backends are listed, and as they are now.
pub async fn listed(url: &str, backends: &[&str]) -> Vec<String> {
    let client = Modern::new(url);
    wait::until("all backends to be listed", async || {
        let list = client.request("tools/list", json!({})).await.map_err(|error| format!("{error:#}"))?;
        let names = names(&list["tools"], "name");
        let whole = list["_meta"].get(PARTIAL).is_none() && owners(&names) == backends;
        holds(whole, format!("{} of {:?}", list["_meta"], owners(&names))).map(|_| names)
    })
    .await
}

/// One member of every entry.
fn names(list: &Value, member: &str) -> Vec<String> {
    let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| entry[member].as_str().unwrap_or_default().to_owned()).collect()
}

/// The backends that the names begin with, in the order in which they come.
fn owners(names: &[String]) -> Vec<&str> {
    let mut owners: Vec<&str> = names.iter().filter_map(|name| Some(name.split_once("__")?.0)).collect();
    owners.dedup();
    owners
}

/// The tool of a backend as clients call it.
fn tool(backend: &str, name: &str) -> String {
    format!("{backend}__{name}")
}

/// What a client says to a question, by its method.
fn answer_to(question: &Value) -> Value {
    match question["method"].as_str() {
        Some("elicitation/create") => {
            json!({ "action": "accept", "content": { "name": "Ada", "username": "ada", "email": "a@b" } })
        }
        Some("sampling/createMessage") => {
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "Paris" } })
        }
        _ => json!({ "roots": [{ "uri": "file:///a" }, { "uri": "file:///b" }] }),
    }
}

/// The error of a request that has to fail.
async fn refused(client: &Modern, method: &str, params: Value) -> Result<Value> {
    client.open(method, params).await?.error().await
}
