//! Names of tasks: at the endpoint of all backends, and at those of single ones.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Legacy;
use omcp_tests::harness::manifest::{http, stdio};
use omcp_tests::harness::server::Server;
use serde_json::{Value, json};

use super::{Person, spoilt};
use crate::envoy::Envoy;

fn able(mut params: Value) -> Value {
    let able = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} }, "elicitation": {} });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": able });
    params
}

/// Makes a task with `tool` at `path`, and looks for anybody else who can do something with it.
async fn is_hers_alone(alice: Person<'_>, path: &str, elsewhere: &str, tool: &str) -> Result<()> {
    let slow = json!({ "name": tool, "arguments": { "seconds": 60 } });
    let made = alice.result(path, "tools/call", able(slow)).await?;
    let task = made["taskId"].as_str().with_context(|| made.to_string())?;
    ensure!(task.starts_with("g1."), "{made}");
    let about = |task: &str| able(json!({ "taskId": task, "inputResponses": {} }));
    let told = alice.result(path, "tasks/get", about(task)).await?;
    assert_eq!((&told["taskId"], &told["status"]), (&json!(task), &json!("working")), "{path} {tool}");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let unknown = alice.told(path, method, about("unknown")).await?;
        ensure!(unknown.0 == 200 && unknown.1.contains("-32602"), "{path} {tool}: {unknown:?}");
        for spoilt in spoilt(task) {
            assert_eq!(alice.told(path, method, about(&spoilt)).await?, unknown, "{method} {spoilt}");
        }
        for thief in [alice.called("bob"), alice.called("anon")] {
            assert_eq!(thief.told(path, method, about(task)).await?, unknown, "{method} {}", thief.name);
        }
        let unknown = alice.told(elsewhere, method, about("unknown")).await?;
        assert_eq!(alice.told(elsewhere, method, about(task)).await?, unknown, "{method} {elsewhere}");
    }
    let told = alice.result(path, "tasks/get", about(task)).await?;
    assert_eq!(told["status"], "working", "{path} {tool}: no stranger has cancelled it");
    alice.result(path, "tasks/cancel", about(task)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_for_who_made_it_where_it_was_made() -> Result<()> {
    let (cluster, server) = (Cluster::start(1), Server::http(&[]));
    let streams = Server::http(&["--era", "modern", "--always-events"]);
    let tagged = |mut backend: Value| {
        backend["tags"] = json!(["all"]);
        backend
    };
    cluster.apply(&[
        tagged(http("remote", &server.url)),
        http("streams", &streams.url),
        tagged(stdio("modern", &["--era", "modern"])),
        tagged(stdio("legacy", &["--era", "legacy"])),
    ]);
    let node = &cluster.nodes[0];
    crate::aggregate::listed(&format!("{}/mcp", node.mcp), &["legacy", "modern", "remote", "streams"]).await;
    let envoy = Envoy::of(node)?;
    let alice = Person { envoy: &envoy, node, name: "alice" };
    for backend in ["remote", "modern", "legacy"] {
        is_hers_alone(alice, "/mcp", "/mcp?tags=all", &format!("{backend}__slow_compute")).await?;
    }
    for (path, elsewhere) in [
        ("/mcp/remote", "/mcp/streams"),
        ("/mcp/streams", "/mcp/remote"),
        ("/mcp/modern", "/mcp/legacy"),
        ("/mcp/legacy", "/mcp/modern"),
    ] {
        is_hers_alone(alice, path, elsewhere, "slow_compute").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_calls_a_task_by_one_name() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("legacy", &["--era", "legacy"])]);
    let url = format!("{}/mcp", cluster.nodes[0].mcp);
    crate::aggregate::listed(&url, &["legacy"]).await;
    let (client, other) = (Legacy::connect(&url).await?, Legacy::connect(&url).await?);
    let call = json!({ "name": "legacy__slow_compute", "arguments": { "seconds": 1 }, "task": {} });
    let made = client.request("tools/call", call).await?;
    let task = made["task"]["taskId"].as_str().with_context(|| made.to_string())?;
    let about = |task: &str| json!({ "taskId": task });
    assert_eq!(client.request("tasks/get", about(task)).await?["taskId"], task);
    let result = client.request("tasks/result", about(task)).await?;
    assert_eq!(result["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], task, "{result}");
    let unknown = client.open("tasks/get", about("unknown")).await?.error().await?;
    assert_eq!(unknown["code"], -32602);
    for spoilt in spoilt(task) {
        assert_eq!(client.open("tasks/get", about(&spoilt)).await?.error().await?, unknown);
    }
    // The same client, and another process behind it.
    assert_eq!(other.open("tasks/get", about(task)).await?.error().await?["code"], -32602);
    Ok(())
}
