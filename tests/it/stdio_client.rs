//! A client that starts its servers as programs reaches every backend by `omcp stdio`.

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::{http, stdio};
use omcp_tests::harness::omcp::{self, Lines};
use omcp_tests::harness::server::Server;
use serde_json::{Value, json};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

async fn handshake(lines: &mut Lines) -> Result<Value> {
    let params = json!({ "protocolVersion": "2025-11-25",
        "capabilities": { "sampling": {}, "elicitation": {} }, "clientInfo": { "name": "lines", "version": "1" } });
    let (answer, _) = lines.ask(&request(0, "initialize", params)).await?;
    lines.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
    Ok(answer["result"].clone())
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn tool(id: u64, name: &str, arguments: Value) -> Value {
    request(id, "tools/call", json!({ "name": name, "arguments": arguments }))
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_client_has_everything() -> Result<()> {
    let (any, modern) = (Server::http(&[]), Server::http(&["--era", "modern"]));
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("process", &[]), http("http", &any.url), http("modern-http", &modern.url)]);
    for backend in ["process", "http", "modern-http"] {
        let mut lines = Lines::start(&cluster.control_plane.admin, &[backend]);
        let server = handshake(&mut lines).await?;
        assert_eq!(server["protocolVersion"], "2025-11-25", "{backend}");

        let (answer, _) = lines.ask(&tool(1, "echo", json!({ "message": "a line" }))).await?;
        ensure!(text(&answer).contains("a line"), "{backend}: {answer}");

        let mut call = tool(2, "test_tool_with_progress", json!({}));
        call["params"]["_meta"] = json!({ "progressToken": "mine" });
        let (_, before) = lines.ask(&call).await?;
        let progress: Vec<_> = before.iter().map(|said| &said["params"]["progressToken"]).collect();
        assert_eq!(progress, ["mine", "mine", "mine"], "{backend}");

        lines.send(&tool(3, "test_elicitation", json!({ "message": "who?" }))).await?;
        let asked = lines.next().await?;
        assert_eq!(asked["method"], "elicitation/create", "{backend}: {asked}");
        let said =
            json!({ "action": "accept", "content": { "username": "ada", "email": "a@b.c", "name": "ada" } });
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": said });
        lines.send(&answer).await?;
        let answer = lines.next().await?;
        assert_eq!(answer["id"], 3, "{backend}: {answer}");
        ensure!(text(&answer).contains("accept"), "{backend}: {answer}");

        assert_eq!(lines.close().await?, (Vec::new(), 0), "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_client_needs_no_headers() -> Result<()> {
    let server = Server::http(&["--era", "modern"]);
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("legacy", &["--era", "legacy"]), http("modern", &server.url)]);
    for backend in ["legacy", "modern"] {
        let mut lines = Lines::start(&cluster.control_plane.admin, &[backend]);
        let mut call = tool(7, "echo", json!({ "message": "no header" }));
        call["params"]["_meta"] = json!({ VERSION: "2026-07-28", CAPABILITIES: {} });
        let (answer, _) = lines.ask(&call).await?;
        ensure!(text(&answer).contains("no header"), "{backend}: {answer}");
        assert_eq!(answer["result"]["resultType"], "complete", "{backend}: {answer}");
        assert_eq!(lines.close().await?, (Vec::new(), 0), "{backend}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_backends_are_one_server() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("first", &[]), stdio("second", &["--era", "modern"])]);
    let mut lines = Lines::start(&cluster.control_plane.admin, &[]);
    handshake(&mut lines).await?;
    for (id, backend) in [(1, "first"), (2, "second")] {
        let call = tool(id, &format!("{backend}__echo"), json!({ "message": backend }));
        let (answer, _) = lines.ask(&call).await?;
        ensure!(text(&answer).contains(backend), "{answer}");
    }
    assert_eq!(lines.close().await?, (Vec::new(), 0));
    Ok(())
}

/// A shell closes the pipe before anything is answered.
#[test]
fn a_closed_pipe_still_gets_its_answers() {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("one", &[])]);
    let mut call = tool(7, "echo", json!({ "message": "late" }));
    call["params"]["_meta"] = json!({ VERSION: "2026-07-28", CAPABILITIES: {} });
    let input = format!("no message\n{call}\n");
    let ended = omcp::run(&cluster.control_plane.admin, &["stdio", "one"], &input).expect(0);
    assert!(text(&answer_in(&ended.stdout)).contains("late"), "{}", ended.stdout);

    let unknown = omcp::run(&cluster.control_plane.admin, &["stdio", "nobody"], &input).expect(3);
    assert!(unknown.stdout.is_empty() && unknown.stderr.contains("nobody"), "{}", unknown.text());
    let elsewhere = cluster.nodes[0].mcp.as_str();
    let unknown =
        omcp::run("http://127.0.0.1:9", &["stdio", "nobody", "--node-url", elsewhere], &input).expect(0);
    let answer = answer_in(&unknown.stdout);
    assert_eq!((&answer["id"], &answer["error"]["data"]["status"]), (&json!(7), &json!(404)), "{answer}");
}

fn answer_in(output: &str) -> Value {
    serde_json::from_str(output).expect("one line")
}

/// Each node dies in turn, so one of them is the one that the client is served by.
#[tokio::test(flavor = "multi_thread")]
async fn another_node_goes_on_when_one_dies() -> Result<()> {
    let mut cluster = Cluster::start(2);
    cluster.apply(&[stdio("one", &[])]);
    let mut lines = Lines::start(&cluster.control_plane.admin, &["one"]);
    handshake(&mut lines).await?;
    for victim in [0, 1] {
        cluster.nodes[victim].kill();
        for id in 1..=2 {
            let (answer, _) = lines.ask(&tool(id, "echo", json!({ "message": "still here" }))).await?;
            ensure!(text(&answer).contains("still here"), "node-{victim} is dead: {answer}");
        }
        cluster.nodes[victim].restart();
        cluster.until_status("one", |status| status["state"] == "ready").await;
    }
    Ok(())
}
