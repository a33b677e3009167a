//! Rules of HTTP+SSE 2024-11-05.

use anyhow::Result;
use http::Method;
use omcp_tests::harness::client::{Http, Sse};
use omcp_tests::harness::node::Node;
use serde_json::json;

use super::case::Case;
use super::case::Want::{Anonymous, Error, Plain, Status};
use super::{BY_NAME, judge, texts};

/// Tries them with a live stream beside; how many there were, and a line for each wrong answer.
pub async fn try_all(client: &Http, node: &Node) -> Result<(usize, Vec<String>)> {
    let (mut count, mut wrong) = (0, Vec::new());
    for backend in BY_NAME {
        let mut live = Sse::connect(&node.sse_endpoint(backend)).await?;
        let message_path = live.message_url.replace(&node.mcp, "");
        let cases = cases(backend, &message_path);
        count += cases.len();
        wrong.extend(judge(client, &node.mcp, &cases).await);
        assert_eq!(live.tool("echo", json!({ "message": "still here" })).await?, "still here", "{backend}");
    }
    Ok((count, wrong))
}

fn cases(backend: &str, message_path: &str) -> Vec<Case> {
    let stream_path = format!("/sse/{backend}");
    let ping = r#"{"jsonrpc":"2.0","id":77,"method":"ping"}"#;
    let other = if backend == BY_NAME[0] { BY_NAME[1] } else { BY_NAME[0] };
    let elsewhere = message_path.replace(&stream_path, &format!("/sse/{other}"));
    let message = |path: &str, want| Case::post(format!("POST {path}"), path, ping, want);
    let mut cases = vec![
        Case::new(format!("GET {stream_path} for JSON"), Method::GET, &stream_path, Anonymous(406, -32600))
            .with("accept", "application/json"),
        Case::new(
            format!("GET {stream_path} from elsewhere"),
            Method::GET,
            &stream_path,
            Anonymous(403, -32600),
        )
        .with("accept", "text/event-stream")
        .with("origin", "http://evil.example"),
        message(&stream_path, Status(405)),
        Case::new(format!("DELETE {stream_path}"), Method::DELETE, &stream_path, Status(405)),
        Case::new("GET message".to_owned(), Method::GET, message_path, Status(405)),
        message(&format!("{stream_path}/message"), Error(400, -32600)),
        message(&format!("{stream_path}/message?sessionId="), Error(404, -32600)),
        message(&format!("{stream_path}/message?sessionId=unknown"), Error(404, -32600)),
        message(&elsewhere, Error(404, -32600)),
        message(&format!("{stream_path}/messages"), Plain(404)),
        message(message_path, Anonymous(415, -32600)).with("content-type", "text/plain"),
        message(message_path, Anonymous(403, -32600)).with("origin", "http://evil.example"),
        message(message_path, Anonymous(403, -32600)).with("host", "evil.example"),
    ];
    for (name, text) in texts::not_json() {
        cases.push(Case::post(
            format!("{stream_path} with {name}"),
            message_path,
            text,
            Anonymous(400, -32700),
        ));
    }
    for (name, text) in texts::not_json_rpc().into_iter().chain(texts::ambiguous()) {
        cases.push(Case::post(format!("{stream_path} with {name}"), message_path, text, Error(400, -32600)));
    }
    cases
}
