//! The demo backend of `omcp up --demo`: an MCP server over standard input and output.
//!
//! - [`tool`]: its tools
//! - [`reply`]: its answers, in both eras

pub mod reply;
pub mod tool;

use std::collections::HashMap;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// Answers that wait for the peer to read. A slow reader slows the tools down.
const OUTBOX_LEN: usize = 64;
/// Calls that run at once; a peer that sends more waits.
const CALLS_MAX: usize = 256;

/// Where messages to the peer go.
pub type Outbox = mpsc::Sender<Json>;

/// Serves until the peer closes its end.
///
/// # Errors
/// The pipe broke.
pub async fn serve(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> std::io::Result<()> {
    let (outbox, inbox) = mpsc::channel(OUTBOX_LEN);
    let writer = tokio::spawn(write(output, inbox));
    let mut lines = BufReader::new(input).lines();
    let mut calls = Calls::default();
    while let Some(line) = lines.next_line().await? {
        calls.take(&line, &outbox).await;
    }
    drop((calls, outbox));
    writer.await.map_err(std::io::Error::other)?
}

async fn write(mut output: impl AsyncWrite + Unpin, mut inbox: mpsc::Receiver<Json>) -> std::io::Result<()> {
    while let Some(message) = inbox.recv().await {
        output.write_all(format!("{message}\n").as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

/// The calls that run.
#[derive(Default)]
struct Calls {
    tasks: JoinSet<()>,
    by_id: HashMap<String, AbortHandle>,
}

impl Calls {
    async fn take(&mut self, line: &str, outbox: &Outbox) {
        let Ok(message) = serde_json::from_str::<Json>(line) else {
            return reply::send(outbox, reply::error(&Json::Null, -32700, "not JSON")).await;
        };
        match (message["method"].as_str(), message.get("id")) {
            (Some("notifications/cancelled"), None) => self.cancel(&message["params"]["requestId"]),
            (Some(_), Some(id)) => {
                let id = id.to_string();
                self.start(id, message, outbox.clone()).await;
            }
            _ => {}
        }
    }

    async fn start(&mut self, id: String, message: Json, outbox: Outbox) {
        while self.tasks.len() >= CALLS_MAX {
            self.tasks.join_next().await;
        }
        while self.tasks.try_join_next().is_some() {}
        self.by_id.retain(|_, task| !task.is_finished());
        let task = self.tasks.spawn(async move {
            let answer = reply::answer(&message, &outbox).await;
            reply::send(&outbox, answer).await;
        });
        self.by_id.insert(id, task);
    }

    fn cancel(&mut self, id: &Json) {
        if let Some(task) = self.by_id.remove(&id.to_string()) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{DuplexStream, ReadHalf, WriteHalf};

    use super::*;

    struct Peer {
        lines: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
        input: WriteHalf<DuplexStream>,
    }

    fn peer() -> Peer {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (input, output) = tokio::io::split(theirs);
        tokio::spawn(serve(input, output));
        let (lines, input) = tokio::io::split(ours);
        Peer { lines: BufReader::new(lines).lines(), input }
    }

    impl Peer {
        async fn send(&mut self, message: Json) {
            self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        }

        async fn next(&mut self) -> Json {
            serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
        }

        async fn request(&mut self, method: &str, params: Json) -> Json {
            self.send(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).await;
            self.next().await
        }
    }

    fn modern(mut params: Json) -> Json {
        params["_meta"] =
            json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "progressToken": "p"});
        params
    }

    #[tokio::test]
    async fn both_eras() {
        let mut peer = peer();
        let legacy = peer.request("initialize", json!({"protocolVersion": "2025-06-18"})).await;
        assert_eq!(legacy["result"]["protocolVersion"], "2025-06-18");
        let call = json!({"name": "echo", "arguments": {"message": "hi"}});
        let plain = peer.request("tools/call", call.clone()).await;
        assert_eq!(plain["result"], json!({"content": [{"type": "text", "text": "hi"}]}));
        let found = peer.request("server/discover", modern(json!({}))).await;
        assert_eq!(found["result"]["supportedVersions"], json!(["2026-07-28"]));
        assert_eq!(found["result"]["resultType"], "complete");
        let call = peer.request("tools/call", modern(call)).await;
        assert_eq!(call["result"]["resultType"], "complete");
    }

    #[tokio::test]
    async fn every_tool_is_listed_and_answers() {
        let mut peer = peer();
        let listed = peer.request("tools/list", modern(json!({}))).await;
        let names: Vec<_> =
            listed["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
        assert_eq!(names, ["echo", "add", "slow", "fail", "big", "progress", "whoami"]);
        assert_eq!(listed["result"]["ttlMs"], 0);
        for (tool, arguments, text) in [
            ("add", json!({"a": 1, "b": 2}), "3"),
            ("slow", json!({"ms": 1}), "waited 1 ms"),
            ("big", json!({"bytes": 4}), "xxxx"),
        ] {
            let answer = peer.request("tools/call", json!({"name": tool, "arguments": arguments})).await;
            assert_eq!(answer["result"]["content"][0]["text"], text, "{tool}");
        }
        let failed = peer.request("tools/call", json!({"name": "fail"})).await;
        assert_eq!(failed["result"]["isError"], true);
        let wrong = peer.request("tools/call", json!({"name": "nope"})).await;
        assert_eq!(wrong["error"]["code"], -32602);
        let wrong = peer.request("tools/call", json!({"name": "add", "arguments": {"a": "x"}})).await;
        assert_eq!(wrong["result"]["isError"], true);
    }

    #[tokio::test]
    async fn progress_comes_before_the_answer() {
        let mut peer = peer();
        let params = json!({"name": "progress", "arguments": {"steps": 2, "step_ms": 1}});
        let first = peer.request("tools/call", modern(params)).await;
        assert_eq!(first["method"], "notifications/progress");
        assert_eq!(first["params"]["progressToken"], "p");
        assert_eq!(peer.next().await["params"]["progress"], 2);
        assert_eq!(peer.next().await["id"], 1);
    }

    #[tokio::test]
    async fn cancelled_calls_do_not_answer_and_others_overtake() {
        let mut peer = peer();
        peer.send(json!({"jsonrpc": "2.0", "id": "s", "method": "tools/call",
            "params": {"name": "slow", "arguments": {"ms": 60_000}}}))
            .await;
        assert_eq!(peer.request("ping", json!({})).await["result"], json!({}));
        peer.send(
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "s"}}),
        )
        .await;
        peer.send(json!("not a message")).await;
        let resource = peer.request("resources/read", json!({"uri": "demo://readme"})).await;
        assert!(resource["result"]["contents"][0]["text"].as_str().unwrap().contains("demo"));
        let prompt =
            peer.request("prompts/get", json!({"name": "greet", "arguments": {"name": "Ada"}})).await;
        assert!(prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap().contains("Ada"));
        assert_eq!(peer.request("nonsense", json!({})).await["error"]["code"], -32601);
        peer.input.write_all(b"{broken\n").await.unwrap();
        assert_eq!(peer.next().await["error"]["code"], -32700);
    }
}
