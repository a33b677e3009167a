//! What a client does directly it also does through a node: every feature, both eras, every runtime type.

mod across_eras;
mod handshake_client;
mod old_clients;
mod posing;
mod sse_client;
mod stateless_client;
mod tasks_across_eras;

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
/// Those, and backends of the other era, which a handshake client is not to notice.
const ANY_FOR_LEGACY: [&str; 5] = ["http", "stdio", "sse", "modern-stdio", "modern-http"];
/// Those, and backends of the other era, which a stateless client is not to notice.
const ANY_FOR_MODERN: [&str; 6] = ["http", "stdio", "modern-stdio", "legacy-stdio", "legacy-http", "sse"];

impl House {
    fn build() -> Self {
        let (http_server, sse_server) = (Server::http(&[]), Server::sse(&["--era", "legacy"]));
        let (legacy, modern) = (Server::http(&["--era", "legacy"]), Server::http(&["--era", "modern"]));
        let cluster = Cluster::start(1);
        cluster.apply(&[
            http("http", &http_server.url),
            stdio("stdio", &[]),
            sse("sse", &sse_server.url),
            stdio("modern-stdio", &["--era", "modern"]),
            stdio("legacy-stdio", &["--era", "legacy"]),
            http("modern-http", &modern.url),
            http("legacy-http", &legacy.url),
        ]);
        Self { cluster, _servers: vec![http_server, sse_server, legacy, modern] }
    }

    fn endpoint(&self, backend: &str) -> String {
        self.cluster.nodes[0].endpoint(backend)
    }

    fn sse_endpoint(&self, backend: &str) -> String {
        self.cluster.nodes[0].sse_endpoint(backend)
    }
}
