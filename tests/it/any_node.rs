//! Three nodes behind a balancer that picks one at random for each request: whatever a client carries is good
//! on all of them.

mod counting;
mod handles;
mod input;
mod keys;
mod loss;
mod recovery;
mod streams;
mod tasks;

use omcp_tests::harness::manifest::{http, sse, stdio};
use omcp_tests::harness::server::Server;
use omcp_tests::harness::{Balancer, Cluster};
use serde_json::{Value, json};

const NODES: usize = 3;

/// A backend whose sessions may be opened anew.
fn lasting(mut backend: Value) -> Value {
    backend["lifecycle"] = json!({ "recovery": "recreate" });
    backend
}

/// Three nodes in front of the fixture server, reached in several ways.
struct House {
    cluster: Cluster,
    _servers: Vec<Server>,
}

impl House {
    async fn build() -> Self {
        let (legacy, sse_server) = (Server::http(&["--era", "legacy"]), Server::sse(&["--era", "legacy"]));
        let modern = Server::http(&["--era", "modern"]);
        let cluster = Cluster::start(NODES);
        cluster.apply(&[
            stdio("stdio", &[]),
            http("http", &legacy.url),
            sse("sse", &sse_server.url),
            stdio("legacy-stdio", &["--era", "legacy"]),
            stdio("modern-stdio", &["--era", "modern"]),
            http("modern-http", &modern.url),
            lasting(stdio("lasting", &[])),
            lasting(stdio("lasting-modern", &["--era", "modern"])),
        ]);
        cluster.until_acquainted().await;
        Self { cluster, _servers: vec![legacy, sse_server, modern] }
    }

    fn endpoint(&self, node: usize, backend: &str) -> String {
        self.cluster.nodes[node].endpoint(backend)
    }

    fn balancer(&self, backend: &str, seed: u64) -> Balancer {
        Balancer::new(&self.cluster, backend, seed)
    }

    /// A counter of all nodes together.
    async fn sum(&self, metric: &str) -> u64 {
        let mut sum = 0;
        for node in &self.cluster.nodes {
            sum += node.metric(metric).await;
        }
        sum
    }
}
