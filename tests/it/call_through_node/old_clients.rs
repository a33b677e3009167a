//! Clients of older handshake revisions at servers that speak like the newest, each with a process of its own and
//! on one that all share.

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Exchange, Http, Legacy, Sse};
use omcp_tests::harness::manifest::stdio;
use serde_json::{Value, json};

const NEWEST_WORDS: &[&str] = &["--era", "legacy", "--behave", "newest-words"];
const BACKENDS: [&str; 2] = ["own", "shared"];
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

fn cluster() -> Cluster {
    let cluster = Cluster::start(1);
    let mut shared = stdio("shared", NEWEST_WORDS);
    shared["lifecycle"] = json!({ "isolation": "shared" });
    cluster.apply(&[stdio("own", NEWEST_WORDS), shared]);
    cluster
}

/// The endpoint of each backend, and how tools are called there; then all of them at the aggregate.
fn ways(cluster: &Cluster) -> Vec<(String, String)> {
    let node = &cluster.nodes[0];
    let own = BACKENDS.map(|backend| (node.endpoint(backend), String::new()));
    let all = BACKENDS.map(|backend| (format!("{}/mcp", node.mcp), format!("{backend}__")));
    own.into_iter().chain(all).collect()
}

fn is_readable(result: &Value, version: &str) {
    let blocks = result["content"].as_array().into_iter().flatten();
    let types: Vec<&str> = blocks.filter_map(|block| block["type"].as_str()).collect();
    let wanted = match version {
        "2024-11-05" => ["resource", "text", "text"],
        "2025-03-26" => ["audio", "text", "text"],
        _ => ["audio", "resource_link", "text"],
    };
    assert_eq!(types, wanted, "{version}: {result}");
    let knows_structure = version >= "2025-06-18";
    assert_eq!(result.get("structuredContent").is_some(), knows_structure, "{version}: {result}");
}

/// Whether the tool says what it returns.
fn has_schema(list: &Value, tool: &str) -> Result<bool> {
    let mut tools = list["tools"].as_array().into_iter().flatten();
    let tool = tools.find(|listed| listed["name"] == tool).with_context(|| format!("no {tool} in {list}"))?;
    Ok(tool.get("outputSchema").is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn get_results_that_they_can_read() -> Result<()> {
    let cluster = cluster();
    for (endpoint, prefix) in ways(&cluster) {
        let tool = format!("{prefix}newest_content");
        for version in REVISIONS {
            let client = Legacy::connect_with(Http::default(), &endpoint, version).await?;
            assert_eq!(client.version(), version, "{endpoint}");
            is_readable(&client.request("tools/call", json!({ "name": tool })).await?, version);
            let listed = has_schema(&client.request("tools/list", json!({})).await?, &tool)?;
            assert_eq!(listed, version >= "2025-06-18", "{endpoint} {version}");
        }
    }
    for backend in BACKENDS {
        let mut client = Sse::connect(&cluster.nodes[0].sse_endpoint(backend)).await?;
        let result = client.request("tools/call", json!({ "name": "newest_content" })).await?;
        is_readable(&result, "2024-11-05");
        let list = client.request("tools/list", json!({})).await?;
        ensure!(!has_schema(&list, "newest_content")?, "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_in_words_where_the_user_has_to_go() -> Result<()> {
    let cluster = cluster();
    for (endpoint, prefix) in ways(&cluster) {
        let call = json!({ "name": format!("{prefix}newest_error") });
        let old = Legacy::connect_with(Http::default(), &endpoint, "2025-06-18").await?;
        let result = old.request("tools/call", call.clone()).await?;
        assert_eq!(result["isError"], true, "{endpoint}: {result}");
        ensure!(result.to_string().contains("Log in: https://example.com/login"), "{endpoint}: {result}");
        let error = Legacy::connect(&endpoint).await?.open("tools/call", call).await?.error().await?;
        assert_eq!(error["code"], -32042, "{endpoint}");
    }
    Ok(())
}

async fn question(exchange: &mut Exchange) -> Result<Value> {
    loop {
        let message = exchange.next().await?.context("a question before the end")?;
        if message.get("method").is_some() && message.get("id").is_some() {
            return Ok(message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn are_asked_what_they_can_show() -> Result<()> {
    let cluster = cluster();
    for (endpoint, prefix) in ways(&cluster).into_iter().step_by(2) {
        for version in ["2025-06-18", "2025-11-25"] {
            let is_old = version == "2025-06-18";
            let client = Legacy::connect_with(Http::default(), &endpoint, version).await?;
            let call = json!({ "name": format!("{prefix}newest_choice") });
            let mut exchange = client.open("tools/call", call).await?;
            let question = question(&mut exchange).await?;
            let color = &question["params"]["requestedSchema"]["properties"]["color"];
            assert_eq!(color.get("oneOf").is_none(), is_old, "{endpoint} {version}: {question}");
            assert_eq!(
                color["enumNames"] == json!(["Red", "Green"]),
                is_old,
                "{endpoint} {version}: {question}"
            );
            client.respond(&question, json!({ "action": "accept", "content": { "color": "g" } })).await?;
            assert_eq!(exchange.result().await?["content"][0]["text"], "g", "{endpoint} {version}");
        }
        // Several choices at once cannot be shown, so the form counts as closed.
        let client = Legacy::connect_with(Http::default(), &endpoint, "2025-06-18").await?;
        let call = json!({ "name": format!("{prefix}test_elicitation_sep1330_enums") });
        let mut exchange = client.open("tools/call", call).await?;
        let result = exchange.result().await?;
        ensure!(result.to_string().contains("cancel"), "{endpoint}: {result}");
        ensure!(exchange.before.iter().all(|message| message.get("id").is_none()), "{endpoint}");
    }
    Ok(())
}
