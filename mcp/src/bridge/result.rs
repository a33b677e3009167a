//! A server's result in the words of the other era.

use std::ops::Range;

use bytes::Bytes;

use super::edits::{Edits, joined, object, pair, quoted};
use super::message::Message;
use super::question::META_RELATED_TASK;
use crate::admit::check_annotations;
use crate::envelope::META_SERVER_INFO;
use crate::methods;
use crate::object::{elements, member, member_text};

/// Members that only modern results have.
const MODERN_MEMBERS: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];

/// A legacy server's result for a modern client. `info` is the `_meta` member that names the server; it
/// may be empty. `None` if the result is no object.
pub fn to_modern(response: Message<'_>, method: &str, id: &[u8], info: &[u8]) -> Option<Bytes> {
    let result = response.result_object()?;
    let mut edits = begin(response, id);
    let cacheable = methods::CACHEABLE.contains(&method);
    let cache: &[u8] = if cacheable { br#""ttlMs":0,"cacheScope":"private""# } else { b"" };
    let mut added = joined(&[br#""resultType":"complete""#, cache]);
    let mut removed: &[&str] = if cacheable { &MODERN_MEMBERS } else { &MODERN_MEMBERS[..1] };
    match response.envelope().result_meta_range() {
        Some(meta) => edits.members(meta, &[META_SERVER_INFO, META_RELATED_TASK], info.to_vec()),
        None if info.is_empty() => {}
        None => {
            removed = if cacheable {
                &["resultType", "ttlMs", "cacheScope", "_meta"]
            } else {
                &["resultType", "_meta"]
            };
            added = joined(&[&added, &pair("_meta", &object(info))]);
        }
    }
    edits.members(result.clone(), removed, added);
    if method == methods::TOOLS_LIST {
        each_tool(response, result, |tool| edits.members(tool, &["execution"], &b""[..]));
    }
    Some(edits.apply())
}

/// A modern server's complete result for a legacy client. `None` if the result is no object.
pub fn to_legacy(response: Message<'_>, method: &str, id: &[u8]) -> Option<Bytes> {
    let result = response.result_object()?;
    let bytes = response.bytes();
    let mut edits = begin(response, id);
    if let Some(meta) = response.envelope().result_meta_range() {
        edits.members(meta, &[META_SERVER_INFO], &b""[..]);
    }
    let mut removed =
        if methods::CACHEABLE.contains(&method) { MODERN_MEMBERS.to_vec() } else { vec!["resultType"] };
    let structured = member(bytes, result.clone(), "structuredContent");
    let mut added = Vec::new();
    if let Some(value) = structured.filter(|at| method == methods::TOOLS_CALL && bytes[at.start] != b'{') {
        removed.push("structuredContent");
        added = ensure_text(&mut edits, bytes, &result, &bytes[value]);
    }
    edits.members(result.clone(), &removed, added);
    if method == methods::TOOLS_LIST {
        each_tool(response, result, |tool| {
            let schema = member(bytes, tool.clone(), "outputSchema");
            if schema.is_some_and(|schema| !describes_object(bytes, schema)) {
                edits.members(tool, &["outputSchema"], &b""[..]);
            }
        });
    }
    Some(edits.apply())
}

/// A list of tools without those that must not be offered over HTTP: they say wrongly which arguments are
/// repeated in headers.
pub fn with_good_headers(response: Message<'_>) -> Option<Bytes> {
    let bytes = response.bytes();
    let tools = member(bytes, response.result_object()?, "tools").filter(|at| bytes[at.start] == b'[')?;
    let mut edits = Edits::new(bytes);
    edits.retain(tools, |tool| check_annotations(&bytes[tool]).is_ok());
    (!edits.is_empty()).then(|| edits.apply())
}

/// A list of tools of which each may be called as a task, if it says nothing of that itself.
pub fn with_task_support(response: Message<'_>) -> Option<Bytes> {
    let bytes = response.bytes();
    let mut edits = Edits::new(bytes);
    each_tool(response, response.result_object()?, |tool| {
        if member(bytes, tool.clone(), "execution").is_none() {
            edits.members(tool, &[], br#""execution":{"taskSupport":"optional"}"#);
        }
    });
    (!edits.is_empty()).then(|| edits.apply())
}

/// A result that says which task it is of.
pub fn of_task(response: Message<'_>, id: &[u8]) -> Option<Bytes> {
    let mut edits = Edits::new(response.bytes());
    let related = pair(META_RELATED_TASK, &object(&pair("taskId", id)));
    match response.envelope().result_meta_range() {
        Some(meta) => edits.members(meta, &[META_RELATED_TASK], related),
        None => edits.members(response.result_object()?, &["_meta"], pair("_meta", &object(&related))),
    }
    Some(edits.apply())
}

/// Makes sure that a tool result says in words what its structured content says: the block goes behind the
/// others. Without any content it is returned as the member to add.
pub(super) fn ensure_text(
    edits: &mut Edits<'_>,
    bytes: &[u8],
    result: &Range<usize>,
    structured: &[u8],
) -> Vec<u8> {
    let said = String::from_utf8_lossy(structured);
    let block = object(&joined(&[br#""type":"text""#, &pair("text", &quoted(&said))]));
    match member(bytes, result.clone(), "content").filter(|at| bytes[at.start] == b'[') {
        Some(content) => {
            let kind = |at| member_text(bytes, at, "type");
            if !elements(bytes, content.clone()).any(|at| kind(at).as_deref() == Some("text")) {
                edits.append(content, block);
            }
            Vec::new()
        }
        None => pair("content", &[b"[", &*block, b"]"].concat()),
    }
}

fn begin<'a>(response: Message<'a>, id: &[u8]) -> Edits<'a> {
    let mut edits = Edits::new(response.bytes());
    if let Some(at) = response.envelope().id_range() {
        edits.replace(at, id.to_vec());
    }
    edits
}

/// Calls `f` with the place of each tool in a list.
pub(super) fn each_tool(response: Message<'_>, result: Range<usize>, mut f: impl FnMut(Range<usize>)) {
    let bytes = response.bytes();
    let Some(tools) = member(bytes, result, "tools").filter(|at| bytes[at.start] == b'[') else {
        return;
    };
    elements(bytes, tools).filter(|at| bytes[at.start] == b'{').for_each(&mut f);
}

/// The legacy schema of a tool fixes `type: "object"`; strict clients reject the whole list otherwise.
fn describes_object(bytes: &[u8], schema: Range<usize>) -> bool {
    bytes[schema.start] == b'{' && member_text(bytes, schema, "type").as_deref() == Some("object")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::message::Owned;
    use super::*;

    fn response(result: Value) -> Owned {
        Owned::scan(json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string()).unwrap()
    }

    fn modern(method: &str, result: Value) -> Value {
        let info = pair(META_SERVER_INFO, br#"{"name":"s"}"#);
        let text = to_modern(response(result).lend(), method, b"\"c\"", &info).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["id"], "c");
        value["result"].take()
    }

    fn legacy(method: &str, result: Value) -> Value {
        let text = to_legacy(response(result).lend(), method, b"\"c\"").unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        value["result"].take()
    }

    #[test]
    fn results_get_their_type_their_server_and_their_age() {
        let server = json!({ META_SERVER_INFO: { "name": "s" } });
        assert_eq!(
            modern("tools/call", json!({ "content": [], "ttlMs": 5 })),
            json!({ "content": [], "ttlMs": 5, "resultType": "complete", "_meta": server })
        );
        assert_eq!(
            modern(
                "resources/read",
                json!({ "contents": [], "ttlMs": 5, "_meta": { "k": 1, META_RELATED_TASK: 1 } })
            ),
            json!({ "contents": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                    "_meta": { "k": 1, META_SERVER_INFO: { "name": "s" } } })
        );
        let tools = json!({ "tools": [{ "name": "a", "execution": { "taskSupport": "required" } }, 5, { "name": "b" }] });
        assert_eq!(modern("tools/list", tools)["tools"], json!([{ "name": "a" }, 5, { "name": "b" }]));
        assert_eq!(to_modern(response(json!([1])).lend(), "x", b"1", b""), None);
    }

    #[test]
    fn results_lose_what_legacy_clients_do_not_know() {
        assert_eq!(
            legacy(
                "tools/list",
                json!({ "resultType": "complete", "ttlMs": 1, "cacheScope": "public",
                "tools": [{ "outputSchema": { "type": "array" }, "name": "a" }, { "outputSchema": { "type": "object" } }],
                "_meta": { META_SERVER_INFO: {}, "k": 1 } })
            ),
            json!({ "tools": [{ "name": "a" }, { "outputSchema": { "type": "object" } }], "_meta": { "k": 1 } })
        );
    }

    #[test]
    fn tools_with_bad_headers_are_left_out() {
        let tool = |name: &str, header: &str| {
            let region = json!({ "type": "string", "x-mcp-header": header });
            json!({ "name": name, "inputSchema": { "type": "object", "properties": { "region": region } } })
        };
        let told = response(json!({ "tools": [tool("good", "Region"), tool("bad", "My Region"), 5] }));
        let listed: Value = serde_json::from_slice(&with_good_headers(told.lend()).unwrap()).unwrap();
        assert_eq!(listed["result"]["tools"], json!([tool("good", "Region"), 5]));
        let told = response(json!({ "tools": [tool("good", "Region")] }));
        assert_eq!(with_good_headers(told.lend()), None);
    }

    #[test]
    fn tools_may_be_tasks_and_results_are_of_one() {
        let told = response(json!({ "tools": [{ "name": "a" }, { "name": "b", "execution": {} }, 5] }));
        let listed: Value = serde_json::from_slice(&with_task_support(told.lend()).unwrap()).unwrap();
        let optional = json!({ "name": "a", "execution": { "taskSupport": "optional" } });
        assert_eq!(listed["result"]["tools"], json!([optional, { "name": "b", "execution": {} }, 5]));
        for (result, meta) in [(json!({}), json!({})), (json!({ "_meta": { "k": 1 } }), json!({ "k": 1 }))] {
            let told: Value =
                serde_json::from_slice(&of_task(response(result).lend(), br#""t""#).unwrap()).unwrap();
            let mut want = meta;
            want[META_RELATED_TASK] = json!({ "taskId": "t" });
            assert_eq!(told["result"]["_meta"], want);
        }
    }

    #[test]
    fn structured_content_of_any_shape_is_said_in_words() {
        for (result, want) in [
            (
                json!({ "structuredContent": [1, "a"], "content": [{ "type": "image" }], "resultType": "complete" }),
                json!({ "content": [{ "type": "image" }, { "type": "text", "text": r#"[1,"a"]"# }] }),
            ),
            (
                json!({ "structuredContent": 5, "content": [{ "type": "text", "text": "five" }] }),
                json!({ "content": [{ "type": "text", "text": "five" }] }),
            ),
            (
                json!({ "structuredContent": null }),
                json!({ "content": [{ "type": "text", "text": "null" }] }),
            ),
            (
                json!({ "structuredContent": { "a": 1 }, "content": [] }),
                json!({ "structuredContent": { "a": 1 }, "content": [] }),
            ),
        ] {
            assert_eq!(legacy("tools/call", result), want);
        }
    }
}
