//! Tasks that the client looks at itself: those of the server in the words of 2025-11-25, and results of calls that
//! the server answered at once, although the client wants a task.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::call::Call;
use super::tasking::Polled;
use super::{LegacySession, SessionOutput, SessionTimer};
use crate::bridge::edits::{object, pair, quoted};
use crate::bridge::error_map;
use crate::bridge::failure::{self, Reason};
use crate::bridge::limits::{OWN_BYTES_MAX, OWN_TASKS_MAX};
use crate::bridge::message::{Exchange, Message, Owned};
use crate::bridge::result;
use crate::bridge::state::{NewTask, NewTaskKind, TaskHandle};
use crate::bridge::task::{self, Task, TaskStatus};
use crate::envelope::Kind;
use crate::object::{member, member_text};
use crate::refusal::{code, error_response};
use crate::revision::Era;
use crate::{compose, methods, splice};

/// A task of the server that a call is about.
pub(super) struct About {
    /// Its id, a JSON string.
    task: Box<[u8]>,
    /// The client wants it cancelled, and the server has told this of it before.
    cancelling: Option<Bytes>,
}

/// Results that the session keeps, by the number of their task.
#[derive(Default)]
pub(super) struct OwnTasks {
    kept: BTreeMap<u64, OwnTask>,
    bytes: usize,
}

struct OwnTask {
    ttl_ms: u64,
    /// The whole response.
    outcome: Bytes,
}

impl OwnTasks {
    pub fn forget(&mut self, number: u64) {
        if let Some(task) = self.kept.remove(&number) {
            self.bytes -= task.outcome.len();
        }
    }

    /// Forgets all, and names them.
    pub fn clear(&mut self) -> Vec<u64> {
        self.bytes = 0;
        std::mem::take(&mut self.kept).into_keys().collect()
    }

    /// Makes room for so many bytes, and names what had to go.
    fn make_room(&mut self, len: usize) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.kept.len() >= OWN_TASKS_MAX || self.bytes + len > OWN_BYTES_MAX {
            let Some(oldest) = self.kept.keys().next().copied() else {
                break;
            };
            self.forget(oldest);
            gone.push(oldest);
        }
        gone
    }
}

impl LegacySession {
    pub(super) fn offers_tasks(&self) -> bool {
        self.client.as_ref().is_some_and(super::Client::is_offered_tasks)
    }

    /// For how long a client wants a task instead of an answer, if it does.
    pub(super) fn wants_task(&self, request: Message<'_>) -> Option<u64> {
        let wish = request.param("task").filter(|wish| wish.first() == Some(&b'{'))?;
        let wanted = request.method() == methods::TOOLS_CALL && self.offers_tasks();
        wanted.then(|| task::ttl_ms(wish))
    }

    /// The server has made a task of a call whose client wants one.
    pub(super) fn hand_over(&mut self, id: u64, response: Message<'_>) {
        let told = response.result_object().map(|at| response.bytes().slice(at));
        let task = told.as_deref().and_then(|told| member_text(told, 0..told.len(), "taskId"));
        let Some((told, task)) = told.as_ref().and_then(|told| Some((told.clone(), task?.into_owned())))
        else {
            return self.fail_call(id, Reason::ProtocolViolation);
        };
        if let Some(call) = self.forget(id) {
            let ttl_ms = task::ttl_ms(&told);
            let answer = NewTask { id: call.id(), kind: NewTaskKind::Upstream { task, told }, ttl_ms };
            self.outbox.push(SessionOutput::Created { exchange: call.exchange, answer });
        }
    }

    /// The server has answered a call at once whose client wants a task.
    pub(super) fn keep_result(&mut self, call: &Call, ttl_ms: u64, outcome: Bytes) {
        for gone in self.own_tasks.make_room(outcome.len()) {
            self.disarm(SessionTimer::Task(gone));
        }
        let number = self.next;
        self.next += 1;
        self.own_tasks.bytes += outcome.len();
        self.own_tasks.kept.insert(number, OwnTask { ttl_ms, outcome });
        self.arm(SessionTimer::Task(number), ttl_ms);
        let answer = NewTask { id: call.id(), kind: NewTaskKind::Own(number), ttl_ms };
        self.outbox.push(SessionOutput::Created { exchange: call.exchange, answer });
    }

    /// A request about a task that the client has.
    pub(super) fn about_task(
        &mut self,
        exchange: Exchange,
        request: Message<'_>,
        can_be_asked: bool,
        handle: TaskHandle,
    ) {
        match handle {
            TaskHandle::None => self.answer(exchange, failure::unknown_task(&request.id())),
            TaskHandle::Own { number, created_ms } => {
                let answer = self.tell_own(request, number, created_ms);
                self.answer(exchange, answer);
            }
            TaskHandle::Upstream(task) => self.look_upstream(exchange, request, can_be_asked, &task),
        }
    }

    fn tell_own(&self, request: Message<'_>, number: u64, created_ms: u64) -> Bytes {
        let (id, name) = (request.id(), request.param("taskId").unwrap_or(br#""""#));
        let Some(OwnTask { ttl_ms, outcome }) = self.own_tasks.kept.get(&number) else {
            return failure::unknown_task(&id);
        };
        let outcome = Owned::scan(outcome.clone()).ok();
        match (request.method(), outcome) {
            (methods::TASKS_GET, Some(outcome)) => {
                let outcome = outcome.lend();
                let status = outcome
                    .result_object()
                    .map(|at| legacy_status(TaskStatus::Completed, &outcome.bytes()[at]));
                let status = status.unwrap_or(TaskStatus::Failed);
                let told = task::own(name, status, created_ms, *ttl_ms);
                compose::response(&id, &object(&told)).into()
            }
            (methods::TASKS_RESULT, Some(outcome)) => {
                let (bytes, envelope) = (outcome.lend().bytes(), outcome.lend().envelope());
                let answer = Owned::scan(splice::with_id(bytes, envelope, &id)).ok();
                let related = answer.and_then(|answer| result::of_task(answer.lend(), name));
                related.unwrap_or_else(|| failure::unknown_task(&id))
            }
            _ => over_already(&id),
        }
    }

    fn look_upstream(&mut self, exchange: Exchange, request: Message<'_>, can_be_asked: bool, task: &str) {
        let Some(id) = self.enter(exchange, request, can_be_asked) else {
            return;
        };
        let task = quoted(task);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if request.method() == methods::TASKS_RESULT {
            call.task = Some(Polled::new(Task::named(&task)));
        }
        let member = pair("taskId", &task);
        call.about = Some(About { task: task.into(), cancelling: None });
        self.ask_about(id, methods::TASKS_GET, &member);
    }

    /// A response to `tasks/get` or `tasks/cancel` for a client that looks at its task.
    pub(super) fn looked(&mut self, id: u64, response: Message<'_>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let cancels = call.request.lend().method() == methods::TASKS_CANCEL;
        let about = call.about.as_mut();
        let cancelled = about.and_then(|about| about.cancelling.take());
        if response.kind() == Kind::Error {
            return self.refuse_look(id, response);
        }
        if let Some(told) = cancelled {
            return self.describe(id, &told, TaskStatus::Cancelled);
        }
        let told = response.result_object().map(|at| response.bytes().slice(at));
        let Some((told, task)) = told.and_then(|told| Task::read(&told).map(|task| (told, task))) else {
            return self.fail_call(id, Reason::ProtocolViolation);
        };
        match (cancels, task.status.is_last()) {
            (false, _) => self.describe(id, &told, legacy_status_of(task.status, &told)),
            (true, true) => {
                if let Some(call) = self.forget(id) {
                    self.answer(call.exchange, over_already(&call.id()));
                }
            }
            (true, false) => self.cancel_upstream(id, told),
        }
    }

    /// The server only acknowledges that; what the client is told of the task comes from before.
    fn cancel_upstream(&mut self, id: u64, told: Bytes) {
        let Some(about) = self.calls.get_mut(&id).and_then(|call| call.about.as_mut()) else {
            return;
        };
        about.cancelling = Some(told);
        let member = pair("taskId", &about.task);
        self.ask_about(id, methods::TASKS_CANCEL, &member);
    }

    fn refuse_look(&mut self, id: u64, error: Message<'_>) {
        if let Some(call) = self.forget(id) {
            let message = match error_map::code_of(error) {
                Some(code::INVALID_PARAMS) => failure::unknown_task(&call.id()),
                _ => error_map::to_legacy(error, call.method(), &call.id()),
            };
            self.answer(call.exchange, message);
        }
    }

    fn describe(&mut self, id: u64, told: &[u8], status: TaskStatus) {
        if let Some(call) = self.forget(id) {
            let name = call.task_name().unwrap_or_default();
            let told = object(&task::in_words_of(Era::Legacy, told, &name, status));
            self.answer(call.exchange, compose::response(&call.id(), &told).into());
        }
    }
}

/// A result that says so itself counts as failed.
fn legacy_status(status: TaskStatus, result: &[u8]) -> TaskStatus {
    let says_so = member(result, 0..result.len(), "isError").is_some_and(|at| &result[at] == b"true");
    if status == TaskStatus::Completed && says_so { TaskStatus::Failed } else { status }
}

fn legacy_status_of(status: TaskStatus, told: &[u8]) -> TaskStatus {
    let result = member(told, 0..told.len(), "result").map_or(&b"{}"[..], |at| &told[at]);
    legacy_status(status, result)
}

fn over_already(id: &[u8]) -> Bytes {
    error_response(id, code::INVALID_PARAMS, "the task is over already", None).into()
}
