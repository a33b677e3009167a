use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

type Seen = Arc<Mutex<Vec<(String, Json)>>>;

/// Serves scripted answers over HTTP/1.1, one request per connection.
async fn server(answer: fn(&Json) -> (u16, &'static str, String)) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp/demo", listener.local_addr().unwrap());
    let seen = Seen::default();
    let heard = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut chunk = [0; 4096];
                let n = socket.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..n]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if n == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                        break (head.to_owned(), body.to_owned());
                    }
                }
            };
            let body: Json = serde_json::from_str(&body).unwrap_or_default();
            let (status, kind, text) = answer(&body);
            heard.lock().unwrap().push((head, body));
            let session = if kind == "application/json" { "mcp-session-id: s1\r\n" } else { "" };
            let reply = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{session}content-length: {}\r\nconnection: close\r\n\r\n{text}",
                text.len()
            );
            socket.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (url, seen)
}

fn result(body: &Json, result: Json) -> (u16, &'static str, String) {
    (200, "application/json", json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string())
}

fn error(status: u16, body: &Json, code: i64) -> (u16, &'static str, String) {
    let error = json!({"code": code, "message": "no"});
    (status, "application/json", json!({"jsonrpc": "2.0", "id": body["id"], "error": error}).to_string())
}

fn modern(body: &Json) -> (u16, &'static str, String) {
    match body["method"].as_str() {
        Some("server/discover") => result(body, json!({"supportedVersions": ["2026-07-28"]})),
        Some("tools/list") if body["params"]["cursor"] == "2" => {
            result(body, json!({"tools": [{"name": "b"}]}))
        }
        Some("tools/list") => result(body, json!({"tools": [{"name": "a"}], "nextCursor": "2"})),
        _ => {
            let note =
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}});
            let answer = json!({"jsonrpc": "2.0", "id": body["id"], "result": {"content": []}});
            (
                200,
                "text/event-stream",
                format!(": hello\r\n\r\ndata: {note}\n\nevent: message\ndata: {answer}\n\n"),
            )
        }
    }
}

fn deaf(_: &str, _: &Json) {}

const WAIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn modern_server_gets_headers_and_envelope() {
    let (url, seen) = server(modern).await;
    let mut client = McpClient::connect(&url, WAIT, deaf).await.unwrap();
    let answer = client.call_tool("höhe", json!({"a": 1})).await.unwrap();
    assert_eq!(answer, json!({"content": []}));
    let (head, body) = seen.lock().unwrap().last().unwrap().clone();
    assert!(head.contains("mcp-protocol-version: 2026-07-28"), "{head}");
    assert!(head.contains("mcp-method: tools/call"), "{head}");
    assert!(head.contains("mcp-name: =?base64?"), "{head}");
    assert_eq!(body["params"]["_meta"][META_PROTOCOL_VERSION], "2026-07-28");
    assert_eq!(body["params"]["arguments"]["a"], 1);
}

#[tokio::test]
async fn lists_read_every_page() {
    let (url, _) = server(modern).await;
    let mut client = McpClient::connect(&url, WAIT, deaf).await.unwrap();
    let tools = client.list("tools/list", "tools").await.unwrap();
    assert_eq!(tools, [json!({"name": "a"}), json!({"name": "b"})]);
}

#[tokio::test]
async fn legacy_server_gets_a_session() {
    let (url, seen) = server(|body| match body["method"].as_str() {
        Some("server/discover") => error(404, body, -32601),
        Some("initialize") => result(body, json!({"protocolVersion": "2025-06-18"})),
        Some("tools/call") => result(body, json!({"content": [], "isError": true})),
        _ => (202, "text/plain", String::new()),
    })
    .await;
    let mut client = McpClient::connect(&url, WAIT, deaf).await.unwrap();
    let answer = client.call_tool("x", json!({})).await.unwrap();
    assert_eq!(answer["isError"], true);
    client.close().await;
    let seen = seen.lock().unwrap();
    let (head, body) = &seen[3];
    assert!(
        head.contains("mcp-session-id: s1") && head.contains("mcp-protocol-version: 2025-06-18"),
        "{head}"
    );
    assert!(body["params"]["_meta"].get(META_PROTOCOL_VERSION).is_none());
    assert!(seen[4].0.starts_with("DELETE "));
}

#[tokio::test]
async fn refusals_keep_their_kind() {
    let (url, _) = server(|_| (404, "text/plain", "no".into())).await;
    assert!(matches!(
        McpClient::connect(&url, WAIT, deaf).await,
        Err(McpError::Protocol(_) | McpError::NotFound(_))
    ));
    let (url, _) = server(|_| (401, "text/plain", "no".into())).await;
    assert!(matches!(McpClient::connect(&url, WAIT, deaf).await, Err(McpError::Auth(401))));
    let (url, _) = server(|_| (502, "text/plain", "no".into())).await;
    assert!(matches!(McpClient::connect(&url, WAIT, deaf).await, Err(McpError::Unreachable { .. })));
    let (url, _) = server(|body| error(400, body, -32022)).await;
    assert!(matches!(McpClient::connect(&url, WAIT, deaf).await, Err(McpError::Rpc { code: -32022, .. })));
    let gone = McpClient::connect("http://127.0.0.1:9/mcp", WAIT, deaf).await;
    assert!(matches!(gone, Err(McpError::Unreachable { .. })));
    assert!(McpClient::connect("https://x/mcp", WAIT, deaf).await.is_err());
}
