//! [`RequestState`]: what a modern client carries from one round of a call to the next.
//!
//! The driver seals it, together with principal, backend and expiry, into the text of `requestState`. The number of
//! a task ([`TaskCreated`]) it seals into the text of `taskId`.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::capabilities::canonical;
use super::edits::{joined, object, pair, quoted};
use super::message::Message;
use super::task::{self, Task, TaskStatus};
use crate::compose;
use crate::revision::Era;

/// What the next round of a call has to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RequestState {
    /// The server waits on the lane that made this; only its owner can go on.
    Suspended {
        call: u64,
        /// Each state is good for one round.
        round: u32,
        request: Fingerprint,
    },
    /// The server has forgotten the call (-32042): send it again, on any node.
    Resend { request: Fingerprint },
}

/// What a retry brings along, once the driver has opened the seal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resume {
    /// The request has no `requestState`: it is the first of its call.
    First,
    With(RequestState),
    /// It has one that cannot be opened, or is not for this principal, backend or time.
    Invalid,
    /// Its owner is gone, and the connection with it.
    Lost,
    /// It is about a task of this lane.
    Task(u64),
    /// It listens to tasks.
    Tasks(HeardTasks),
}

/// The tasks that a listen names, as far as they are its client's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeardTasks {
    /// Those of this lane by their numbers, with the names that the client has for them.
    pub here: BTreeMap<u64, String>,
    /// The names of those that are listened to on other lanes: acknowledged with these.
    pub elsewhere: Vec<String>,
}

/// Tells two requests apart: method, target and arguments. Order and spelling of members do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(request: Message<'_>) -> Self {
        let (bytes, envelope) = (request.bytes(), request.envelope());
        let target = envelope.target(bytes).unwrap_or_default();
        let arguments = envelope.arguments_range().map_or(&b"{}"[..], |at| &bytes[at]);
        let arguments = serde_json::from_slice(arguments)
            .map_or_else(|_| crate::splice::compact(arguments), |value| canonical(&value));
        let mut hasher = blake3::Hasher::new();
        for part in [request.method().as_bytes(), target.as_bytes(), &arguments] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// An answer that asks the client for input. The driver seals `state`, and composes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputRequired {
    /// Of the client's request, as it spelled it.
    pub id: Bytes,
    /// The value of `inputRequests`.
    pub requests: Bytes,
    /// The members of `_meta`.
    pub(super) meta: Vec<u8>,
    pub state: RequestState,
}

impl InputRequired {
    /// The response; `sealed` is the text of `requestState`.
    pub fn answer(&self, sealed: &str) -> Bytes {
        let result = object(&joined(&[
            br#""resultType":"input_required""#,
            &pair("inputRequests", &self.requests),
            &pair("requestState", &quoted(sealed)),
            &pair("_meta", &object(&self.meta)),
        ]));
        compose::response(&self.id, &result).into()
    }
}

/// An answer that gives the client a task to look at. The driver seals its number, and composes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskCreated {
    /// Of the client's request, as it spelled it.
    pub id: Bytes,
    /// The number of the task on its lane.
    pub task: u64,
    /// The server's own task object.
    pub(super) told: Bytes,
    /// The members of `_meta`.
    pub(super) meta: Vec<u8>,
}

impl TaskCreated {
    /// The response; `sealed` is the text of `taskId`.
    pub fn answer(&self, sealed: &str) -> Bytes {
        let status = Task::read(&self.told).map_or(TaskStatus::Working, |task| task.status);
        // Its end, if it has one already, is told to who asks.
        let status = if status.is_last() { TaskStatus::Working } else { status };
        let result = object(&joined(&[
            br#""resultType":"task""#,
            &task::in_words_of(Era::Modern, &self.told, &quoted(sealed), status),
            &pair("_meta", &object(&self.meta)),
        ]));
        compose::response(&self.id, &result).into()
    }

    /// How long the task is kept.
    pub fn ttl_ms(&self) -> u64 {
        task::ttl_ms(&self.told)
    }
}

/// What the `taskId` of a legacy client's request stands for, once the driver has opened the seal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskHandle {
    /// There is none, or it is somebody else's.
    None,
    /// A task of the server, by its own id.
    Upstream(String),
    /// A result that the session keeps, and when it was asked for.
    Own { number: u64, created_ms: u64 },
}

/// An answer that gives a legacy client a task. The driver seals it, knows the time, and composes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTask {
    /// Of the client's request, as it spelled it.
    pub id: Bytes,
    pub kind: NewTaskKind,
    pub ttl_ms: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NewTaskKind {
    /// A task of the server, by its own id, and what it told of it.
    Upstream { task: String, told: Bytes },
    /// A result that the session keeps.
    Own(u64),
}

impl NewTask {
    /// The response; `sealed` is the text of `taskId`.
    pub fn answer(&self, sealed: &str, now_ms: u64) -> Bytes {
        let id = quoted(sealed);
        let task = match &self.kind {
            NewTaskKind::Upstream { told, .. } => {
                task::in_words_of(Era::Legacy, told, &id, TaskStatus::Working)
            }
            NewTaskKind::Own(_) => task::own(&id, TaskStatus::Working, now_ms, self.ttl_ms),
        };
        compose::response(&self.id, &object(&pair("task", &object(&task)))).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::message::Owned;
    use super::*;

    #[test]
    fn the_fingerprint_is_about_the_request() {
        let of = |text: &str| Fingerprint::of(Owned::scan(text.to_owned()).unwrap().lend());
        let call = |id: u32, params: &str| {
            of(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#))
        };
        let first = call(1, r#"{"name":"t","arguments":{"a":1,"b":[2]}}"#);
        assert_eq!(first, call(2, r#"{"requestState":"x","arguments":{ "b":[2], "a":1},"name":"\u0074"}"#));
        for other in [r#"{"name":"u","arguments":{"a":1,"b":[2]}}"#, r#"{"name":"t","arguments":{"a":2}}"#] {
            assert_ne!(first, call(1, other));
        }
    }

    #[test]
    fn a_state_survives_its_travel() {
        let asked = Owned::scan(r#"{"jsonrpc":"2.0","id":1,"method":"resources/read"}"#).unwrap();
        let request = Fingerprint::of(asked.lend());
        for state in
            [RequestState::Suspended { call: 7, round: 2, request }, RequestState::Resend { request }]
        {
            let text = json!(state).to_string();
            assert_eq!(serde_json::from_str::<RequestState>(&text).unwrap(), state);
        }
    }
}
