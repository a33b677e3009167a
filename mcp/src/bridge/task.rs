//! [`Task`]: a call that a server works on while nobody waits on the line, as either era tells of it.

use std::borrow::Cow;

use super::edits::{object, pair};
use super::limits::TASK_POLL_MS;
use crate::json;
use crate::object::{member, member_text};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskStatus {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
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

    /// `{"taskId":...}`.
    pub fn params(&self) -> Vec<u8> {
        object(&self.id_member())
    }

    /// `"taskId":...`.
    pub fn id_member(&self) -> Vec<u8> {
        pair("taskId", &self.id)
    }

    /// Whether `id` (a decoded string) names it.
    pub fn is(&self, id: &str) -> bool {
        json::text(&self.id).is_some_and(|own| own == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
