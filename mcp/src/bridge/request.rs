//! A client's request in the words of the other era.

use bytes::Bytes;

use super::edits::{Edits, joined, object, pair, quoted};
use super::level::Level;
use super::limits::TASK_TTL_MS;
use super::message::Message;
use crate::envelope::{
    META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION, META_SUBSCRIPTION_ID,
};
use crate::methods;
use crate::revision::Revision;

/// `_meta` keys that make a request a modern one.
const MODERN_META: [&str; 5] =
    [META_PROTOCOL_VERSION, META_CLIENT_INFO, META_CLIENT_CAPABILITIES, META_LOG_LEVEL, META_SUBSCRIPTION_ID];

/// How a request goes to a legacy server.
#[derive(Clone, Copy, Debug)]
pub struct ToLegacy {
    pub id: u64,
    /// Stands for the client's progress token, if it wants progress.
    pub token: u64,
    pub task: TaskWish,
    pub server: Revision,
}

/// Whether a call asks for a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskWish {
    None,
    /// The tool is offered in no other way; the task is over with the call.
    Driven,
    /// Its client looks at it, and may take its time.
    Handed,
}

impl TaskWish {
    fn member(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Driven => br#""task":{}"#.to_vec(),
            Self::Handed => pair("task", &object(&pair("ttl", TASK_TTL_MS.to_string().as_bytes()))),
        }
    }
}

/// A modern client's request without what makes it modern.
pub fn to_legacy(request: Message<'_>, how: ToLegacy) -> Bytes {
    let (bytes, envelope) = (request.bytes(), request.envelope());
    let mut edits = Edits::new(bytes);
    if let Some(id) = envelope.id_range() {
        edits.replace(id, how.id.to_string().into_bytes());
    }
    // In a notification about progress the token is the client's to choose.
    if let Some(token) = envelope.progress_token_range().filter(|_| envelope.id_range().is_some()) {
        edits.replace(token, how.token.to_string().into_bytes());
    }
    if let Some(meta) = envelope.meta_range() {
        edits.members(meta, &MODERN_META, &b""[..]);
    }
    if let Some(params) = envelope.params_range() {
        edits.members(params, unknown_to_legacy(request.method(), how.server), how.task.member());
    }
    edits.apply()
}

fn unknown_to_legacy(method: &str, server: Revision) -> &'static [&'static str] {
    match method {
        method if methods::is_multi_round_trip(method) => &["inputResponses", "requestState", "task"],
        methods::COMPLETION_COMPLETE if server < Revision::V2025_06_18 => &["context"],
        _ => &[],
    }
}

/// What each request of a legacy client says of it, so that a modern server may know.
#[derive(Clone, Copy, Debug)]
pub struct ClientMeta<'a> {
    /// A JSON object.
    pub info: &'a [u8],
    /// A JSON object.
    pub capabilities: &'a [u8],
    /// None if the server has no log to send.
    pub level: Option<Level>,
}

impl ClientMeta<'_> {
    fn members(&self) -> Vec<u8> {
        let version = pair(META_PROTOCOL_VERSION, &quoted(Revision::LATEST.as_str()));
        let level = self.level.map(|level| pair(META_LOG_LEVEL, &quoted(level.as_str())));
        joined(&[
            &version,
            &pair(META_CLIENT_INFO, self.info),
            &pair(META_CLIENT_CAPABILITIES, self.capabilities),
            &level.unwrap_or_default(),
        ])
    }

    /// Parameters of a request of the gateway's own. `members` are those besides `_meta`.
    pub fn params(&self, members: &[u8]) -> Vec<u8> {
        object(&joined(&[members, &pair("_meta", &object(&self.members()))]))
    }
}

/// What a round of a call adds to the request; all JSON text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round<'a> {
    /// The value of `inputResponses`.
    pub responses: Option<&'a [u8]>,
    /// The value of `requestState`, as the server spelled it.
    pub state: Option<&'a [u8]>,
}

/// A legacy client's request with a modern envelope.
pub fn to_modern(request: Message<'_>, id: u64, client: &ClientMeta<'_>, round: Round<'_>) -> Bytes {
    let (bytes, envelope) = (request.bytes(), request.envelope());
    let mut edits = Edits::new(bytes);
    if let Some(at) = envelope.id_range() {
        edits.replace(at, id.to_string().into_bytes());
    }
    let responses = round.responses.map(|text| pair("inputResponses", text)).unwrap_or_default();
    let state = round.state.map(|text| pair("requestState", text)).unwrap_or_default();
    let mut added = joined(&[&responses, &state]);
    let mut removed: &[&str] = &["inputResponses", "requestState", "task"];
    match envelope.meta_range() {
        Some(meta) => edits.members(meta, &MODERN_META, client.members()),
        None => {
            removed = &["inputResponses", "requestState", "task", "_meta"];
            added = joined(&[&added, &pair("_meta", &object(&client.members()))]);
        }
    }
    match envelope.params_range() {
        Some(params) => edits.members(params, removed, added),
        None => edits.members(0..bytes.len(), &["params"], pair("params", &object(&added))),
    }
    edits.apply()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::message::Owned;
    use super::*;

    fn scan(value: &Value) -> Owned {
        Owned::scan(value.to_string()).unwrap()
    }

    fn parse(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_modern_request_loses_its_envelope_and_keeps_the_rest() {
        let request = scan(&json!({ "jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {
            "name": "t", "arguments": { "big": 12345678901234567890_u64 }, "requestState": "s",
            "inputResponses": {}, "_meta": {
                META_PROTOCOL_VERSION: "2026-07-28", META_CLIENT_CAPABILITIES: {}, META_LOG_LEVEL: "info",
                "progressToken": "p", "traceparent": "00-1-2-01", "vendor/key": 1 } } }));
        let how = ToLegacy { id: 5, token: 4, task: TaskWish::None, server: Revision::LATEST_LEGACY };
        assert_eq!(
            parse(&to_legacy(request.lend(), how)),
            json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {
                "name": "t", "arguments": { "big": 12345678901234567890_u64 },
                "_meta": { "progressToken": 4, "traceparent": "00-1-2-01", "vendor/key": 1 } } })
        );
        for (task, want) in [(TaskWish::Driven, json!({})), (TaskWish::Handed, json!({ "ttl": TASK_TTL_MS }))]
        {
            let how = ToLegacy { task, ..how };
            assert_eq!(parse(&to_legacy(request.lend(), how))["params"]["task"], want);
        }
    }

    #[test]
    fn an_old_server_gets_no_completion_context() {
        let request = scan(&json!({ "jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": {
            "ref": { "name": "p" }, "context": {}, "_meta": {} } }));
        for (server, kept) in [(Revision::V2025_03_26, false), (Revision::V2025_06_18, true)] {
            let sent =
                parse(&to_legacy(request.lend(), ToLegacy { id: 1, token: 1, task: TaskWish::None, server }));
            assert_eq!(sent["params"].get("context").is_some(), kept, "{server}");
        }
    }

    #[test]
    fn a_legacy_request_gets_an_envelope_wherever_it_lacks_one() {
        let client = ClientMeta { info: br#"{"name":"c"}"#, capabilities: b"{}", level: Some(Level::INFO) };
        let meta = json!({ META_PROTOCOL_VERSION: "2026-07-28", META_CLIENT_INFO: { "name": "c" },
                           META_CLIENT_CAPABILITIES: {}, META_LOG_LEVEL: "info" });
        for (params, more) in [
            (None, json!({})),
            (Some(json!({})), json!({})),
            (Some(json!({ "_meta": 5, "task": {} })), json!({})),
            (Some(json!({ "_meta": { "k": 1, META_LOG_LEVEL: "debug" } })), json!({ "k": 1 })),
        ] {
            let mut request = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
            if let Some(params) = params {
                request["params"] = params;
            }
            let round = Round { responses: Some(b"{}"), state: Some(br#""s""#) };
            let sent = parse(&to_modern(scan(&request).lend(), 9, &client, round));
            let mut want = meta.clone();
            want.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(
                sent,
                json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/list",
                        "params": { "_meta": want, "inputResponses": {}, "requestState": "s" } }),
                "{request}"
            );
        }
    }
}
