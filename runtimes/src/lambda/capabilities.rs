//! What does not reach through a function is not promised: an invocation has one answer and no stream.

use omcp_core::McpMessage;
use omcp_mcp::compose;
use serde_json::Value;

/// Capabilities that mean messages of the server's own accord.
const PUSHED: [(&str, &str); 4] = [
    ("tools", "listChanged"),
    ("prompts", "listChanged"),
    ("resources", "listChanged"),
    ("resources", "subscribe"),
];

/// The answer to a handshake or a discovery, without promises of notifications.
pub fn reduced(answer: McpMessage) -> McpMessage {
    let (id, range) = (answer.id(), answer.envelope().result_range());
    let (Some(id), Some(range)) = (id, range) else { return answer };
    let Ok(mut result) = serde_json::from_slice::<Value>(&answer.bytes()[range]) else { return answer };
    let mut changed = false;
    for (kind, promise) in PUSHED {
        let offered = result["capabilities"].get_mut(kind).and_then(Value::as_object_mut);
        changed |= offered.is_some_and(|offered| offered.remove(promise).is_some());
    }
    if !changed {
        return answer;
    }
    McpMessage::trusted(compose::response(id, result.to_string().as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_of_notifications_are_taken_back() {
        let text = r#"{"jsonrpc":"2.0","id":"a","result":{"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"x":1},"logging":{}},"n":9007199254740993}}"#;
        let reduced = reduced(McpMessage::trusted(text.into()));
        let want = r#"{"jsonrpc":"2.0","id":"a","result":{"capabilities":{"tools":{},"resources":{"x":1},"logging":{}},"n":9007199254740993}}"#;
        assert_eq!(std::str::from_utf8(reduced.bytes()).unwrap(), want);
    }

    #[test]
    fn what_promises_nothing_stays_byte_for_byte() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{ "capabilities": { "tools": {} } }}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m"}}"#,
        ] {
            assert_eq!(reduced(McpMessage::trusted(text.into())).bytes(), text.as_bytes());
        }
    }
}
