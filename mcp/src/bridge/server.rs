//! What a server says about itself: a handshake result of one era as the discovery of the other, and back.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::capabilities::TASKS_EXTENSION;
use super::edits::{Edits, joined, object, pair, quoted};
use super::message::Message;
use crate::envelope::META_SERVER_INFO;
use crate::json;
use crate::object::{member, member_text};
use crate::revision::Revision;

/// What a legacy server says that makes tasks of tool calls, and lists none.
const LEGACY_TASKS: &[u8] = br#""tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}"#;

/// What of a server's capabilities a bridge acts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ServerTraits {
    pub logging: bool,
    pub tools_changed: bool,
    pub prompts_changed: bool,
    pub resources_changed: bool,
    pub subscribe: bool,
    /// Legacy: `tools/call` may be asked for as a task. Modern: it may be answered with one.
    pub task_calls: bool,
}

impl ServerTraits {
    /// Whether a modern server's tasks are offered to a legacy client of this revision: older ones know none.
    pub fn offer_tasks(self, client: Revision) -> bool {
        self.task_calls && client >= Revision::V2025_11_25
    }
}

/// A server's own account of itself, in pieces of JSON text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerProfile {
    /// The revision a legacy server chose.
    pub revision: Revision,
    pub traits: ServerTraits,
    capabilities: Box<[u8]>,
    info: Option<Box<[u8]>>,
    instructions: Option<Box<[u8]>>,
}

impl ServerProfile {
    /// Reads the result of a legacy `initialize`; `None` if it is none.
    pub fn of_handshake(response: Message<'_>) -> Option<Self> {
        let info = response.result_member("serverInfo");
        Self::read(response, chosen(response)?, info)
    }

    /// Reads the result of `server/discover`; `None` if it is none.
    pub fn of_discovery(response: Message<'_>) -> Option<Self> {
        response.result_member("supportedVersions")?;
        let meta = response.envelope().result_meta_range();
        let info = meta.and_then(|meta| member(response.bytes(), meta, META_SERVER_INFO));
        let mut profile = Self::read(response, Revision::LATEST, info.map(|at| &response.bytes()[at]))?;
        profile.traits.task_calls = profile.has_extension(TASKS_EXTENSION);
        Some(profile)
    }

    fn has_extension(&self, name: &str) -> bool {
        let raw = &*self.capabilities;
        let extensions = member(raw, 0..raw.len(), "extensions").filter(|at| raw[at.start] == b'{');
        extensions.is_some_and(|extensions| member(raw, extensions, name).is_some())
    }

    fn read(response: Message<'_>, revision: Revision, info: Option<&[u8]>) -> Option<Self> {
        let capabilities = response.result_member("capabilities").filter(|raw| raw.first() == Some(&b'{'))?;
        let instructions = response.result_member("instructions").filter(|raw| raw.first() == Some(&b'"'));
        Some(Self {
            revision,
            traits: traits(capabilities),
            capabilities: capabilities.into(),
            info: info.filter(|raw| raw.first() == Some(&b'{')).map(Into::into),
            instructions: instructions.map(Into::into),
        })
    }

    /// `"io.modelcontextprotocol/serverInfo":{...}`; empty if the server did not say who it is.
    pub fn info_member(&self) -> Vec<u8> {
        self.info.as_deref().map_or_else(Vec::new, |info| pair(META_SERVER_INFO, info))
    }

    /// A legacy server as the result of `server/discover`. Without `notifications` the lane cannot hear
    /// of changes, and says so.
    pub fn discovery(&self, served: &[&str], notifications: bool) -> Vec<u8> {
        let versions: Vec<Vec<u8>> = served.iter().map(|version| quoted(version)).collect();
        let versions: Vec<&[u8]> = versions.iter().map(Vec::as_slice).collect();
        object(&joined(&[
            br#""resultType":"complete""#,
            &pair("supportedVersions", &[b"[", &*joined(&versions), b"]"].concat()),
            &pair("capabilities", &self.modern_capabilities(notifications)),
            &self.instructions.as_deref().map_or_else(Vec::new, |text| pair("instructions", text)),
            br#""ttlMs":0,"cacheScope":"private""#,
            &pair("_meta", &object(&self.info_member())),
        ]))
    }

    fn modern_capabilities(&self, notifications: bool) -> Bytes {
        let raw = &*self.capabilities;
        let part = |name| member(raw, 0..raw.len(), name).filter(|at| raw[at.start] == b'{');
        let mut edits = Edits::new(raw);
        if !notifications {
            for part in ["tools", "prompts", "resources"].into_iter().filter_map(part) {
                edits.members(part, &["listChanged", "subscribe"], &b""[..]);
            }
        }
        let tasks = if self.traits.task_calls { pair(TASKS_EXTENSION, b"{}") } else { Vec::new() };
        match part("extensions") {
            Some(extensions) => {
                edits.members(extensions, &[TASKS_EXTENSION], tasks);
                edits.members(0..raw.len(), &["tasks"], &b""[..]);
            }
            None if tasks.is_empty() => edits.members(0..raw.len(), &["tasks"], &b""[..]),
            None => {
                let extensions = pair("extensions", &object(&tasks));
                edits.members(0..raw.len(), &["tasks", "extensions"], extensions);
            }
        }
        edits.apply()
    }

    fn legacy_capabilities(&self, revision: Revision) -> Bytes {
        let raw = &*self.capabilities;
        let mut edits = Edits::new(raw);
        let extensions = member(raw, 0..raw.len(), "extensions").filter(|at| raw[at.start] == b'{');
        if let Some(extensions) = extensions {
            edits.members(extensions, &[TASKS_EXTENSION], &b""[..]);
        }
        let tasks: &[u8] = if self.traits.offer_tasks(revision) { LEGACY_TASKS } else { b"" };
        edits.members(0..raw.len(), &["tasks"], tasks);
        edits.apply()
    }

    /// A modern server as the result of `initialize`. `name` stands in for a server without one.
    pub fn handshake(&self, revision: Revision, name: &str) -> Vec<u8> {
        let synthetic = || object(&joined(&[&pair("name", &quoted(name)), br#""version":"unknown""#]));
        let info = self.info.as_deref().map_or_else(synthetic, <[u8]>::to_vec);
        object(&joined(&[
            &pair("protocolVersion", &quoted(revision.as_str())),
            &pair("capabilities", &self.legacy_capabilities(revision)),
            &pair("serverInfo", &info),
            &self.instructions.as_deref().map_or_else(Vec::new, |text| pair("instructions", text)),
        ]))
    }
}

fn traits(raw: &[u8]) -> ServerTraits {
    let part = |of: Range<usize>, name| member(raw, of, name).filter(|at| raw[at.start] == b'{');
    let all = 0..raw.len();
    let says = |name, flag| {
        let value = part(all.clone(), name).and_then(|of| member(raw, of, flag));
        value.is_some_and(|at| &raw[at] == b"true")
    };
    let task_calls = ["requests", "tools", "call"]
        .into_iter()
        .fold(part(all.clone(), "tasks"), |of, name| of.and_then(|of| part(of, name)));
    ServerTraits {
        logging: part(all.clone(), "logging").is_some(),
        tools_changed: says("tools", "listChanged"),
        prompts_changed: says("prompts", "listChanged"),
        resources_changed: says("resources", "listChanged"),
        subscribe: says("resources", "subscribe"),
        task_calls: task_calls.is_some(),
    }
}

/// The revision a legacy client gets: the one it asks for, if there is such a one.
pub fn negotiated(initialize: Message<'_>) -> Revision {
    let asked = initialize.envelope().params_range();
    let asked = asked.and_then(|params| member_text(initialize.bytes(), params, "protocolVersion"));
    let known = asked.and_then(|version| Revision::parse(&version));
    known.filter(|revision| Revision::LEGACY.contains(revision)).unwrap_or(Revision::LATEST_LEGACY)
}

/// The revision that a legacy server chose in its answer to `initialize`; `None` if it refused.
pub fn chosen(answer: Message<'_>) -> Option<Revision> {
    let version = answer.result_member("protocolVersion").and_then(json::text)?;
    // A revision nobody knows is most likely newer than the newest legacy one we know.
    Some(Revision::parse(&version).unwrap_or(Revision::LATEST_LEGACY))
}

/// That answer with another revision in it; `None` if it has this one.
pub fn with_revision(answer: Message<'_>, revision: Revision) -> Option<Bytes> {
    let result = answer.envelope().result_range()?;
    let version = member(answer.bytes(), result, "protocolVersion")?;
    let quoted = quoted(revision.as_str());
    if answer.bytes()[version.clone()] == quoted[..] {
        return None;
    }
    let mut edits = Edits::new(answer.bytes());
    edits.replace(version, quoted);
    Some(edits.apply())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::message::Owned;
    use super::*;

    fn response(result: Value) -> Owned {
        Owned::scan(json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string()).unwrap()
    }

    #[test]
    fn a_handshake_becomes_a_discovery() {
        let told = response(json!({
            "protocolVersion": "2025-06-18",
            "capabilities": { "tools": { "listChanged": true }, "resources": { "subscribe": true, "x": 1 },
                              "logging": {}, "tasks": { "requests": { "tools": { "call": {} } } } },
            "serverInfo": { "name": "s", "version": "1" },
            "instructions": "be kind",
        }));
        let profile = ServerProfile::of_handshake(told.lend()).unwrap();
        assert_eq!(profile.revision, Revision::V2025_06_18);
        let traits = profile.traits;
        assert!(traits.tools_changed && traits.subscribe && traits.logging && traits.task_calls);
        assert!(!traits.prompts_changed);
        let found: Value = serde_json::from_slice(&profile.discovery(&["2026-07-28"], true)).unwrap();
        assert_eq!(found["supportedVersions"], json!(["2026-07-28"]));
        assert_eq!(found["capabilities"].get("tasks"), None);
        assert_eq!(found["capabilities"]["extensions"], json!({ TASKS_EXTENSION: {} }));
        assert_eq!(found["capabilities"]["tools"]["listChanged"], true);
        assert_eq!(found["_meta"][META_SERVER_INFO]["name"], "s");
        assert_eq!((&found["ttlMs"], &found["cacheScope"]), (&json!(0), &json!("private")));
        let deaf: Value = serde_json::from_slice(&profile.discovery(&["2026-07-28"], false)).unwrap();
        assert_eq!(
            deaf["capabilities"],
            json!({ "extensions": { TASKS_EXTENSION: {} }, "tools": {}, "resources": { "x": 1 }, "logging": {} })
        );
    }

    #[test]
    fn a_handshake_is_told_with_another_revision() {
        let told = response(json!({ "protocolVersion": "2025-11-25", "capabilities": {} }));
        assert_eq!(chosen(told.lend()), Some(Revision::V2025_11_25));
        assert_eq!(with_revision(told.lend(), Revision::V2025_11_25), None);
        let older = with_revision(told.lend(), Revision::V2024_11_05).unwrap();
        let older = Owned::scan(older).unwrap();
        assert_eq!(chosen(older.lend()), Some(Revision::V2024_11_05));
        assert_eq!(older.lend().result_member("capabilities"), Some(&b"{}"[..]));
        let strange = response(json!({ "protocolVersion": "2025-12-31" }));
        assert_eq!(chosen(strange.lend()), Some(Revision::LATEST_LEGACY));
        assert_eq!(chosen(response(json!({})).lend()), None);
    }

    #[test]
    fn a_discovery_becomes_a_handshake() {
        let told = response(json!({
            "supportedVersions": ["2026-07-28"], "resultType": "complete",
            "capabilities": { "extensions": { TASKS_EXTENSION: {}, "a/b": {} } },
        }));
        let profile = ServerProfile::of_discovery(told.lend()).unwrap();
        let shaken: Value = serde_json::from_slice(&profile.handshake(Revision::V2025_03_26, "b")).unwrap();
        assert_eq!(
            shaken,
            json!({ "protocolVersion": "2025-03-26", "capabilities": { "extensions": { "a/b": {} } },
                    "serverInfo": { "name": "b", "version": "unknown" } })
        );
        let newest: Value = serde_json::from_slice(&profile.handshake(Revision::V2025_11_25, "b")).unwrap();
        let tasks = json!({ "cancel": {}, "requests": { "tools": { "call": {} } } });
        assert_eq!(newest["capabilities"], json!({ "tasks": tasks, "extensions": { "a/b": {} } }));
        assert_eq!(ServerProfile::of_handshake(told.lend()), None);
        assert_eq!(ServerProfile::of_discovery(response(json!([])).lend()), None);
    }
}
