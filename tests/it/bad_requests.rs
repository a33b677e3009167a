//! Hundreds of malformed requests: the documented answer each time, and nobody else notices.
//!
//! - [`case`]: a request and the answer that is documented for it
//! - [`texts`]: bodies that are no message
//! - [`ladder`], [`stateless`], [`handshake`], [`stream`]: the cases, by the rules they break
//! - [`wire`]: bytes that are no HTTP

mod case;
mod handshake;
mod ladder;
mod stateless;
mod stream;
mod texts;
mod wire;

use anyhow::Result;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Http;
use omcp_tests::harness::load::Load;
use omcp_tests::harness::manifest::{http, stdio};
use omcp_tests::harness::server::Server;

use case::Case;

/// One backend of each kind: bytes pass through to the first, messages are relayed to the second. And the
/// aggregate of one, where clients may say the same.
const BACKENDS: [&str; 3] = ["http", "stdio", "?tags=alone"];
/// Those with an event stream of their own.
const BY_NAME: [&str; 2] = ["http", "stdio"];
/// What the suite promises to try at least.
const CASES_MIN: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn get_the_documented_answer_and_harm_nobody() -> Result<()> {
    let server = Server::http(&[]);
    let cluster = Cluster::start(1);
    let mut alone = http("http", &server.url);
    alone["tags"] = serde_json::json!(["alone"]);
    cluster.apply(&[alone, stdio("stdio", &[])]);
    let node = &cluster.nodes[0];
    let mut load = Load::default();
    for backend in BACKENDS {
        load.add(&node.endpoint(backend)).await;
    }
    let mut cases = Vec::new();
    for backend in BACKENDS {
        cases.extend(ladder::cases(backend));
        cases.extend(stateless::cases(backend));
        cases.extend(handshake::cases(&node.mcp, backend).await?);
    }
    let client = Http::default();
    let mut wrong = judge(&client, &node.mcp, &cases).await;
    let (tried, found) = stream::try_all(&client, node).await?;
    wrong.extend(found);
    wrong.extend(wire::try_all(&node.mcp).await?);
    let (calls, failures) = load.stop().await;
    let tried = tried + cases.len() + wire::COUNT;
    assert!(
        wrong.is_empty(),
        "{} of {tried} answers are not as documented:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried >= CASES_MIN, "only {tried} requests");
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls of healthy clients");
    assert!(!node.output().contains("panicked"), "{}", node.output());
    Ok(())
}

/// Tries the cases one after the other; a line for each answer that is not the documented one.
async fn judge(client: &Http, node: &str, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        if let Err(error) = case.attempt(client, node).await {
            wrong.push(format!("{}: {error:#}", case.name));
        }
    }
    wrong
}
