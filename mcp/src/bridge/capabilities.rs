//! [`ClientCapabilities`]: what a client declared, as text of either era.

use std::ops::Range;

use serde_json::{Value, json};

use super::edits::{Edits, joined, object, pair};
use super::limits::CAPABILITIES_LEN_MAX;
use super::message::Message;
use crate::object::{member, members};

/// The extension for long-running calls. It is the gateway's business, not the other side's.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// What passes from one era to the other.
const SHARED: [&str; 5] = ["sampling", "elicitation", "roots", "extensions", "experimental"];

/// The declaration, and what of it decides whether a server may ask something.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientCapabilities {
    raw: Box<[u8]>,
    pub form: bool,
    pub url: bool,
    pub sampling: bool,
    pub sampling_tools: bool,
    pub roots: bool,
    /// The modern extension for tasks.
    pub tasks: bool,
}

impl ClientCapabilities {
    /// `raw` is a JSON object. What is larger than anybody means it to be counts as empty.
    pub fn parse(raw: &[u8]) -> Self {
        let raw = if raw.len() > CAPABILITIES_LEN_MAX { b"{}" } else { raw };
        let all = 0..raw.len();
        let part = |of: Range<usize>, name| member(raw, of, name).filter(|at| raw[at.start] == b'{');
        let sampling = part(all.clone(), "sampling");
        let elicitation = part(all.clone(), "elicitation");
        let has = |of: &Option<Range<usize>>, name| of.clone().is_some_and(|of| part(of, name).is_some());
        let extensions = part(all.clone(), "extensions");
        let url = has(&elicitation, "url");
        Self {
            // An empty declaration means forms: it is older than the two modes.
            form: elicitation.is_some() && (!url || has(&elicitation, "form")),
            url,
            sampling: sampling.is_some(),
            sampling_tools: has(&sampling, "tools"),
            roots: part(all, "roots").is_some(),
            tasks: has(&extensions, TASKS_EXTENSION),
            raw: raw.into(),
        }
    }

    /// Those in the metadata of a modern request.
    pub fn of_modern(request: Message<'_>) -> Self {
        let declared = request.envelope().client_capabilities_range();
        Self::parse(declared.map_or(&b"{}"[..], |at| &request.bytes()[at]))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Whether a server may want something of the user: such a lane belongs to one principal.
    pub fn interactive(&self) -> bool {
        self.form || self.url || self.sampling || self.roots
    }

    /// Whether everything of the user that `wanted` names was declared, and that is something.
    pub fn covers(&self, wanted: &Self) -> bool {
        let asks = |of: &Self| [of.form, of.url, of.sampling, of.sampling_tools, of.roots, of.tasks];
        wanted.interactive() && asks(wanted).iter().zip(asks(self)).all(|(wanted, has)| has || !wanted)
    }

    /// As a legacy `initialize` says it. Roots may change, so that the gateway can have them asked again.
    pub fn to_legacy(&self) -> Vec<u8> {
        self.translated(br#"{"listChanged":true}"#)
    }

    /// As the metadata of a modern request says it. `tasks` adds the extension for long-running calls.
    pub fn to_modern(&self, tasks: bool) -> Vec<u8> {
        let translated = self.translated(b"{}");
        if !tasks {
            return translated;
        }
        let entry = pair(TASKS_EXTENSION, b"{}");
        let mut edits = Edits::new(&translated);
        match member(&translated, 0..translated.len(), "extensions") {
            Some(extensions) if translated[extensions.start] == b'{' => edits.members(extensions, &[], entry),
            _ => edits.members(0..translated.len(), &["extensions"], pair("extensions", &object(&entry))),
        }
        edits.apply().to_vec()
    }

    fn translated(&self, roots: &[u8]) -> Vec<u8> {
        let mut kept: Vec<Vec<u8>> = Vec::with_capacity(SHARED.len());
        for (name, at) in members(&self.raw, 0..self.raw.len()) {
            let value = &self.raw[at];
            match &*name {
                "roots" => kept.push(pair("roots", roots)),
                "extensions" if value.first() == Some(&b'{') => {
                    kept.push(pair("extensions", &without_tasks(value)));
                }
                name if SHARED.contains(&name) => kept.push(pair(name, value)),
                _ => {}
            }
        }
        let kept: Vec<&[u8]> = kept.iter().map(Vec::as_slice).collect();
        object(&joined(&kept))
    }

    /// Equal for clients to which a server looks the same: the key of a lane. Spelling and order of
    /// members do not count.
    pub fn fingerprint(&self) -> [u8; 32] {
        let text = self.to_legacy();
        let canonical = serde_json::from_slice(&text).map(|value| canonical(&value));
        *blake3::hash(&canonical.unwrap_or(text)).as_bytes()
    }
}

fn without_tasks(extensions: &[u8]) -> Vec<u8> {
    let mut edits = Edits::new(extensions);
    edits.members(0..extensions.len(), &[TASKS_EXTENSION], &b""[..]);
    edits.apply().to_vec()
}

/// One text for equal values: members by name, no whitespace.
pub(super) fn canonical(value: &Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            members.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The shape in which a missing capability is named.
pub fn required_tasks() -> Value {
    json!({ "extensions": { TASKS_EXTENSION: {} } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &Value) -> ClientCapabilities {
        ClientCapabilities::parse(value.to_string().as_bytes())
    }

    fn json_of(text: &[u8]) -> Value {
        serde_json::from_slice(text).unwrap()
    }

    #[test]
    fn modes_of_elicitation() {
        for (declared, form, url) in [
            (json!({}), false, false),
            (json!({ "elicitation": {} }), true, false),
            (json!({ "elicitation": { "form": {} } }), true, false),
            (json!({ "elicitation": { "url": {} } }), false, true),
            (json!({ "elicitation": { "form": {}, "url": {} } }), true, true),
            (json!({ "elicitation": null }), false, false),
        ] {
            let found = parse(&declared);
            assert_eq!((found.form, found.url), (form, url), "{declared}");
        }
    }

    #[test]
    fn eras_say_the_same_in_their_own_words() {
        let modern = parse(&json!({
            "roots": {}, "sampling": { "tools": {} }, "elicitation": {}, "unknown": 1,
            "extensions": { TASKS_EXTENSION: {}, "io.modelcontextprotocol/ui": { "mimeTypes": ["a"] } },
        }));
        assert!(modern.tasks && modern.sampling_tools && modern.interactive());
        let ui = json!({ "io.modelcontextprotocol/ui": { "mimeTypes": ["a"] } });
        assert_eq!(
            json_of(&modern.to_legacy()),
            json!({ "roots": { "listChanged": true }, "sampling": { "tools": {} }, "elicitation": {},
                    "extensions": ui })
        );
        let legacy = parse(&json!({ "roots": { "listChanged": true }, "tasks": { "list": {} } }));
        assert_eq!(json_of(&legacy.to_modern(false)), json!({ "roots": {} }));
        let with_tasks = json!({ "roots": {}, "extensions": { TASKS_EXTENSION: {} } });
        assert_eq!(json_of(&legacy.to_modern(true)), with_tasks);
        assert_eq!(json_of(&modern.to_modern(true))["extensions"][TASKS_EXTENSION], json!({}));
    }

    #[test]
    fn the_fingerprint_is_about_meaning() {
        let one = ClientCapabilities::parse(br#"{"sampling":{},"elicitation":{"form":{},"url":{}}}"#);
        let same = br#"{ "elicitation": {"url":{},"form":{}}, "sampling": {}, "extensions":{"x/y":{}} }"#;
        let other = ClientCapabilities::parse(same);
        assert_ne!(one.fingerprint(), other.fingerprint(), "an extension counts");
        let same = ClientCapabilities::parse(br#"{"elicitation":{"url":{},"form":{}}, "sampling": {} }"#);
        assert_eq!(one.fingerprint(), same.fingerprint());
        assert_eq!(
            ClientCapabilities::parse(b"{}").fingerprint(),
            ClientCapabilities::parse(br#"{"tasks":{}}"#).fingerprint()
        );
    }
}
