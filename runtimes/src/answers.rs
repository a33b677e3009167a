//! What HTTP servers answer, as messages: bodies taken apart, and errors written where there is no body.

use bytes::Bytes;
use http::StatusCode;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::batch;
use omcp_mcp::envelope::{Kind, ScanError, ScanErrorKind, ScanLimits};
use omcp_mcp::refusal::{code, error_response};
use serde_json::json;

/// The messages in a body or an event: one, or the elements of a batch (servers of 2025-03-26).
///
/// # Errors
/// Something in it is no JSON-RPC message.
pub fn messages(data: Bytes) -> Result<Vec<McpMessage>, ScanError> {
    match McpMessage::parse(data.clone()) {
        Ok(message) => Ok(vec![message]),
        Err(error) if error.kind == ScanErrorKind::BatchArray => {
            let items = batch::split(&data, &ScanLimits::default())?;
            items.into_iter().map(|item| McpMessage::parse(data.slice(item.range))).collect()
        }
        Err(error) => Err(error),
    }
}

/// An error response in the server's stead: -32603 with the reason and the HTTP status, if there was one.
pub fn failure(id: &[u8], reason: &str, message: &str, status: Option<StatusCode>) -> McpMessage {
    let data = match status {
        Some(status) => json!({ "reason": reason, "status": status.as_u16() }),
        None => json!({ "reason": reason }),
    };
    McpMessage::trusted(error_response(id, code::INTERNAL_ERROR, message, Some(&data)).into())
}

/// The error response for a request that failed on the way.
pub fn failure_of(id: &[u8], error: &GatewayError) -> McpMessage {
    failure(id, error.code(), &error.chain(), None)
}

/// The error response for a request that was answered with an HTTP status.
///
/// What the server itself says in JSON-RPC is kept, with the id of the request, unless the status
/// speaks of credentials or of a proxy in between.
pub fn refusal(id: &[u8], status: StatusCode, body: &[u8]) -> McpMessage {
    match status.as_u16() {
        401 | 403 => failure(
            id,
            "upstream_auth",
            &format!("the server refused our credentials: {status}"),
            Some(status),
        ),
        429 | 502..=504 => unavailable(id, status),
        300..=399 => {
            let text = format!("the server redirects ({status}); set url to where it redirects to");
            failure(id, "upstream_unavailable", &text, Some(status))
        }
        _ => own_words(id, body).unwrap_or_else(|| unavailable(id, status)),
    }
}

fn unavailable(id: &[u8], status: StatusCode) -> McpMessage {
    failure(id, "upstream_unavailable", &format!("the server answered with status {status}"), Some(status))
}

/// The error in `body` as the answer to `id`: servers often leave the id out or write `null`.
fn own_words(id: &[u8], body: &[u8]) -> Option<McpMessage> {
    error_with_id(id, &McpMessage::parse(Bytes::copy_from_slice(body)).ok()?)
}

/// An error response as the answer to `id`; `None` if it is none.
pub fn error_with_id(id: &[u8], said: &McpMessage) -> Option<McpMessage> {
    let envelope = said.envelope();
    if envelope.kind() != Kind::Error {
        return None;
    }
    let error = &said.bytes()[envelope.error_range()?];
    let parts = [b"{\"jsonrpc\":\"2.0\",\"id\":", id, b",\"error\":", error, b"}"];
    Some(McpMessage::trusted(parts.concat().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &McpMessage) -> &str {
        std::str::from_utf8(message.bytes()).unwrap()
    }

    #[test]
    fn bodies_hold_one_message_or_a_batch() {
        let one = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(messages(one.into()).unwrap().len(), 1);
        let batch = messages(format!("[{one}, {one}]").into()).unwrap();
        assert_eq!(batch.iter().map(text).collect::<Vec<_>>(), [one, one]);
        assert!(messages(format!("{one}\n{one}").into()).is_err());
        assert!(messages("<html>".into()).is_err());
    }

    #[test]
    fn the_servers_own_error_gets_the_id_of_the_request() {
        for said in [
            r#"{"jsonrpc":"2.0","error":{"code":-32022,"message":"m"},"id":null}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32022,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32022,"message":"m"}}"#,
        ] {
            let answer = refusal(b"7", StatusCode::BAD_REQUEST, said.as_bytes());
            assert_eq!((answer.id(), answer.envelope().error_code()), (Some(&b"7"[..]), Some(-32022)));
        }
    }

    #[test]
    fn other_refusals_tell_the_status_and_a_reason() {
        let json_rpc = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"m"}}"#;
        for (status, body, reason) in [
            (401, json_rpc, "upstream_auth"),
            (403, "", "upstream_auth"),
            (404, "not found", "upstream_unavailable"),
            (307, json_rpc, "upstream_unavailable"),
            (503, json_rpc, "upstream_unavailable"),
        ] {
            let answer = refusal(b"7", StatusCode::from_u16(status).unwrap(), body.as_bytes());
            let value: serde_json::Value = serde_json::from_slice(answer.bytes()).unwrap();
            assert_eq!(value["error"]["code"], -32603);
            assert_eq!(value["error"]["data"], json!({ "reason": reason, "status": status }));
        }
    }
}
