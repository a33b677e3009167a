//! Looking at a task: what a legacy server tells of it, in the words of the extension.
//!
//! A legacy server tells the state of a task by `tasks/get`, and everything else, its questions and its end, on the
//! one request `tasks/result`. That is sent as soon as there is something to hear, once per task, whoever asks.

use super::handed::COMPLETE;
use super::tasking::Stage;
use super::{LaneTimer, LegacyLane, Wire};
use crate::bridge::capabilities::ClientCapabilities;
use crate::bridge::edits::{joined, object, pair};
use crate::bridge::error_map::{self, code_of};
use crate::bridge::failure::Reason;
use crate::bridge::limits::ANNOUNCED_MS;
use crate::bridge::message::{Message, Owned};
use crate::bridge::question::input_requests;
use crate::bridge::result;
use crate::bridge::task::{self, Task, TaskStatus};
use crate::envelope::Kind;
use crate::refusal::code;
use crate::revision::Era;
use crate::{compose, methods};

impl LegacyLane {
    /// The server tells the state of a task.
    pub(super) fn looked(&mut self, id: u64, number: u64, response: Message<'_>) {
        let told = response.result_object().map(|at| response.bytes().slice(at));
        let Some((told, task)) = told.and_then(|told| Task::read(&told).map(|task| (told, task))) else {
            return self.not_told(id, number, response);
        };
        let Some(handed) = self.tasks.get(&number) else {
            return self.answer_unknown(id);
        };
        let (status, fetching) = (task.status, handed.fetching);
        match status {
            TaskStatus::Completed | TaskStatus::Failed if handed.has_end(status) => {
                self.conclude(id, number, &told);
            }
            TaskStatus::Completed | TaskStatus::Failed => {
                self.fetch(number);
                self.set_stage(id, Stage::Ending(number, told));
            }
            TaskStatus::Cancelled => self.describe_end(id, number, &told, status, b""),
            TaskStatus::InputRequired if handed.questions.is_empty() && !fetching => {
                self.fetch(number);
                self.set_stage(id, Stage::Announced(number, told));
                self.arm(LaneTimer::Gather(id), ANNOUNCED_MS);
            }
            TaskStatus::Working | TaskStatus::InputRequired => self.describe_open(id, number, &told),
        }
    }

    fn not_told(&mut self, id: u64, number: u64, response: Message<'_>) {
        if code_of(response) == Some(code::INVALID_PARAMS) {
            self.forget_task(number);
            return self.answer_unknown(id);
        }
        if response.kind() == Kind::Error {
            return self.outcome(id, response);
        }
        if let Some(client) = self.forget(id).and_then(|call| call.client) {
            self.fail(client.exchange, &client.id, Reason::ProtocolViolation);
        }
    }

    fn set_stage(&mut self, id: u64, stage: Stage) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.stage = stage;
        }
    }

    /// Asks for the result of a task: its questions come before it.
    pub(super) fn fetch(&mut self, number: u64) {
        let Some(handed) = self.tasks.get_mut(&number) else {
            return;
        };
        if !std::mem::replace(&mut handed.fetching, true) {
            handed.outcome = None;
            let params = handed.task.params();
            self.ask_server(Wire::Result(number), methods::TASKS_RESULT, &params);
        }
    }

    /// The result of a task is there.
    pub(super) fn result_told(&mut self, number: u64, response: Message<'_>) {
        let Some(handed) = self.tasks.get_mut(&number) else {
            return;
        };
        handed.fetching = false;
        handed.outcome = Some(response.into());
        let is_error = response.kind() == Kind::Error;
        for (id, told) in self.take_waiting(number) {
            match told {
                Stage::Announced(_, told) if is_error => self.describe_open(id, number, &told),
                Stage::Announced(_, told) | Stage::Ending(_, told) => self.conclude(id, number, &told),
                _ => {}
            }
        }
        self.tell_news(number);
    }

    /// Calls that wait for something of a task, taken out of their stages.
    pub(super) fn take_waiting(&mut self, number: u64) -> Vec<(u64, Stage)> {
        let waits = |stage: &Stage| matches!(stage, Stage::Announced(task, _) | Stage::Ending(task, _) if *task == number);
        let waiting = self.calls.iter_mut().filter(|(_, call)| waits(&call.stage));
        waiting.map(|(id, call)| (*id, std::mem::replace(&mut call.stage, Stage::Plain))).collect()
    }

    /// The questions of a task have come, or took too long. False if the call does not wait for any.
    pub(super) fn announced(&mut self, id: u64) -> bool {
        let Some(call) = self.calls.get_mut(&id).filter(|call| matches!(call.stage, Stage::Announced(..)))
        else {
            return false;
        };
        if let Stage::Announced(number, told) = std::mem::replace(&mut call.stage, Stage::Plain) {
            self.describe_open(id, number, &told);
        }
        true
    }

    /// What is told of a task that the server says to be in this state, and the member that goes with it. None if
    /// it is over, and how is not known.
    pub(super) fn state_of(&self, number: u64, status: TaskStatus) -> Option<(TaskStatus, Vec<u8>)> {
        let handed = self.tasks.get(&number)?;
        match status {
            TaskStatus::Completed | TaskStatus::Failed => end(handed.outcome.as_ref()?.lend()),
            TaskStatus::Cancelled => Some((status, Vec::new())),
            // It wants something, as far as is known, or works.
            _ if handed.questions.is_empty() => Some((TaskStatus::Working, Vec::new())),
            _ => {
                let asked = handed.questions.iter().map(|asked| (&*asked.key, &asked.question));
                Some((TaskStatus::InputRequired, pair("inputRequests", &input_requests(asked))))
            }
        }
    }

    fn describe_open(&mut self, id: u64, number: u64, told: &[u8]) {
        let known = self.state_of(number, TaskStatus::Working);
        let (status, more) = known.unwrap_or((TaskStatus::Working, Vec::new()));
        self.describe(id, told, status, &more);
    }

    /// A task is over: with a result, also if that says that it failed, or with an error.
    fn conclude(&mut self, id: u64, number: u64, told: &[u8]) {
        let Some((status, end)) = self.state_of(number, TaskStatus::Completed) else {
            if let Some(client) = self.forget(id).and_then(|call| call.client) {
                self.fail(client.exchange, &client.id, Reason::ProtocolViolation);
            }
            return;
        };
        self.describe_end(id, number, told, status, &end);
    }

    fn describe_end(&mut self, id: u64, number: u64, told: &[u8], status: TaskStatus, end: &[u8]) {
        self.task_is_over(number);
        self.describe(id, told, status, end);
    }

    /// Answers a look at a task. `more` are the members that go with its status.
    fn describe(&mut self, id: u64, told: &[u8], status: TaskStatus, more: &[u8]) {
        let meta = self.profile().map(|profile| profile.info_member()).unwrap_or_default();
        let Some(mut call) = self.forget(id) else {
            return;
        };
        let name = call.request.lend().param("taskId").unwrap_or(br#""""#);
        let task = task::in_words_of(Era::Modern, told, name, status);
        let result = object(&joined(&[COMPLETE, &task, more, &pair("_meta", &object(&meta))]));
        if let Some(client) = call.client.take() {
            self.answer(client.exchange, 200, compose::response(&client.id, &result).into());
        }
    }
}

/// The member of a task object that tells its end, and the status that goes with it. None if it is no result.
fn end(outcome: Message<'_>) -> Option<(TaskStatus, Vec<u8>)> {
    if outcome.kind() == Kind::Error {
        let declared = ClientCapabilities::default();
        let error = error_map::to_modern(outcome, methods::TOOLS_CALL, b"0", None, &declared).message;
        let error = Owned::scan(error).ok()?;
        let at = error.lend().envelope().error_range()?;
        return Some((TaskStatus::Failed, pair("error", &error.lend().bytes()[at])));
    }
    let result = Owned::scan(result::to_modern(outcome, methods::TOOLS_CALL, b"0", b"")?).ok()?;
    let at = result.lend().result_object()?;
    Some((TaskStatus::Completed, pair("result", &result.lend().bytes()[at])))
}
