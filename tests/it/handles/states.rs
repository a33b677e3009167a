//! States of calls that wait for input.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::stdio;
use serde_json::{Value, json};

use super::{Person, spoilt};
use crate::envoy::Envoy;

fn call(message: &str) -> Value {
    json!({ "name": "test_elicitation", "arguments": { "message": message } })
}

fn again(message: &str, state: &str) -> Value {
    let mut params = call(message);
    params["requestState"] = json!(state);
    params
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_for_who_got_it_where_it_was_given() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[
        stdio("modern", &["--era", "modern"]),
        stdio("other", &["--era", "modern"]),
        stdio("legacy", &["--era", "legacy"]),
    ]);
    let node = &cluster.nodes[0];
    let envoy = Envoy::of(node)?;
    let alice = Person { envoy: &envoy, node, name: "alice" };
    for path in ["/mcp/modern", "/mcp/legacy"] {
        let asked = alice.result(path, "tools/call", call("who?")).await?;
        let state = asked["requestState"].as_str().with_context(|| asked.to_string())?;
        ensure!(state.starts_with("g1."), "{asked}");
        let unknown = alice.told(path, "tools/call", again("who?", "unknown")).await?;
        ensure!(unknown.0 == 200 && unknown.1.contains("invalid_request_state"), "{path}: {unknown:?}");
        for spoilt in spoilt(state) {
            assert_eq!(alice.told(path, "tools/call", again("who?", &spoilt)).await?, unknown, "{path} {spoilt}");
        }
        for thief in [alice.called("bob"), alice.called("anon")] {
            assert_eq!(thief.told(path, "tools/call", again("who?", state)).await?, unknown, "{}", thief.name);
        }
        assert_eq!(alice.told(path, "tools/call", again("what?", state)).await?, unknown, "of another call");
        assert_eq!(alice.told("/mcp/other", "tools/call", again("who?", state)).await?, unknown);
        let mut params = again("who?", state);
        let keys = asked["inputRequests"].as_object().context("questions")?.keys();
        let answer = json!({ "action": "accept", "content": { "name": "Ada", "username": "ada", "email": "a@b" } });
        params["inputResponses"] = keys.map(|key| (key.clone(), answer.clone())).collect();
        let done = alice.result(path, "tools/call", params).await?;
        assert_eq!(done["resultType"], "complete", "{path}: {done}");
    }
    Ok(())
}
