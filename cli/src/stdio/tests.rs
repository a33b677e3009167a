use std::collections::VecDeque;

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

/// A node that answers every request at once, with `echo` of what it was sent.
struct Node {
    alive: bool,
    answers: VecDeque<McpMessage>,
}

#[async_trait]
impl BackendConnection for Node {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        let Some(id) = message.id() else { return Ok(()) };
        let id: Value = serde_json::from_slice(id).expect("an id");
        let answer = match self.alive {
            true => json!({ "jsonrpc": "2.0", "id": id, "result": { "echo": message.method() } }),
            false => json!({ "jsonrpc": "2.0", "id": id,
                "error": { "code": -32603, "message": "gone", "data": { "reason": "upstream_unavailable" } } }),
        };
        self.answers.push_back(McpMessage::trusted(answer.to_string().into()));
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        match self.answers.pop_front() {
            Some(answer) => Ok(Some(answer)),
            None => pending().await,
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        Ok(())
    }
}

/// What a client gets that says `lines` to nodes of which the first are dead.
async fn answers(lines: &[Value], dead: u32) -> Vec<Value> {
    let (mut client, gateway) = duplex(64 * 1024);
    let (input, output) = tokio::io::split(gateway);
    let mut dials = 0;
    let dial = async || {
        dials += 1;
        let node = Node { alive: dials > dead, answers: VecDeque::new() };
        Ok(Box::new(node) as Box<dyn BackendConnection>)
    };
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    client.write_all(text.as_bytes()).await.expect("room");
    client.shutdown().await.expect("an end");
    Relay::new(input, output, dial).await.expect("a node").run().await.expect("an end");
    let mut said = String::new();
    client.read_to_string(&mut said).await.expect("text");
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn request(id: u32, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method })
}

#[tokio::test(start_paused = true)]
async fn every_request_is_answered_before_the_end() {
    let said = answers(&[request(1, "a"), request(2, "b")], 0).await;
    let echoes: Vec<_> = said.iter().map(|answer| &answer["result"]["echo"]).collect();
    assert_eq!(echoes, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_left_for_another_and_the_handshake_is_repeated() {
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let lines = [request(0, "initialize"), initialized, request(1, "tools/list")];
    for dead in 1..=DIALS_MAX {
        let said = answers(&lines, dead).await;
        let echoes: Vec<_> = said.iter().map(|answer| &answer["result"]["echo"]).collect();
        assert_eq!(echoes, ["initialize", "tools/list"], "{dead} dead nodes: {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_refusal_is_the_answer_where_nobody_is_left() {
    let said = answers(&[request(1, "a")], u32::MAX).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["error"]["data"]["reason"], "upstream_unavailable");
}

#[test]
fn what_a_node_says_of_a_backend_is_its_answer() {
    let said = |data: Value| {
        let answer =
            json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32603, "message": "", "data": data } });
        is_unreachable(&McpMessage::trusted(answer.to_string().into()))
    };
    assert!(said(json!({ "reason": "upstream_unavailable" })));
    assert!(!said(json!({ "reason": "upstream_unavailable", "backend": "one" })));
    assert!(!said(json!({ "reason": "upstream_unavailable", "status": 502 })));
    assert!(!said(json!({ "reason": "stream_lost" })));
}
