//! One entry of a list, as clients of the aggregate see it. What is not named here stays byte for byte,
//! schemas above all.

use std::ops::Range;

use bytes::Bytes;

use super::list::List;
use super::{names, uris};
use crate::bridge::edits::{Edits, quoted};
use crate::object::{member, member_text};
use crate::revision::Era;

/// An entry on its way from a server of one era to a client of another.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    pub backend: &'a str,
    pub from: Era,
    pub to: Era,
}

/// What the backend calls an entry; `None` if it lacks a name.
pub fn key(list: List, raw: &[u8]) -> Option<String> {
    member_text(raw, 0..raw.len(), list.key()).map(|key| key.into_owned())
}

/// What clients call an entry that its backend calls `key`.
pub fn exposed_key(list: List, backend: &str, key: &str) -> String {
    match list {
        List::Tools | List::Prompts => names::exposed(backend, key),
        List::Resources | List::Templates => uris::exposed(backend, key),
    }
}

/// The entry for clients, who call it `exposed`. `None` if it lacks a name.
pub fn shown(list: List, way: Way<'_>, raw: &[u8], exposed: &str) -> Option<Bytes> {
    let mut edits = Edits::new(raw);
    edits.replace(member(raw, 0..raw.len(), list.key())?, quoted(exposed));
    if list == List::Tools {
        if let Some(meta) = member(raw, 0..raw.len(), "_meta") {
            ui_references(&mut edits, raw, meta, way.backend);
        }
        match (way.from, way.to) {
            (Era::Legacy, Era::Modern) => remove(&mut edits, raw, "execution"),
            (Era::Modern, Era::Legacy) if !describes_object(raw) => remove(&mut edits, raw, "outputSchema"),
            _ => {}
        }
    }
    Some(edits.apply())
}

/// The resource that shows a tool's result (MCP Apps): `_meta.ui.resourceUri`, and its older flat form.
pub(super) fn ui_references<'a>(edits: &mut Edits<'a>, src: &'a [u8], meta: Range<usize>, backend: &str) {
    let ui = member(src, meta.clone(), "ui");
    let nested = ui.and_then(|ui| member(src, ui, "resourceUri"));
    for at in nested.into_iter().chain(member(src, meta, "ui/resourceUri")) {
        if let Some(uri) = crate::json::text(&src[at.clone()]) {
            edits.replace(at, quoted(&uris::exposed(backend, &uri)));
        }
    }
}

/// Every member called `name` of the entry; the key, which is replaced, is never one of them.
fn remove(edits: &mut Edits<'_>, raw: &[u8], name: &str) {
    if member(raw, 0..raw.len(), name).is_some() {
        edits.members(0..raw.len(), &[name], &b""[..]);
    }
}

/// Legacy clients refuse a whole list for one output schema of another type.
fn describes_object(raw: &[u8]) -> bool {
    let schema = member(raw, 0..raw.len(), "outputSchema");
    schema.is_none_or(|schema| member_text(raw, schema, "type").as_deref() == Some("object"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn show(list: List, from: Era, to: Era, item: &Value) -> Value {
        let raw = item.to_string();
        let key = key(list, raw.as_bytes()).unwrap();
        let exposed = exposed_key(list, "b", &key);
        serde_json::from_slice(
            &shown(list, Way { backend: "b", from, to }, raw.as_bytes(), &exposed).unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn references_follow_and_eras_are_respected() {
        let tool = json!({ "name": "t", "execution": {}, "outputSchema": { "type": "array" },
            "_meta": { "ui": { "resourceUri": "ui://x", "k": 1 }, "ui/resourceUri": "ui://x" } });
        let mut want = json!({ "name": "b__t", "execution": {}, "outputSchema": { "type": "array" },
            "_meta": { "ui": { "resourceUri": "ui://b+x", "k": 1 }, "ui/resourceUri": "ui://b+x" } });
        assert_eq!(show(List::Tools, Era::Legacy, Era::Legacy, &tool), want);
        let without = |name: &str, mut value: Value| {
            value.as_object_mut().unwrap().remove(name);
            value
        };
        assert_eq!(show(List::Tools, Era::Legacy, Era::Modern, &tool), without("execution", want.clone()));
        want = without("outputSchema", want);
        assert_eq!(show(List::Tools, Era::Modern, Era::Legacy, &tool), want);
    }

    #[test]
    fn each_list_has_its_key() {
        for (list, item, want) in [
            (List::Prompts, json!({ "name": "p" }), json!({ "name": "b__p" })),
            (
                List::Resources,
                json!({ "uri": "x://y", "name": "n" }),
                json!({ "uri": "b+x://y", "name": "n" }),
            ),
            (List::Templates, json!({ "uriTemplate": "x://{y}" }), json!({ "uriTemplate": "b+x://{y}" })),
        ] {
            assert_eq!(show(list, Era::Modern, Era::Legacy, &item), want);
        }
        assert_eq!(key(List::Tools, br#"{"uri":"x"}"#), None);
        assert_eq!(key(List::Tools, b"[]"), None);
    }

    #[test]
    fn what_is_not_named_stays_byte_for_byte() {
        let raw = br#"{ "inputSchema" : {"a":1.0,"a":2} , "name" : "t" }"#;
        let way = Way { backend: "b", from: Era::Legacy, to: Era::Legacy };
        let shown = shown(List::Tools, way, raw, "b__t").unwrap();
        assert_eq!(shown, &br#"{ "inputSchema" : {"a":1.0,"a":2} , "name" : "b__t" }"#[..]);
    }
}
