//! Functions on a real Lambda Runtime API, invoked through a node.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern};
use omcp_tests::harness::lambda::{Lambda, SECRET};
use serde_json::{Value, json};

/// One node, and every function as a backend of the same name.
fn serve(lambda: &Lambda, functions: &[&str]) -> Cluster {
    let cluster = Cluster::start_with(1, &[SECRET]);
    let backends: Vec<Value> = functions.iter().map(|function| lambda.backend(function)).collect();
    cluster.apply(&backends);
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_function_serves_clients_of_both_eras() -> Result<()> {
    let lambda = Lambda::start(&[("stateless", &["lambda", "--handshake", "optional"])]);
    let cluster = serve(&lambda, &["stateless"]);
    let endpoint = cluster.nodes[0].endpoint("stateless");

    let modern = Modern::new(&endpoint);
    let discovered = modern.request("server/discover", json!({})).await?;
    ensure!(discovered["capabilities"]["tools"].is_object(), "{discovered}");
    ensure!(!discovered.to_string().contains("listChanged"), "nothing is promised that cannot be kept");
    assert_eq!(modern.tool("add", json!({ "a": 2, "b": 40 })).await?, "42");
    // Every round of a question is an invocation of its own.
    let asked =
        modern.request("tools/call", json!({ "name": "test_input_required_result_elicitation" })).await?;
    assert_eq!(asked["resultType"], "input_required", "{asked}");

    let legacy = Legacy::connect(&endpoint).await?;
    ensure!(!legacy.server.to_string().contains("listChanged"), "{}", legacy.server);
    let tools = legacy.request("tools/list", json!({})).await?;
    ensure!(tools["tools"].as_array().is_some_and(|tools| tools.len() > 20), "{tools}");
    assert_eq!(legacy.tool("add", json!({ "a": 1, "b": 1 })).await?, "2");

    let status = cluster.status("stateless", "node-0");
    assert_eq!(status["state"], "ready", "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_a_function_is_acknowledged_and_empty() -> Result<()> {
    let lambda = Lambda::start(&[("stateless", &["lambda", "--handshake", "optional"])]);
    let cluster = serve(&lambda, &["stateless"]);
    let modern = Modern::new(&cluster.nodes[0].endpoint("stateless"));
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut listening = modern.open("subscriptions/listen", wanted).await?;
    let first = listening.next().await?.context("an acknowledgement")?;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    assert_eq!(first["params"]["notifications"], json!({}), "{first}");
    // It costs no invocation: the one execution environment is free for this call.
    assert_eq!(modern.tool("add", json!({ "a": 2, "b": 2 })).await?, "4");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_insists_on_a_handshake_gets_one_whenever_it_is_fresh() -> Result<()> {
    let mut lambda = Lambda::start(&[("insisting", &["--era", "legacy", "lambda", "--handshake", "insist"])]);
    let cluster = serve(&lambda, &["insisting"]);
    let endpoint = cluster.nodes[0].endpoint("insisting");
    // The probe had the one handshake that this server takes; clients get by all the same.
    let (first, second) = (Legacy::connect(&endpoint).await?, Legacy::connect(&endpoint).await?);
    assert_eq!(first.server["serverInfo"], second.server["serverInfo"]);
    assert_eq!(first.tool("add", json!({ "a": 2, "b": 40 })).await?, "42");
    // Its answer comes after the notification that ends the handshake: nothing is under way any more.
    assert_eq!(second.tool("add", json!({ "a": 1, "b": 40 })).await?, "41");
    lambda.freshen("insisting");
    assert_eq!(first.tool("add", json!({ "a": 3, "b": 40 })).await?, "43");
    assert_eq!(second.tool("add", json!({ "a": 4, "b": 40 })).await?, "44");
    lambda.freshen("insisting");
    assert_eq!(second.tool("add", json!({ "a": 5, "b": 40 })).await?, "45");
    assert_eq!(Legacy::connect(&endpoint).await?.tool("add", json!({ "a": 6, "b": 40 })).await?, "46");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_knows_no_handshake_needs_none() -> Result<()> {
    let lambda = Lambda::start(&[("plain", &["--era", "legacy", "lambda", "--handshake", "unknown"])]);
    let cluster = serve(&lambda, &["plain"]);
    let client = Legacy::connect(&cluster.nodes[0].endpoint("plain")).await?;
    assert_eq!(client.server["capabilities"], json!({ "tools": {} }), "{}", client.server);
    assert_eq!(client.server["serverInfo"]["name"], "plain", "{}", client.server);
    assert_eq!(client.tool("add", json!({ "a": 2, "b": 40 })).await?, "42");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_says_so_for_its_own_call_only() -> Result<()> {
    let lambda = Lambda::start(&[("failing", &["lambda", "--handshake", "optional", "--fail-on", "echo"])]);
    let cluster = serve(&lambda, &["failing"]);
    let client = Modern::new(&cluster.nodes[0].endpoint("failing"));
    let call = json!({ "name": "echo", "arguments": { "message": "x" } });
    let failed = client.open("tools/call", call).await?.answer().await?;
    assert_eq!(failed["error"]["code"], -32603, "{failed}");
    assert_eq!(failed["error"]["data"]["reason"], "protocol_violation", "{failed}");
    assert_eq!(failed["error"]["data"]["errorMessage"], "told to fail on \"echo\"", "{failed}");
    assert_eq!(client.tool("add", json!({ "a": 2, "b": 40 })).await?, "42");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_of_the_backend_is_refused_with_the_reason() {
    let lambda = Lambda::start(&[("stateless", &["lambda"])]);
    let cluster = Cluster::start_with(1, &[SECRET]);
    let mut backend = lambda.backend("stateless");
    backend["env"] = json!({ "PORT": "1" });
    let refused = cluster.try_apply(&[backend]);
    let said = refused.expect(8).text();
    assert!(said.contains("env has no meaning for a lambda backend"), "{said}");
}
