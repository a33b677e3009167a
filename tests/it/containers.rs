//! The runtime type `docker` on a real engine, in images that hold one static program and nothing else.

/// What a container is allowed, and what it sees.
mod limits;
/// Containers that nobody holds any more.
mod orphans;
/// How ends and failures are told.
mod outages;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use omcp_core::reference::{Reference, Resolve};
use omcp_core::{
    BackendConnection, GatewayError, McpMessage, NodeIdentity, Runtime, RuntimeConfig, RuntimeContext,
    RuntimeRegistry, StderrSink,
};
use omcp_tests::harness::engine::{Engine, IMAGE};
use serde_json::{Value, json};
use tokio::time::timeout;

/// An engine needs a second for what this machine does in a tenth, when others build on it.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// One life of a node, as far as its runtimes can tell.
struct Life {
    registry: RuntimeRegistry,
    node: NodeIdentity,
    stderr: Arc<Lines>,
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl StderrSink for Lines {
    fn line(&self, line: &[u8]) {
        self.0.lock().expect("nobody panics while logging").push(String::from_utf8_lossy(line).into_owned());
    }
}

struct NoReferences;

impl Resolve for NoReferences {
    fn resolve(&self, reference: &Reference<'_>) -> Result<String, GatewayError> {
        panic!("{reference:?} is not used here")
    }
}

impl Life {
    fn new(id: &str, boot_id: &str) -> Self {
        let node = NodeIdentity { name: "node".into(), id: id.into(), boot_id: boot_id.into() };
        Self { registry: omcp_runtimes::builtin(), node, stderr: Arc::default() }
    }

    /// The runtime of a backend: the fixture's image, unless `settings` say otherwise.
    fn runtime(&self, backend: &str, engine: &Engine, settings: Value) -> Box<dyn Runtime> {
        let mut all = json!({ "image": IMAGE, "engine": engine.address(), "pull_policy": "never" });
        let more = settings.as_object().expect("settings are an object").clone();
        all.as_object_mut().expect("settings are an object").extend(more);
        let config = RuntimeConfig::new("docker", all.to_string());
        let context = RuntimeContext {
            backend: backend.parse().expect("a name of a backend"),
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            stderr: self.stderr.clone(),
            node: self.node.clone(),
        };
        self.registry.create_runtime(&config, &NoReferences, context).expect("settings that can be used")
    }

    async fn connect(&self, backend: &str, engine: &Engine, settings: Value) -> Box<dyn BackendConnection> {
        self.runtime(backend, engine, settings).connect().await.expect("a container")
    }

    async fn refusal(&self, engine: &Engine, settings: Value) -> GatewayError {
        match self.runtime("refused", engine, settings).connect().await {
            Ok(_) => panic!("it connects"),
            Err(error) => error,
        }
    }
}

async fn say(connection: &mut dyn BackendConnection, message: Value) {
    let message = McpMessage::parse(message.to_string().into()).expect("a message");
    connection.send(message).await.expect("room for a message");
}

async fn send(connection: &mut dyn BackendConnection, id: u64, method: &str, params: Value) {
    say(connection, json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
}

async fn received(connection: &mut dyn BackendConnection) -> Result<Option<Value>, GatewayError> {
    let received = timeout(ANSWER_LIMIT, connection.recv()).await.expect("something in time")?;
    Ok(received.map(|message| serde_json::from_slice(message.bytes()).expect("a message is JSON")))
}

async fn answer(connection: &mut dyn BackendConnection) -> Value {
    received(connection).await.expect("an answer").expect("no end")
}

/// The handshake of the older era, which has no more to it than this server needs.
async fn initialize(connection: &mut dyn BackendConnection) {
    let client = json!({ "name": "test", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    send(connection, 1, "initialize", params).await;
    assert_eq!(answer(connection).await["id"], 1);
    say(connection, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
}

async fn ask(connection: &mut dyn BackendConnection, tool: &str, arguments: Value) {
    send(connection, 2, "tools/call", json!({ "name": tool, "arguments": arguments })).await;
}

/// The text that a tool answers with.
async fn call(connection: &mut dyn BackendConnection, tool: &str, arguments: Value) -> String {
    ask(connection, tool, arguments).await;
    let answer = answer(connection).await;
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}
