use serde_json::{Value, json};

use super::*;
use crate::envelope::{Envelope, ScanLimits};
use crate::refusal::{Refusal, code};

const SERVED: [&str; 1] = ["2026-07-28"];

type Fields = Vec<(&'static str, &'static str)>;
/// What the row shows, body, header fields, and status and code of the refusal.
type Row = (&'static str, Value, Fields, Option<(u16, i32)>);

fn fields() -> Fields {
    vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "weather")]
}

fn with(name: &'static str, value: &'static str) -> Fields {
    let mut fields = without(name);
    fields.push((name, value));
    fields
}

fn without(name: &str) -> Fields {
    fields().into_iter().filter(|(field, _)| *field != name).collect()
}

fn also(name: &'static str, value: &'static str) -> Fields {
    let mut fields = fields();
    fields.push((name, value));
    fields
}

fn call() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {
            "name": "weather",
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "c", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    })
}

/// The call with one place changed; `null` removes the member.
fn call_with(pointer: &str, value: Value) -> Value {
    let mut call = call();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = call.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    let name = name.replace("~1", "/");
    match value {
        Value::Null => drop(parent.remove(&name)),
        value => drop(parent.insert(name, value)),
    }
    call
}

fn meta(name: &str, value: Value) -> Value {
    call_with(&format!("/params/_meta/io.modelcontextprotocol~1{name}"), value)
}

fn admit(body: &Value, fields: &Fields) -> Result<(), Refusal> {
    let body = body.to_string();
    let envelope = Envelope::scan(body.as_bytes(), &ScanLimits::default()).unwrap();
    admit_modern(&envelope, body.as_bytes(), &fields[..], &SERVED)
}

#[test]
fn each_rung_of_the_modern_ladder_refuses() {
    let mismatch = Some((400, code::HEADER_MISMATCH));
    let invalid = Some((400, code::INVALID_PARAMS));
    let notification = |method: &str| json!({ "jsonrpc": "2.0", "method": method });
    let rows: Vec<Row> = vec![
        ("a complete call passes", call(), fields(), None),
        ("1 response", json!({ "jsonrpc": "2.0", "id": 1, "result": {} }), fields(), Some((400, -32600))),
        ("1 error", json!({ "jsonrpc": "2.0", "id": 1, "error": {} }), fields(), Some((400, -32600))),
        ("2 header differs", call(), with("MCP-Protocol-Version", "2025-11-25"), mismatch),
        ("2 header repeated", call(), also("mcp-protocol-version", "2026-07-28"), mismatch),
        ("3 no _meta", call_with("/params/_meta", Value::Null), fields(), invalid),
        ("3 no params", call_with("/params", Value::Null), fields(), invalid),
        ("3 _meta is no object", call_with("/params/_meta", json!([])), fields(), invalid),
        ("3 no version", meta("protocolVersion", Value::Null), fields(), invalid),
        ("3 version is no string", meta("protocolVersion", json!(20260728)), fields(), invalid),
        ("4 no capabilities", meta("clientCapabilities", Value::Null), fields(), invalid),
        ("4 capabilities are a list", meta("clientCapabilities", json!([])), fields(), invalid),
        ("4 client info is a string", meta("clientInfo", json!("me")), fields(), invalid),
        ("4 client info lacks the version", meta("clientInfo", json!({ "name": "c" })), fields(), invalid),
        (
            "4 client info with a number",
            meta("clientInfo", json!({ "name": 1, "version": "1" })),
            fields(),
            invalid,
        ),
        ("4 absent client info passes", meta("clientInfo", Value::Null), fields(), None),
        (
            "5 future version",
            meta("protocolVersion", json!("2099-01-01")),
            with("MCP-Protocol-Version", "2099-01-01"),
            Some((400, code::UNSUPPORTED_VERSION)),
        ),
        (
            "5 word for a version, no header",
            meta("protocolVersion", json!("DRAFT")),
            without("MCP-Protocol-Version"),
            Some((400, code::UNSUPPORTED_VERSION)),
        ),
        ("6 no version header", call(), without("MCP-Protocol-Version"), mismatch),
        ("7 no Mcp-Method", call(), without("Mcp-Method"), mismatch),
        ("7 Mcp-Method repeated", call(), also("mcp-method", "tools/call"), mismatch),
        ("7 Mcp-Method differs", call(), with("Mcp-Method", "tools/list"), mismatch),
        ("7 Mcp-Method in another case", call(), with("Mcp-Method", "Tools/Call"), mismatch),
        ("7 whitespace around Mcp-Method", call(), with("Mcp-Method", " tools/call\t"), None),
        ("8 no Mcp-Name", call(), without("Mcp-Name"), mismatch),
        ("8 Mcp-Name repeated", call(), also("mcp-name", "weather"), mismatch),
        ("8 Mcp-Name differs", call(), with("Mcp-Name", "Weather"), mismatch),
        ("8 Mcp-Name with bad Base64", call(), with("Mcp-Name", "=?base64?d2VhdGhlcg?=x?="), mismatch),
        ("8 Mcp-Name not ASCII", call(), with("Mcp-Name", "weathér"), mismatch),
        ("8 Mcp-Name in Base64", call(), with("Mcp-Name", "=?base64?d2VhdGhlcg==?="), None),
        ("8 markers are case-sensitive", call(), with("Mcp-Name", "=?BASE64?d2VhdGhlcg==?="), mismatch),
        ("8 whitespace around Mcp-Name", call(), with("Mcp-Name", "  weather "), None),
        ("8 name only in the header", call_with("/params/name", Value::Null), fields(), mismatch),
        ("8 name nowhere", call_with("/params/name", Value::Null), without("Mcp-Name"), None),
        (
            "9 removed method",
            call_with("/method", json!("ping")),
            with("Mcp-Method", "ping"),
            Some((404, code::METHOD_NOT_FOUND)),
        ),
        (
            "9 handshake with a modern envelope",
            call_with("/method", json!("initialize")),
            with("Mcp-Method", "initialize"),
            Some((404, code::METHOD_NOT_FOUND)),
        ),
        (
            "9 a method nobody knows is the backend's to judge",
            call_with("/method", json!("x/y")),
            with("Mcp-Method", "x/y"),
            None,
        ),
        ("11 unknown log level", meta("logLevel", json!("loud")), fields(), Some((200, -32602))),
        ("11 log level is no string", meta("logLevel", json!(3)), fields(), Some((200, -32602))),
        ("11 known log level", meta("logLevel", json!("emergency")), fields(), None),
        ("notification without anything", notification("notifications/x"), vec![], None),
        ("notification with another method header", notification("notifications/x"), fields(), mismatch),
        (
            "notification of an unserved version",
            notification("a"),
            vec![("mcp-protocol-version", "2099-01-01")],
            Some((400, code::UNSUPPORTED_VERSION)),
        ),
    ];
    for (row, body, fields, want) in rows {
        let got = admit(&body, &fields).err();
        assert_eq!(got.as_ref().map(|no| (no.status, no.code.unwrap())), want, "{row}: {got:?}");
        if let Some(refusal) = got {
            let is_request = body.get("method").is_some() && body.get("id").is_some();
            assert_eq!(refusal.id, is_request.then(|| b"7".to_vec()), "{row}");
        }
    }
}

#[test]
fn names_of_every_kind_are_compared() {
    for (method, member, value) in [
        ("prompts/get", "name", "p"),
        ("resources/read", "uri", "file:///ü"),
        ("tasks/get", "taskId", "t"),
        ("tasks/update", "taskId", "t"),
        ("tasks/cancel", "taskId", "t"),
    ] {
        let mut body = call_with("/method", json!(method));
        body["params"][member] = json!(value);
        let named = |name: &str| {
            let fields = [
                ("mcp-protocol-version", SERVED[0]),
                ("mcp-method", method),
                ("mcp-name", &crate::header_value::encode_if_needed(name)),
            ]
            .map(|(field, value)| (field, value.to_owned()));
            let text = body.to_string();
            let envelope = Envelope::scan(text.as_bytes(), &ScanLimits::default()).unwrap();
            admit_modern(&envelope, text.as_bytes(), &fields[..], &SERVED)
        };
        assert_eq!(named(value), Ok(()), "{method}");
        assert_eq!(named("other").unwrap_err().code, Some(code::HEADER_MISMATCH), "{method}");
    }
}

/// Each row breaks a rung and a later one; the earlier must answer.
#[test]
fn the_first_failing_rung_answers() {
    let no_name = |mut fields: Fields| {
        fields.retain(|(field, _)| *field != "Mcp-Name");
        fields
    };
    let rows = [
        ("2 before 5", meta("protocolVersion", json!("2099-01-01")), fields(), code::HEADER_MISMATCH),
        ("3 before 4", call_with("/params/_meta", json!({})), fields(), code::INVALID_PARAMS),
        (
            "4 before 6",
            meta("clientCapabilities", Value::Null),
            without("MCP-Protocol-Version"),
            code::INVALID_PARAMS,
        ),
        (
            "5 before 6",
            meta("protocolVersion", json!("2099-01-01")),
            without("MCP-Protocol-Version"),
            code::UNSUPPORTED_VERSION,
        ),
        ("7 before 9", call_with("/method", json!("ping")), without("Mcp-Method"), code::HEADER_MISMATCH),
        ("8 before 11", meta("logLevel", json!("loud")), no_name(fields()), code::HEADER_MISMATCH),
    ];
    for (row, body, fields, want) in rows {
        assert_eq!(admit(&body, &fields).unwrap_err().code, Some(want), "{row}");
    }
    let lacking = admit(&call_with("/params/_meta", json!({})), &fields()).unwrap_err();
    for key in ["protocolVersion", "clientCapabilities"] {
        assert!(lacking.message.contains(key), "{}", lacking.message);
    }
}

#[test]
fn an_unserved_version_is_told_what_is() {
    let body = meta("protocolVersion", json!("2099-01-01"));
    let refusal = admit(&body, &with("MCP-Protocol-Version", "2099-01-01")).unwrap_err();
    assert_eq!(refusal.data, Some(Box::new(json!({ "supported": SERVED, "requested": "2099-01-01" }))));
}

#[test]
fn legacy_posts_need_a_session_and_a_known_version() {
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let named = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list",
        "params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let s = Some("session");
    for (row, body, protocol_version, session, want) in [
        ("handshake without headers", initialize, None, None, None),
        ("handshake with any version", initialize, Some("2026-07-28"), None, None),
        ("no version header", list, None, s, None),
        ("known version", list, Some("2025-06-18"), s, None),
        ("unknown version", list, Some("2025-01-01"), s, Some(code::INVALID_REQUEST)),
        ("no session", list, Some("2025-06-18"), None, Some(code::INVALID_REQUEST)),
        ("body and header agree", named, Some("2025-11-25"), s, None),
        ("body and header differ", named, Some("2025-06-18"), s, Some(code::HEADER_MISMATCH)),
        ("answer", answer, None, s, None),
        ("answer without session", answer, None, None, Some(code::INVALID_REQUEST)),
    ] {
        let envelope = Envelope::scan(body.as_bytes(), &ScanLimits::default()).unwrap();
        let headers = LegacyHeaders { protocol_version, session };
        let got = admit_legacy(&envelope, body.as_bytes(), &headers).err();
        assert_eq!(got.as_ref().and_then(|no| no.code), want, "{row}");
        if let Some(refusal) = got {
            assert_eq!(refusal.status, 400, "{row}");
            assert_eq!(refusal.id.is_some(), body != answer, "{row}");
        }
    }
}

#[test]
fn legacy_streams_need_a_session_and_the_right_accept() {
    let known = LegacyHeaders { protocol_version: Some("2025-11-25"), session: Some("s") };
    let bare = LegacyHeaders::default();
    let unknown = LegacyHeaders { protocol_version: Some("nonsense"), session: Some("s") };
    let status = |result: Result<(), Refusal>| result.err().map(|refusal| refusal.status);
    assert_eq!(status(admit_legacy_stream(&known, true)), None);
    assert_eq!(status(admit_legacy_stream(&known, false)), Some(406));
    assert_eq!(status(admit_legacy_stream(&bare, true)), Some(400));
    assert_eq!(status(admit_legacy_delete(&known)), None);
    assert_eq!(status(admit_legacy_delete(&bare)), Some(400));
    let refusal = admit_legacy_delete(&unknown).unwrap_err();
    let supported = refusal.data.unwrap()["supported"].clone();
    assert_eq!(supported, json!(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]));
}
