use proptest::prelude::*;

use super::*;
use crate::refusal::code;

const MODERN: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const FUTURE: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2099-01-01"}"#;
const WORD: &str = r#"{"io.modelcontextprotocol/protocolVersion":"DRAFT"}"#;
const NUMBER: &str = r#"{"io.modelcontextprotocol/protocolVersion":5}"#;
const LEGACY: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}"#;

fn request(method: &str, meta: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{meta}}}}}"#)
}

fn notification(meta: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{"_meta":{meta}}}}}"#)
}

fn post(body: &str) -> Inbound<'_> {
    Inbound {
        method: HttpMethod::Post,
        protocol_version_header: None,
        session_header: None,
        accepts_event_stream: true,
        session_revision: None,
        legacy_sse: true,
        body: body.as_bytes(),
    }
}

/// The name of the class, or status and code of the refusal.
fn name(inbound: &Inbound<'_>) -> String {
    match classify(inbound) {
        Ok(Class::Modern(_)) => "modern".into(),
        Ok(Class::LegacyInitialize(_)) => "initialize".into(),
        Ok(Class::Legacy(_)) => "legacy".into(),
        Ok(Class::LegacyResponse(_)) => "response".into(),
        Ok(Class::LegacyBatch) => "batch".into(),
        Ok(Class::LegacyStream) => "stream".into(),
        Ok(Class::LegacyDelete) => "delete".into(),
        Ok(Class::SseStream) => "sse".into(),
        Ok(Class::Preflight) => "preflight".into(),
        Err(refusal) => format!("{} {}", refusal.status, refusal.code.unwrap_or_default()),
    }
}

#[test]
fn other_methods_than_post() {
    let (modern, legacy) = (Some("2026-07-28"), Some("2025-11-25"));
    let session = Some("s");
    for (row, method, header, session, accepts, legacy_sse, want) in [
        ("modern GET", HttpMethod::Get, modern, session, true, true, "405 -32600"),
        ("modern DELETE", HttpMethod::Delete, modern, session, true, true, "405 -32600"),
        ("bare GET", HttpMethod::Get, None, None, true, true, "sse"),
        ("bare GET, HTTP+SSE off", HttpMethod::Get, None, None, true, false, "stream"),
        ("bare GET for JSON", HttpMethod::Get, None, None, false, true, "stream"),
        ("GET with version", HttpMethod::Get, legacy, None, true, true, "stream"),
        ("GET with session", HttpMethod::Get, None, session, true, true, "stream"),
        ("DELETE", HttpMethod::Delete, None, session, false, true, "delete"),
        ("OPTIONS", HttpMethod::Options, modern, None, false, true, "preflight"),
        ("PUT", HttpMethod::Other, legacy, session, true, true, "405 -32600"),
    ] {
        let inbound = Inbound {
            method,
            protocol_version_header: header,
            session_header: session,
            accepts_event_stream: accepts,
            legacy_sse,
            ..post("")
        };
        assert_eq!(name(&inbound), want, "{row}");
    }
    let modern_get = Inbound { method: HttpMethod::Get, protocol_version_header: modern, ..post("") };
    assert_eq!(classify(&modern_get).unwrap_err().allow, Some("POST"));
    let put = Inbound { method: HttpMethod::Other, ..post("") };
    assert_eq!(classify(&put).unwrap_err().allow, Some("GET, POST, DELETE"));
}

#[test]
fn the_body_decides_the_era() {
    let init = "initialize";
    let list = "tools/list";
    let asks_modern =
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2026-07-28"}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned();
    let failure = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#.to_owned();
    let quiet_init = r#"{"jsonrpc":"2.0","method":"initialize"}"#.to_owned();
    let modern = Some("2026-07-28");
    for (row, body, header, want) in [
        ("handshake", request(init, "{}"), None, "initialize"),
        ("handshake that asks for a modern version", asks_modern.into(), None, "initialize"),
        ("handshake with a modern header", asks_modern.into(), modern, "initialize"),
        ("handshake with a modern envelope", request(init, MODERN), modern, "modern"),
        ("handshake with half an envelope", request(init, FUTURE), modern, "initialize"),
        ("handshake with a legacy envelope", request(init, LEGACY), None, "initialize"),
        ("handshake as notification", quiet_init, None, "legacy"),
        ("modern request", request(list, MODERN), modern, "modern"),
        ("modern request without header", request(list, MODERN), None, "modern"),
        ("modern request with a legacy header", request(list, MODERN), Some("2025-11-25"), "modern"),
        ("future version", request(list, FUTURE), None, "modern"),
        ("word for a version", request(list, WORD), None, "modern"),
        ("number for a version", request(list, NUMBER), None, "modern"),
        ("legacy version in the body", request(list, LEGACY), None, "legacy"),
        ("only the header is modern", request(list, "{}"), modern, "400 -32602"),
        ("only the header is modern, future", request(list, "{}"), Some("2099-01-01"), "400 -32602"),
        ("modern notification by header", notification("{}"), modern, "modern"),
        ("modern notification by body", notification(MODERN), None, "modern"),
        ("legacy request", request(list, "{}"), Some("2025-06-18"), "legacy"),
        ("request without any version", request(list, "{}"), None, "legacy"),
        ("nonsense in the header", request(list, "{}"), Some("nonsense"), "legacy"),
        ("legacy notification", notification("{}"), None, "legacy"),
        ("answer", answer.clone(), None, "response"),
        ("failure", failure, Some("2025-11-25"), "response"),
        ("answer, modern", answer, modern, "400 -32600"),
        ("empty", String::new(), None, "400 -32700"),
        ("no JSON", "{".into(), None, "400 -32700"),
        ("no message", "{}".into(), None, "400 -32600"),
    ] {
        assert_eq!(name(&Inbound { protocol_version_header: header, ..post(&body) }), want, "{row}");
    }
}

#[test]
fn batches_belong_to_one_revision() {
    let list = request("tools/list", "{}");
    let quiet = notification("{}");
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let good = format!("[{list},\n{quiet},{answer}]");
    let negotiated = Some(Revision::V2025_03_26);
    for (row, body, session_revision, want) in [
        ("its session", good.clone(), negotiated, "batch"),
        ("a later session", good.clone(), Some(Revision::V2025_06_18), "400 -32600"),
        ("an earlier session", good.clone(), Some(Revision::V2024_11_05), "400 -32600"),
        ("no session", good, None, "400 -32600"),
        ("empty", "[]".into(), negotiated, "400 -32600"),
        ("modern element", format!("[{list},{}]", request("tools/list", MODERN)), negotiated, "400 -32600"),
        ("handshake", format!("[{}]", request("initialize", "{}")), negotiated, "400 -32600"),
        ("bad element", format!("[{list},1]"), negotiated, "400 -32600"),
        ("nested batch", format!("[[{list}]]"), negotiated, "400 -32600"),
        ("broken text", format!("[{list}"), negotiated, "400 -32700"),
    ] {
        assert_eq!(name(&Inbound { session_revision, ..post(&body) }), want, "{row}");
    }
}

#[test]
fn refusals_answer_the_request_they_refuse() {
    let body = request("tools/list", "{}");
    let inbound = Inbound { protocol_version_header: Some("2026-07-28"), ..post(&body) };
    let refusal = classify(&inbound).unwrap_err();
    assert_eq!((refusal.code, refusal.id), (Some(code::INVALID_PARAMS), Some(b"1".to_vec())));
    let refusal = classify(&post(r#"{"jsonrpc":"1.0","id":"x","method":"a"}"#)).unwrap_err();
    assert_eq!((refusal.code, refusal.id), (Some(code::INVALID_REQUEST), Some(b"\"x\"".to_vec())));
}

proptest! {
    #[test]
    fn any_bytes_get_a_class_or_a_refusal(body in proptest::collection::vec(any::<u8>(), 0..100)) {
        let inbound = Inbound { body: &body, ..post("") };
        if let Err(refusal) = classify(&inbound) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&refusal.body().unwrap()).is_ok());
        }
    }
}
