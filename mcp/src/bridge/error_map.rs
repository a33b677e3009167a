//! A server's error in the words of the other era.

use std::borrow::Cow;

use bytes::Bytes;

use super::capabilities::ClientCapabilities;
use super::edits::{Edits, joined, object, pair, quoted};
use super::failure::Reason;
use super::message::Message;
use crate::json;
use crate::methods;
use crate::object::member;
use crate::refusal::{code, error_response};
use crate::splice;

/// An error and the HTTP status that a modern client expects it under.
pub struct ModernError {
    pub status: u16,
    pub message: Bytes,
}

/// A legacy server's error for a modern client, who has `declared` what it can be asked. `uri` is what a
/// `resources/read` asked for.
pub fn to_modern(
    error: Message<'_>,
    method: &str,
    id: &[u8],
    uri: Option<&str>,
    declared: &ClientCapabilities,
) -> ModernError {
    let answer = |status, message| ModernError { status, message };
    match code_of(error) {
        Some(code::METHOD_NOT_FOUND) => answer(404, same(error, id)),
        // A function is promised nothing that cannot leave it, whatever the client can do.
        Some(code::INVALID_PARAMS | code::MISSING_CAPABILITY) if is_declared(error, declared) => {
            answer(200, unasked(error, id))
        }
        Some(code::MISSING_CAPABILITY) => answer(400, same(error, id)),
        // As [`to_legacy`] says it, and other servers that lack a code for it.
        Some(code::INVALID_PARAMS) if names_capabilities(error) => {
            let data = error.error_member("data").unwrap_or(b"null");
            answer(400, recoded(error, id, code::MISSING_CAPABILITY, data))
        }
        Some(code::RESOURCE_NOT_FOUND) if method == methods::RESOURCES_READ => {
            answer(200, recoded(error, id, code::INVALID_PARAMS, &with_uri(error, uri)))
        }
        Some(code) if is_about_our_message(code) => answer(200, violation(error, code, id)),
        _ => answer(200, same(error, id)),
    }
}

/// A modern server's error for a legacy client.
pub fn to_legacy(error: Message<'_>, method: &str, id: &[u8]) -> Bytes {
    match code_of(error) {
        Some(code::INVALID_PARAMS) if method == methods::RESOURCES_READ && data_uri(error) => {
            recoded(error, id, code::RESOURCE_NOT_FOUND, error.error_member("data").unwrap_or(b"null"))
        }
        Some(code::MISSING_CAPABILITY) => {
            recoded(error, id, code::INVALID_PARAMS, error.error_member("data").unwrap_or(b"null"))
        }
        Some(code) if is_about_our_message(code) => violation(error, code, id),
        _ => same(error, id),
    }
}

/// The code, if it is one that fits.
pub fn code_of(error: Message<'_>) -> Option<i32> {
    error.envelope().error_code().and_then(|code| i32::try_from(code).ok())
}

/// What these blame is what the gateway sent; the client can do nothing about it.
fn is_about_our_message(code: i32) -> bool {
    matches!(
        code,
        code::PARSE_ERROR | code::INVALID_REQUEST | code::HEADER_MISMATCH | code::UNSUPPORTED_VERSION
    )
}

fn violation(error: Message<'_>, code: i32, id: &[u8]) -> Bytes {
    // Servers say this also of what their own tool did, such as asking where nobody can be asked.
    let what = if code == code::INVALID_REQUEST { "the call" } else { "what the gateway sent" };
    let said = text(error).unwrap_or_default();
    Reason::ProtocolViolation.answer(id, &format!("the backend refused {what}: {said}"))
}

fn unasked(error: Message<'_>, id: &[u8]) -> Bytes {
    let said = text(error).unwrap_or_default();
    let text = format!("the backend does not know that the client can be asked: {said}");
    error_response(id, code::INTERNAL_ERROR, &text, None).into()
}

fn text(error: Message<'_>) -> Option<Cow<'_, str>> {
    json::text(error.error_member("message")?)
}

fn same(error: Message<'_>, id: &[u8]) -> Bytes {
    if error.envelope().id_range().is_some() {
        return splice::with_id(error.bytes(), error.envelope(), id);
    }
    // Servers leave out an id that they could not read.
    let code = code_of(error).unwrap_or(code::INTERNAL_ERROR);
    recoded(error, id, code, error.error_member("data").unwrap_or(b"null"))
}

/// The same words under another code.
fn recoded(error: Message<'_>, id: &[u8], code: i32, data: &[u8]) -> Bytes {
    let code = code.to_string();
    let said = text(error).map_or_else(|| quoted("unknown error"), |said| quoted(&said));
    let error = joined(&[&pair("code", code.as_bytes()), &pair("message", &said), &pair("data", data)]);
    object(&joined(&[br#""jsonrpc":"2.0""#, &pair("id", id), &pair("error", &object(&error))])).into()
}

/// The data of the error, with the URI that was asked for in it.
fn with_uri(error: Message<'_>, uri: Option<&str>) -> Vec<u8> {
    let uri = uri.map_or_else(|| b"null".to_vec(), quoted);
    match error.error_member("data") {
        Some(data) if data.first() == Some(&b'{') => {
            let mut edits = Edits::new(data);
            if member(data, 0..data.len(), "uri").is_none() {
                edits.members(0..data.len(), &[], pair("uri", &uri));
            }
            edits.apply().to_vec()
        }
        _ => object(&pair("uri", &uri)),
    }
}

fn names_capabilities(error: Message<'_>) -> bool {
    required_capabilities(error).is_some()
}

fn is_declared(error: Message<'_>, declared: &ClientCapabilities) -> bool {
    required_capabilities(error).is_some_and(|required| declared.covers(&ClientCapabilities::parse(required)))
}

fn required_capabilities(error: Message<'_>) -> Option<&[u8]> {
    let data = error.error_member("data")?;
    member(data, 0..data.len(), "requiredCapabilities")
        .filter(|at| data[at.start] == b'{')
        .map(|at| &data[at])
}

fn data_uri(error: Message<'_>) -> bool {
    error.error_member("data").is_some_and(|data| member(data, 0..data.len(), "uri").is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::message::Owned;
    use super::*;

    fn error(code: i64, data: &Value) -> Owned {
        let error = json!({ "code": code, "message": "m", "data": data });
        Owned::scan(json!({ "jsonrpc": "2.0", "id": 9, "error": error }).to_string()).unwrap()
    }

    fn parse(bytes: &Bytes) -> Value {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(value["id"], 1);
        value["error"].clone()
    }

    /// For a client that declared nothing.
    fn modern(told: &Owned) -> Bytes {
        to_modern(told.lend(), "x", b"1", None, &ClientCapabilities::default()).message
    }

    #[test]
    fn who_declared_what_is_wanted_is_not_told_that_it_did_not() {
        let told = error(-32602, &json!({ "requiredCapabilities": { "elicitation": {} } }));
        for (declared, code) in
            [(r#"{"elicitation":{"form":{},"url":{}}}"#, -32603), (r#"{"elicitation":{"url":{}}}"#, -32021)]
        {
            let declared = ClientCapabilities::parse(declared.as_bytes());
            let answer = parse(&to_modern(told.lend(), "x", b"1", None, &declared).message);
            assert_eq!(answer["code"], code, "{answer}");
        }
    }

    #[test]
    fn every_row_for_modern_clients() {
        let read = methods::RESOURCES_READ;
        for (method, from, data, status, to, want) in [
            ("x", -32601, json!(1), 404, -32601, json!(1)),
            ("x", -32602, json!(1), 200, -32602, json!(1)),
            (
                "x",
                -32602,
                json!({ "requiredCapabilities": {} }),
                400,
                -32021,
                json!({ "requiredCapabilities": {} }),
            ),
            (read, -32002, json!({ "k": 1 }), 200, -32602, json!({ "uri": "u", "k": 1 })),
            (read, -32002, json!({ "uri": "v" }), 200, -32602, json!({ "uri": "v" })),
            (read, -32002, json!("text"), 200, -32602, json!({ "uri": "u" })),
            ("x", -32002, json!(1), 200, -32002, json!(1)),
            ("x", -32600, json!(1), 200, -32603, json!({ "reason": "protocol_violation" })),
            ("x", -32700, json!(1), 200, -32603, json!({ "reason": "protocol_violation" })),
            ("x", -32020, json!(1), 200, -32603, json!({ "reason": "protocol_violation" })),
            ("x", -32022, json!(1), 200, -32603, json!({ "reason": "protocol_violation" })),
            ("x", -32021, json!(1), 400, -32021, json!(1)),
            ("x", -32005, json!(1), 200, -32005, json!(1)),
            ("x", 99_999_999_999, json!(1), 200, 99_999_999_999_i64, json!(1)),
        ] {
            let told = error(from, &data);
            let answer = to_modern(told.lend(), method, b"1", Some("u"), &ClientCapabilities::default());
            let found = parse(&answer.message);
            assert_eq!(
                (answer.status, &found["code"], &found["data"]),
                (status, &json!(to), &want),
                "{from}"
            );
        }
    }

    #[test]
    fn an_error_without_an_id_gets_the_clients() {
        let told = Owned::scan(r#"{"jsonrpc":"2.0","error":{"code":-32005,"message":"m"}}"#).unwrap();
        let found = [modern(&told), to_legacy(told.lend(), "x", b"1")];
        for answer in found.iter().map(parse) {
            assert_eq!((&answer["code"], &answer["message"]), (&json!(-32005), &json!("m")));
        }
    }

    #[test]
    fn who_is_blamed_is_who_may_be_to_blame() {
        for (code, said) in [
            (-32600, "the backend refused the call: m"),
            (-32020, "the backend refused what the gateway sent: m"),
        ] {
            let told = error(code, &json!({}));
            let answers = [modern(&told), to_legacy(told.lend(), "x", b"1")];
            assert!(answers.iter().map(parse).all(|found| found["message"] == said), "{code}");
        }
    }

    #[test]
    fn every_row_for_legacy_clients() {
        let read = methods::RESOURCES_READ;
        for (method, from, data, to, want) in [
            (read, -32602, json!({ "uri": "u" }), -32002, json!({ "uri": "u" })),
            (read, -32602, json!({}), -32602, json!({})),
            ("x", -32602, json!({ "uri": "u" }), -32602, json!({ "uri": "u" })),
            ("x", -32601, json!(1), -32601, json!(1)),
            (
                "x",
                -32021,
                json!({ "requiredCapabilities": {} }),
                -32602,
                json!({ "requiredCapabilities": {} }),
            ),
            ("x", -32020, json!(1), -32603, json!({ "reason": "protocol_violation" })),
            ("x", -32022, json!(1), -32603, json!({ "reason": "protocol_violation" })),
            ("x", 7, json!(1), 7, json!(1)),
        ] {
            let found = parse(&to_legacy(error(from, &data).lend(), method, b"1"));
            assert_eq!((&found["code"], &found["data"]), (&json!(to), &want), "{from}");
        }
    }
}
