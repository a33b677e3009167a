//! States of calls that wait for input.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::{http, stdio};
use omcp_tests::harness::server::Server;
use serde_json::{Value, json};

use super::{Person, spoilt};
use crate::envoy::Envoy;

/// A tool that asks in two rounds, and another.
const TOOL: &str = "test_input_required_result_multi_round";
const OTHER: &str = "test_input_required_result_multiple_inputs";

fn again(tool: &str, state: &str) -> Value {
    json!({ "name": tool, "requestState": state })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_for_who_got_it_where_it_was_given() -> Result<()> {
    let cluster = Cluster::start(1);
    let whole = Server::http(&["--era", "modern"]);
    let streams = Server::http(&["--era", "modern", "--always-events"]);
    cluster.apply(&[
        http("whole", &whole.url),
        http("streams", &streams.url),
        stdio("modern", &["--era", "modern"]),
        stdio("other", &["--era", "modern"]),
        stdio("legacy", &["--era", "legacy"]),
    ]);
    let node = &cluster.nodes[0];
    let envoy = Envoy::of(node)?;
    let alice = Person { envoy: &envoy, node, name: "alice" };
    for path in ["/mcp/whole", "/mcp/streams", "/mcp/modern", "/mcp/legacy"] {
        let asked = alice.result(path, "tools/call", json!({ "name": TOOL })).await?;
        let state = asked["requestState"].as_str().with_context(|| asked.to_string())?;
        ensure!(state.starts_with("g1."), "{asked}");
        let unknown = alice.told(path, "tools/call", again(TOOL, "unknown")).await?;
        ensure!(unknown.0 == 200 && unknown.1.contains("invalid_request_state"), "{path}: {unknown:?}");
        for spoilt in spoilt(state) {
            assert_eq!(
                alice.told(path, "tools/call", again(TOOL, &spoilt)).await?,
                unknown,
                "{path} {spoilt}"
            );
        }
        for thief in [alice.called("bob"), alice.called("anon")] {
            assert_eq!(thief.told(path, "tools/call", again(TOOL, state)).await?, unknown, "{}", thief.name);
        }
        assert_eq!(alice.told(path, "tools/call", again(OTHER, state)).await?, unknown, "of another call");
        assert_eq!(alice.told("/mcp/other", "tools/call", again(TOOL, state)).await?, unknown);
        let mut params = again(TOOL, state);
        params["inputResponses"] = json!({ "step1": { "action": "accept", "content": { "name": "Ada" } } });
        let next = alice.result(path, "tools/call", params).await?;
        ensure!(next["inputRequests"]["step2"].is_object(), "{path}: {next}");
    }
    Ok(())
}
