use serde_json::{Value, json};

use super::*;

fn ask(message: &Value) -> (Answer, Value) {
    let text = message.to_string();
    let message = Message::read(text.as_bytes()).unwrap();
    let mut out = Vec::new();
    message.write_result(&mut out);
    (message.answer(), serde_json::from_slice(&out).unwrap_or(Value::Null))
}

fn call(tool: &str, meta: &Value) -> Value {
    let params = json!({"name": tool, "arguments": {"text": "hello"}, "_meta": meta});
    json!({"jsonrpc": "2.0", "id": "a-1", "method": "tools/call", "params": params})
}

#[test]
fn echo_returns_the_text_under_the_id_of_the_request() {
    let (answer, result) = ask(&call("echo", &json!({})));
    assert_eq!(answer, Answer::Result);
    assert_eq!(result["id"], "a-1");
    assert_eq!(result["result"]["content"][0]["text"], "hello");
    assert!(result["result"].get("resultType").is_none());
}

#[test]
fn modern_results_say_that_they_are_complete() {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    assert_eq!(ask(&call("echo", &meta)).1["result"]["resultType"], "complete");
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}});
    assert_eq!(ask(&discover).1["result"]["supportedVersions"], json!(["2026-07-28"]));
}

#[test]
fn big_returns_its_whole_text() {
    let (_, result) = ask(&call("big", &json!({})));
    assert_eq!(result["result"]["content"][0]["text"].as_str().unwrap().len(), BIG_TEXT_LEN);
}

#[test]
fn progress_names_the_token() {
    let text = call("progress", &json!({"progressToken": 7})).to_string();
    let message = Message::read(text.as_bytes()).unwrap();
    let mut out = Vec::new();
    message.write_progress(3, &mut out);
    let notification: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(message.answer(), Answer::Stream);
    assert_eq!(notification["params"], json!({"progressToken": 7, "progress": 3, "total": PROGRESS_EVENTS}));
}

#[test]
fn initialize_agrees_on_a_legacy_revision() {
    let initialize = |version: &str| {
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}))
    };
    let (answer, result) = initialize("2025-06-18");
    assert_eq!(answer, Answer::Session);
    assert_eq!(result["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(initialize("2026-07-28").1["result"]["protocolVersion"], "2025-11-25");
}

#[test]
fn notifications_and_unknown_methods_are_told_apart() {
    assert_eq!(ask(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).0, Answer::None);
    let (answer, result) = ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "prompts/list"}));
    assert_eq!(answer, Answer::UnknownMethod);
    assert_eq!(result["error"]["code"], -32601);
}
