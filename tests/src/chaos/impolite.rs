//! Clients that open a session and leave without a word.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::client::legacy::NEWEST;

/// For a process to start, on a machine that starts many.
const LIMIT: Duration = Duration::from_secs(60);
/// The call that is left behind: a session is in use until it has ended.
const SLOW_MS: u64 = 2_000;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Closes the connection after the handshake.
    Close,
    /// Resets it.
    Reset,
    /// Keeps it, and is silent.
    Silence,
    /// Calls a slow tool and closes the connection.
    CloseInCall,
    /// Calls a slow tool and resets it.
    ResetInCall,
    /// Opens the stream and resets it.
    ResetStream,
    /// Sends half a request and closes.
    HalfRequest,
    /// Closes before the handshake is answered.
    NoPatience,
}

impl Manner {
    pub const ALL: [Self; 8] = [
        Self::Close,
        Self::Reset,
        Self::Silence,
        Self::CloseInCall,
        Self::ResetInCall,
        Self::ResetStream,
        Self::HalfRequest,
        Self::NoPatience,
    ];
}

/// Opens a session and leaves it. What is returned is still connected.
///
/// # Errors
/// The session could not be opened.
pub async fn session(to: SocketAddr, path: &str, manner: Manner) -> Result<Option<TcpStream>> {
    let mut stream = TcpStream::connect(to).await.context("connect")?;
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": NEWEST, "capabilities": {}, "clientInfo": { "name": "impolite", "version": "1" } } });
    stream.write_all(post(to, path, "", &hello).as_bytes()).await?;
    if manner == Manner::NoPatience {
        return Ok(None);
    }
    let session = session_id(&mut stream).await?;
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    stream.write_all(post(to, path, &session, &ready).as_bytes()).await?;
    head(&mut stream).await.context("initialized")?;
    leave(stream, to, path, &session, manner).await
}

async fn leave(
    mut stream: TcpStream,
    to: SocketAddr,
    path: &str,
    session: &str,
    manner: Manner,
) -> Result<Option<TcpStream>> {
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "slow", "arguments": { "ms": SLOW_MS } } });
    let call = post(to, path, session, &call);
    match manner {
        Manner::CloseInCall | Manner::ResetInCall => stream.write_all(call.as_bytes()).await?,
        Manner::HalfRequest => stream.write_all(&call.as_bytes()[..call.len() - 9]).await?,
        Manner::ResetStream => {
            let get = format!(
                "GET {path} HTTP/1.1\r\nhost: {to}\r\naccept: text/event-stream\r\nmcp-session-id: {session}\r\nmcp-protocol-version: {NEWEST}\r\n\r\n"
            );
            stream.write_all(get.as_bytes()).await?;
            head(&mut stream).await.context("the stream")?;
        }
        Manner::Close | Manner::Reset | Manner::Silence | Manner::NoPatience => {}
    }
    if matches!(manner, Manner::Reset | Manner::ResetInCall | Manner::ResetStream) {
        stream.set_zero_linger()?;
    }
    Ok((manner == Manner::Silence).then_some(stream))
}

fn post(to: SocketAddr, path: &str, session: &str, message: &Value) -> String {
    let body = message.to_string();
    let session = match session {
        "" => String::new(),
        id => format!("mcp-session-id: {id}\r\nmcp-protocol-version: {NEWEST}\r\n"),
    };
    format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n{session}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn session_id(stream: &mut TcpStream) -> Result<String> {
    let head = head(stream).await.context("initialize")?;
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
    });
    line.with_context(|| format!("no session in {head}"))
}

/// The head of an answer; the body of a length that it names is read as well.
async fn head(stream: &mut TcpStream) -> Result<String> {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if all.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(head);
            }
        }
        let len = timeout(LIMIT, stream.read(&mut piece)).await.context("no answer in time")??;
        anyhow::ensure!(len > 0, "the connection ended after {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..len]);
    }
}
