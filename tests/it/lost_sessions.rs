//! An HTTP server that forgot its sessions, and says so with a status of its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern};
use omcp_tests::harness::manifest::http;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// As servers made with the TypeScript SDK say it.
const NO_SESSION: &str = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#;

/// A server of the handshake revisions whose sessions can be forgotten.
#[derive(Clone, Default)]
struct Forgetful(Arc<Mutex<Sessions>>);

#[derive(Default)]
struct Sessions {
    opened: u64,
    known: BTreeSet<String>,
}

impl Forgetful {
    async fn start() -> Result<(Self, String)> {
        let (new, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await?);
        let url = format!("http://{}/mcp", listener.local_addr()?);
        tokio::spawn({
            let new = new.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let server = new.clone();
                    // A client that hangs up is no concern of others.
                    tokio::spawn(async move { server.serve(stream).await.ok() });
                }
            }
        });
        Ok((new, url))
    }

    fn forget(&self) {
        self.0.lock().expect("nobody panics while it is held").known.clear();
    }

    /// One request per connection.
    async fn serve(&self, stream: TcpStream) -> Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut is_post, mut body_len, mut session) = (false, 0, None);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            is_post |= line.starts_with("POST ");
            match line.trim().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    body_len = value.parse()?
                }
                Some((name, value)) if name.eq_ignore_ascii_case("mcp-session-id") => {
                    session = Some(value.to_owned());
                }
                None if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; body_len];
        stream.read_exact(&mut body).await?;
        let (status, session, body) = match is_post {
            true => self.answer(&serde_json::from_slice(&body)?, session.as_deref()),
            false => ("405 Method Not Allowed", String::new(), String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n{session}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await?;
        Ok(stream.shutdown().await?)
    }

    fn answer(&self, message: &Value, session: Option<&str>) -> (&'static str, String, String) {
        let mut sessions = self.0.lock().expect("nobody panics while it is held");
        let result = |result: Value| json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
        if message["method"] == "initialize" {
            sessions.opened += 1;
            let id = format!("s{}", sessions.opened);
            sessions.known.insert(id.clone());
            let told = json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                "serverInfo": { "name": "forgetful", "version": "1" } });
            return ("200 OK", format!("Mcp-Session-Id: {id}\r\n"), result(told).to_string());
        }
        let known = session.is_some_and(|id| sessions.known.contains(id));
        let (status, body) = match message["method"].as_str().unwrap_or_default() {
            _ if !known => ("400 Bad Request", NO_SESSION.to_owned()),
            "tools/list" => ("200 OK", result(json!({ "tools": [] })).to_string()),
            "tools/call" => {
                let error = json!({ "code": -32602, "message": "no such argument" });
                let body = json!({ "jsonrpc": "2.0", "id": message["id"], "error": error });
                ("400 Bad Request", body.to_string())
            }
            _ => ("202 Accepted", String::new()),
        };
        (status, String::new(), body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn are_opened_anew_whatever_the_server_calls_it() -> Result<()> {
    let (server, url) = Forgetful::start().await?;
    let cluster = Cluster::start(1);
    cluster.apply(&[http("a", &url)]);
    let endpoint = cluster.nodes[0].endpoint("a");
    let client = Legacy::connect(&endpoint).await?;
    client.request("tools/list", json!({})).await?;
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "x" } });
    let refused = client.post(&call).await?;
    assert_eq!(refused.status, 400, "a refusal about something else stays what it is");
    assert_eq!(refused.json().await?["error"]["message"], "no such argument");

    let modern = Modern::new(&endpoint);
    modern.request("tools/list", json!({})).await.context("over a bridge")?;
    server.forget();
    let list = json!({ "jsonrpc": "2.0", "id": 8, "method": "tools/list" });
    let lost = client.post(&list).await?;
    assert_eq!(lost.status, 404, "what clients open a new session on");
    let told = lost.json().await?;
    ensure!(told["error"]["message"].as_str().is_some_and(|text| text.contains("initialize")), "{told}");
    Legacy::connect(&endpoint).await?.request("tools/list", json!({})).await?;
    // A session of the gateway's own is opened anew without a word.
    modern.request("tools/list", json!({})).await.context("over a bridge, after the server forgot")?;
    Ok(())
}
