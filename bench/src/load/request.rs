//! Requests as bytes, written once and repeated with another id.

use std::net::SocketAddr;

use anyhow::Result;
use memchr::memmem;

use super::connection::Reply;
use super::{Era, Target, Tool};
use crate::peer::{BIG_TEXT_LEN, PROGRESS_EVENTS};

/// Every id has eight digits, so that a request keeps its length.
const ID_LEN: usize = 8;
const FIRST_ID: u32 = 10_000_000;
const LAST_ID: u32 = 99_999_999;
const CALL_BEFORE_ID: &str = r#"{"jsonrpc":"2.0","id":"#;
const MODERN_META: &str = concat!(
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"omcp-bench","version":"1"},"#,
    r#""io.modelcontextprotocol/clientCapabilities":{}"#,
);

/// A `tools/call`, ready to be sent.
#[derive(Debug)]
pub struct Request {
    bytes: Vec<u8>,
    id_at: usize,
    id: u32,
}

impl Request {
    /// A call within a session; an empty session means that the server gave none.
    pub fn legacy(target: &Target, session: &str) -> Self {
        let meta = if target.tool == Tool::Progress { r#""progressToken":"p1""# } else { "" };
        Self::new(target, &legacy_headers(session), meta)
    }

    /// A call that needs no session.
    pub fn modern(target: &Target) -> Self {
        let name = tool_name(target.tool);
        let headers =
            format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\n");
        let token = if target.tool == Tool::Progress { r#","progressToken":"p1""# } else { "" };
        Self::new(target, &headers, &format!("{MODERN_META}{token}"))
    }

    fn new(target: &Target, headers: &str, meta: &str) -> Self {
        let name = tool_name(target.tool);
        let params = format!(r#"{{"name":"{name}","arguments":{{"text":"hello"}},"_meta":{{{meta}}}}}"#);
        let body = format!(r#"{CALL_BEFORE_ID}{FIRST_ID},"method":"tools/call","params":{params}}}"#);
        let bytes = post(target, headers, &body);
        let id_at = bytes.len() - body.len() + CALL_BEFORE_ID.len();
        Self { bytes, id_at, id: FIRST_ID }
    }

    /// Gives the request its next id and returns it as it will stand in the answer.
    pub fn next_id(&mut self) -> [u8; ID_LEN] {
        self.id = if self.id == LAST_ID { FIRST_ID } else { self.id + 1 };
        let mut digits = [b'0'; ID_LEN];
        let mut rest = self.id;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.bytes[self.id_at..self.id_at + ID_LEN].copy_from_slice(&digits);
        digits
    }

    /// The request, headers and body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A `tools/list` of 2026-07-28 to the aggregate.
pub fn list_tools(to: SocketAddr) -> Vec<u8> {
    let (path, era, tool) = ("/mcp".to_owned(), Era::Modern, Tool::Echo);
    let target = Target { to, path, era, tool, share_session: false, awake: false };
    let body = format!(
        r#"{CALL_BEFORE_ID}{FIRST_ID},"method":"tools/list","params":{{"_meta":{{{MODERN_META}}}}}}}"#
    );
    post(&target, "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n", &body)
}

/// A legacy `initialize`.
pub fn initialize(target: &Target) -> Vec<u8> {
    let client = r#""capabilities":{},"clientInfo":{"name":"omcp-bench","version":"1"}"#;
    let params = format!(r#"{{"protocolVersion":"2025-11-25",{client}}}"#);
    post(target, "", &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#))
}

/// The notification that ends a legacy handshake.
pub fn initialized(target: &Target, session: &str) -> Vec<u8> {
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    post(target, &legacy_headers(session), body)
}

/// The end of a legacy session.
pub fn delete_session(target: &Target, session: &str) -> Vec<u8> {
    let Target { to, path, .. } = target;
    let headers = legacy_headers(session);
    format!("DELETE {path} HTTP/1.1\r\nHost: {to}\r\n{headers}\r\n").into_bytes()
}

/// Makes sure that the reply is the result of this call, and all of it.
///
/// # Errors
/// If it is not.
pub fn check(reply: &Reply, id: &[u8], tool: Tool) -> Result<()> {
    let has = |part: &[u8]| memmem::find(&reply.body, part).is_some();
    let complete = match tool {
        Tool::Echo => has(b"\"hello\""),
        Tool::Big => reply.body.len() > BIG_TEXT_LEN,
        Tool::Progress => {
            memmem::find_iter(&reply.body, b"notifications/progress").count() == PROGRESS_EVENTS
        }
    };
    let ok = reply.status == 200 && complete && has(id) && has(b"\"result\"");
    anyhow::ensure!(ok, "a call was answered with {reply}");
    Ok(())
}

fn legacy_headers(session: &str) -> String {
    let version = "MCP-Protocol-Version: 2025-11-25\r\n";
    if session.is_empty() { version.to_owned() } else { format!("{version}Mcp-Session-Id: {session}\r\n") }
}

fn tool_name(tool: Tool) -> &'static str {
    match tool {
        Tool::Echo => "echo",
        Tool::Big => "big",
        Tool::Progress => "progress",
    }
}

fn post(target: &Target, headers: &str, body: &str) -> Vec<u8> {
    let Target { to, path, .. } = target;
    let accept = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: {to}\r\n{accept}{headers}Content-Length: {len}\r\n\r\n{body}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::Era;
    use super::*;

    #[test]
    fn a_request_keeps_its_shape_with_every_id() {
        let to = "127.0.0.1:1".parse().unwrap();
        let target = Target {
            to,
            path: "/mcp".to_owned(),
            era: Era::Modern,
            tool: Tool::Progress,
            share_session: false,
            awake: false,
        };
        let mut request = Request::modern(&target);
        let id = request.next_id();
        let text = std::str::from_utf8(request.bytes()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["id"].to_string().as_bytes(), id);
        assert_eq!(body["params"]["_meta"]["progressToken"], "p1");
    }
}
