//! [`Task`]: a call that a server works on while nobody waits on the line, as either era tells of it.

use std::borrow::Cow;

use super::date::iso_8601;
use super::edits::{joined, object, pair, quoted};
use super::limits::{TASK_POLL_MS, TASK_TTL_MS};
use crate::json;
use crate::object::{member, member_text, members};
use crate::revision::Era;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskStatus {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl TaskStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    pub const fn is_last(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What a server says about a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// A JSON string, as the server spelled it.
    id: Box<[u8]>,
    pub status: TaskStatus,
    pub message: Option<String>,
    /// Until it is worth while to look again.
    pub poll_ms: u64,
}

impl Task {
    /// Reads a task object of either era; `None` if it is none.
    pub fn read(raw: &[u8]) -> Option<Self> {
        let all = 0..raw.len();
        let id = &raw[member(raw, all.clone(), "taskId")?];
        let status = match &*member_text(raw, all.clone(), "status")? {
            "working" => TaskStatus::Working,
            "input_required" => TaskStatus::InputRequired,
            "completed" => TaskStatus::Completed,
            "failed" => TaskStatus::Failed,
            "cancelled" => TaskStatus::Cancelled,
            _ => return None,
        };
        let number = |name| {
            let text = std::str::from_utf8(&raw[member(raw, all.clone(), name)?]).ok()?;
            text.parse::<f64>().ok().filter(|ms| *ms >= 0.0)
        };
        let (least, usual, most) = TASK_POLL_MS;
        let poll = number("pollIntervalMs").or_else(|| number("pollInterval"));
        Some(Self {
            id: json::text(id).is_some().then(|| id.into())?,
            status,
            message: member_text(raw, all.clone(), "statusMessage").map(Cow::into_owned),
            poll_ms: poll.map_or(usual, |ms| (ms as u64).clamp(least, most)),
        })
    }

    /// One of which nothing is known but its id, a JSON string.
    pub fn named(id: &[u8]) -> Self {
        Self { id: id.into(), status: TaskStatus::Working, message: None, poll_ms: TASK_POLL_MS.1 }
    }

    /// `{"taskId":...}`.
    pub fn params(&self) -> Vec<u8> {
        object(&self.id_member())
    }

    /// `"taskId":...`.
    pub fn id_member(&self) -> Vec<u8> {
        pair("taskId", &self.id)
    }

    /// The id as a JSON string.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// Whether `id` (a decoded string) names it.
    pub fn is(&self, id: &str) -> bool {
        json::text(&self.id).is_some_and(|own| own == id)
    }
}

/// The members of the task object `raw` in the words of `era`, under another id (JSON text) and with another
/// status. What goes with a status alone (results, questions) is left out.
pub fn in_words_of(era: Era, raw: &[u8], id: &[u8], status: TaskStatus) -> Vec<u8> {
    let ttl = pair(ttl_name(era), ttl_ms(raw).to_string().as_bytes());
    let mut told = vec![pair("taskId", id), pair("status", &quoted(status.as_str())), ttl];
    for (name, at) in members(raw, 0..raw.len()) {
        let value = &raw[at];
        match &*name {
            "pollInterval" | "pollIntervalMs" => {
                told.extend(whole(value).map(|ms| pair(poll_name(era), ms.to_string().as_bytes())));
            }
            "statusMessage" | "createdAt" | "lastUpdatedAt" => told.push(pair(&name, value)),
            _ => {}
        }
    }
    let told: Vec<&[u8]> = told.iter().map(Vec::as_slice).collect();
    joined(&told)
}

/// The members of a task object for a result that a session keeps.
pub fn own(id: &[u8], status: TaskStatus, created_ms: u64, ttl_ms: u64) -> Vec<u8> {
    let created = quoted(&iso_8601(created_ms));
    joined(&[
        &pair("taskId", id),
        &pair("status", &quoted(status.as_str())),
        &pair("createdAt", &created),
        &pair("lastUpdatedAt", &created),
        &pair("ttl", ttl_ms.to_string().as_bytes()),
        &pair("pollInterval", TASK_POLL_MS.0.to_string().as_bytes()),
    ])
}

/// How long a task is kept, from its creation: never for ever.
pub fn ttl_ms(raw: &[u8]) -> u64 {
    let found = ["ttl", "ttlMs"].into_iter().find_map(|name| whole(&raw[member(raw, 0..raw.len(), name)?]));
    found.map_or(TASK_TTL_MS, |ms| ms.min(TASK_TTL_MS))
}

fn whole(value: &[u8]) -> Option<u64> {
    let ms = std::str::from_utf8(value).ok()?.parse::<f64>().ok().filter(|ms| *ms >= 0.0)?;
    Some(ms as u64)
}

const fn ttl_name(era: Era) -> &'static str {
    match era {
        Era::Legacy => "ttl",
        Era::Modern => "ttlMs",
    }
}

const fn poll_name(era: Era) -> &'static str {
    match era {
        Era::Legacy => "pollInterval",
        Era::Modern => "pollIntervalMs",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_task_is_told_in_the_words_of_either_era() {
        let legacy = json!({ "taskId": "t", "status": "failed", "ttl": null, "pollInterval": 5.7, "createdAt": "c",
                             "lastUpdatedAt": "l", "statusMessage": "m", "_meta": {}, "x": 1 });
        let told =
            in_words_of(Era::Modern, legacy.to_string().as_bytes(), b"\"sealed\"", TaskStatus::Completed);
        let modern: Value = serde_json::from_slice(&object(&told)).unwrap();
        assert_eq!(
            modern,
            json!({ "taskId": "sealed", "status": "completed", "ttlMs": TASK_TTL_MS, "pollIntervalMs": 5,
                    "createdAt": "c", "lastUpdatedAt": "l", "statusMessage": "m" })
        );
        let back = in_words_of(Era::Legacy, modern.to_string().as_bytes(), b"\"t\"", TaskStatus::Failed);
        let back: Value = serde_json::from_slice(&object(&back)).unwrap();
        assert_eq!((&back["ttl"], &back["pollInterval"]), (&json!(TASK_TTL_MS), &json!(5)));
        assert_eq!((back.get("ttlMs"), &back["status"]), (None, &json!("failed")));
        for (raw, ms) in [(r#"{"ttl":5}"#, 5), (r#"{"ttlMs":1e300}"#, TASK_TTL_MS), ("{}", TASK_TTL_MS)] {
            assert_eq!(ttl_ms(raw.as_bytes()), ms, "{raw}");
        }
    }

    #[test]
    fn both_eras_tell_of_tasks() {
        let legacy =
            br#"{"taskId":"t","status":"working","ttl":null,"pollInterval":5000,"statusMessage":"half"}"#;
        let task = Task::read(legacy).unwrap();
        assert_eq!((task.status, task.poll_ms), (TaskStatus::Working, 5_000));
        assert_eq!(task.message.as_deref(), Some("half"));
        assert_eq!(task.params(), br#"{"taskId":"t"}"#);
        assert!(task.is("t") && !task.is("u"));
        let modern = br#"{"taskId":"t","status":"completed","pollIntervalMs":1,"result":{}}"#;
        let task = Task::read(modern).unwrap();
        assert_eq!((task.status, task.poll_ms), (TaskStatus::Completed, TASK_POLL_MS.0));
        for raw in [r#"{"taskId":5,"status":"working"}"#, r#"{"taskId":"t","status":"odd"}"#, "{}", "[]", ""]
        {
            assert_eq!(Task::read(raw.as_bytes()), None, "{raw}");
        }
        let huge = br#"{"taskId":"t","status":"working","pollInterval":1e300}"#;
        assert_eq!(Task::read(huge).unwrap().poll_ms, TASK_POLL_MS.2);
    }
}
