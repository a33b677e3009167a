//! Tools that a legacy server offers as tasks only: called as such, looked at until they are done, and
//! answered as if nothing had happened.

use bytes::Bytes;

use super::{LaneTimer, LegacyLane, Wire};
use crate::bridge::edits::{joined, object, pair, quoted};
use crate::bridge::error_map::code_of;
use crate::bridge::message::Message;
use crate::bridge::request::TaskWish;
use crate::bridge::task::{Task, TaskStatus};
use crate::refusal::code;
use crate::{compose, methods};

/// How far a call has come.
pub(super) enum Stage {
    /// Called as every other.
    Plain,
    /// Called as a task.
    Creating,
    /// Looked at from time to time.
    Polling(Polled),
    /// Its result was asked for; questions of the server come meanwhile.
    Fetching(Polled),
    /// A client looks at a task of its own, or wants it cancelled.
    Looking(u64),
    Cancelling(u64),
    /// As before, and the task has questions that have not come yet.
    Announced(u64, Bytes),
    /// As before, and the task is over and its result has not come yet. The server's own task object.
    Ending(u64, Bytes),
}

/// A task, and what its client has heard of it.
pub(super) struct Polled {
    task: Task,
    told: u64,
}

impl Polled {
    pub fn params(&self) -> Vec<u8> {
        self.task.params()
    }
}

impl Stage {
    /// Whether it is about the task with this id.
    pub fn is_task(&self, id: &str) -> bool {
        matches!(self, Self::Polling(polled) | Self::Fetching(polled) if polled.task.is(id))
    }
}

impl LegacyLane {
    /// Takes a response that is a step of a task. False if it is the answer of the call.
    pub(super) fn task_goes_on(&mut self, id: u64, response: Message<'_>) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        match std::mem::replace(&mut call.stage, Stage::Plain) {
            Stage::Plain => self.needs_task(id, response),
            Stage::Creating => match response.result_member("task").and_then(Task::read) {
                // Whoever can look at a task gets it as the answer.
                Some(_) if call.capabilities.tasks => {
                    call.stage = Stage::Creating;
                    false
                }
                Some(task) => self.watch(id, Polled { task, told: 0 }),
                None => false,
            },
            Stage::Polling(polled) => {
                let task = response.result_object().and_then(|at| Task::read(&response.bytes()[at]));
                task.is_some_and(|task| self.watch(id, Polled { task, ..polled }))
            }
            Stage::Fetching(_) => false,
            Stage::Looking(task) => {
                self.looked(id, task, response);
                true
            }
            Stage::Cancelling(task) => {
                self.task_cancelled(id, task);
                true
            }
            // Nothing of theirs is on its way.
            stage @ (Stage::Announced(..) | Stage::Ending(..)) => {
                call.stage = stage;
                true
            }
        }
    }

    /// A tool that exists only as a task answers "method not found", and has done nothing yet.
    fn needs_task(&mut self, id: u64, response: Message<'_>) -> bool {
        let offered = self.profile().is_some_and(|profile| profile.traits.task_calls);
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let is_call = call.request.lend().method() == methods::TOOLS_CALL;
        if !offered || !is_call || code_of(response) != Some(code::METHOD_NOT_FOUND) {
            return false;
        }
        call.stage = Stage::Creating;
        let task = if call.capabilities.tasks { TaskWish::Handed } else { TaskWish::Driven };
        self.send_call(id, task);
        true
    }

    /// Decides by the state of a task what comes next. Always goes on.
    fn watch(&mut self, id: u64, mut polled: Polled) -> bool {
        self.touch(id);
        self.tell(id, &mut polled);
        let (status, after_ms) = (polled.task.status, polled.task.poll_ms);
        let params = polled.params();
        let Some(call) = self.calls.get_mut(&id) else {
            return true;
        };
        if status == TaskStatus::Working {
            call.stage = Stage::Polling(polled);
            self.arm(LaneTimer::Poll(id), after_ms);
            return true;
        }
        call.stage = Stage::Fetching(polled);
        self.look(id, methods::TASKS_RESULT, &params);
        if !status.is_last() {
            self.arm(LaneTimer::Poll(id), after_ms);
        }
        true
    }

    /// It is time to look at a task again. Once its result was asked for, that shows that it goes on.
    pub(super) fn look_at_task(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        match &call.stage {
            Stage::Polling(polled) if call.wire.is_none() => {
                let params = polled.params();
                self.look(id, methods::TASKS_GET, &params);
            }
            Stage::Fetching(polled) if call.client.is_some() => {
                let params = polled.params();
                self.ask_server(Wire::Pulse(id), methods::TASKS_GET, &params);
            }
            _ => {}
        }
    }

    /// The state of a task whose result is on its way.
    pub(super) fn pulsed(&mut self, id: u64, response: Message<'_>) {
        let task = response.result_object().and_then(|at| Task::read(&response.bytes()[at]));
        let call = self.calls.get_mut(&id).filter(|call| matches!(call.stage, Stage::Fetching(_)));
        let (Some(task), Some(call)) = (task, call) else {
            return;
        };
        if let Stage::Fetching(polled) = std::mem::replace(&mut call.stage, Stage::Plain) {
            let mut polled = Polled { task, ..polled };
            self.tell(id, &mut polled);
            let is_last = polled.task.status.is_last();
            if let Some(call) = self.calls.get_mut(&id) {
                call.stage = Stage::Fetching(polled);
            }
            self.touch(id);
            if !is_last {
                self.look_later(id);
            }
        }
    }

    /// Looks at a task again after the pause that the server wants, if its result is on its way.
    pub(super) fn look_later(&mut self, id: u64) {
        if let Some(Stage::Fetching(polled)) = self.calls.get(&id).map(|call| &call.stage) {
            let after_ms = polled.task.poll_ms;
            self.arm(LaneTimer::Poll(id), after_ms);
        }
    }

    pub(super) fn look(&mut self, id: u64, method: &str, params: &[u8]) {
        let wire = self.ask_server(Wire::Call(id), method, params);
        if let Some(call) = self.calls.get_mut(&id) {
            call.wire = Some(wire);
        }
    }

    /// What a server says about the state of a task is progress, unless it counts that itself.
    fn tell(&mut self, id: u64, polled: &mut Polled) {
        let (Some(text), Some(call)) = (polled.task.message.take(), self.calls.get(&id)) else {
            return;
        };
        let Some((exchange, token)) = call
            .client
            .as_ref()
            .filter(|_| !call.progresses)
            .and_then(|client| Some((client.exchange, client.token.clone()?)))
        else {
            return;
        };
        polled.told += 1;
        let params = object(&joined(&[
            &pair("progressToken", &token),
            &pair("progress", polled.told.to_string().as_bytes()),
            &pair("message", &quoted(&text)),
        ]));
        let message = compose::notification(methods::PROGRESS, Some(&params)).into();
        self.outbox.push(super::LaneOutput::Client { exchange, message });
    }
}
