//! What a client does directly it also does through a node: every feature, both eras, every runtime type.

mod handshake_client;
mod no_common_era;
mod sse_client;
mod stateless_client;

use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::{http, sse, stdio};
use omcp_tests::harness::server::Server;

/// One node in front of the fixture server, reached in every way.
struct House {
    cluster: Cluster,
    _servers: Vec<Server>,
}

/// Backends that speak the handshake revisions.
const LEGACY: [&str; 3] = ["http", "stdio", "sse"];
/// Backends that speak 2026-07-28.
const MODERN: [&str; 3] = ["http", "stdio", "modern-stdio"];

impl House {
    fn build() -> Self {
        let (http_server, sse_server) = (Server::http(&[]), Server::sse(&["--era", "legacy"]));
        let cluster = Cluster::start(1);
        cluster.apply(&[
            http("http", &http_server.url),
            stdio("stdio", &[]),
            sse("sse", &sse_server.url),
            stdio("modern-stdio", &["--era", "modern"]),
            stdio("legacy-stdio", &["--era", "legacy"]),
        ]);
        Self { cluster, _servers: vec![http_server, sse_server] }
    }

    fn endpoint(&self, backend: &str) -> String {
        self.cluster.nodes[0].endpoint(backend)
    }

    fn sse_endpoint(&self, backend: &str) -> String {
        self.cluster.nodes[0].sse_endpoint(backend)
    }
}
