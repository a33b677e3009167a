//! Calls that a modern server answers with a task: looked at until it is done, and answered as if nothing
//! had happened.

use super::{LegacySession, SessionOutput, SessionTimer, Wire};
use crate::bridge::edits::{joined, object, pair, quoted};
use crate::bridge::failure::Reason;
use crate::bridge::limits::ROUNDS_MAX;
use crate::bridge::message::{Message, Owned};
use crate::bridge::question::entries;
use crate::bridge::task::{Task, TaskStatus};
use crate::envelope::Kind;
use crate::{compose, methods};

/// A task, and what its client has heard of it.
pub(super) struct Polled {
    task: Task,
    told: u64,
    /// The next response acknowledges answers and says nothing else.
    updating: bool,
}

impl Polled {
    pub fn new(task: Task) -> Self {
        Self { task, told: 0, updating: false }
    }

    pub fn is_updating(&self) -> bool {
        self.updating
    }
}

impl LegacySession {
    pub(super) fn task_created(&mut self, id: u64, response: Message<'_>) {
        let task = response.result_object().and_then(|at| Task::read(&response.bytes()[at]));
        match task {
            Some(task) => self.watch(id, Polled::new(task)),
            None => self.fail_call(id, Reason::ProtocolViolation),
        }
    }

    /// A response to `tasks/get` or `tasks/update`.
    pub(super) fn task_told(&mut self, id: u64, response: Message<'_>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(mut polled) = call.task.take() else {
            return;
        };
        if response.kind() == Kind::Error {
            return self.complete_with_error(id, response);
        }
        if std::mem::take(&mut polled.updating) {
            return self.watch(id, polled);
        }
        let Some(task) = response.result_object().and_then(|at| Task::read(&response.bytes()[at])) else {
            return self.fail_call(id, Reason::ProtocolViolation);
        };
        let polled = Polled { task, ..polled };
        match polled.task.status {
            TaskStatus::Working => self.watch(id, polled),
            TaskStatus::InputRequired => self.task_asks(id, polled, response),
            TaskStatus::Completed => self.task_done(id, "result", response),
            TaskStatus::Failed => self.task_done(id, "error", response),
            TaskStatus::Cancelled => self.fail_for_input(id, "the backend cancelled the task", None),
        }
    }

    fn complete_with_error(&mut self, id: u64, error: Message<'_>) {
        if let Some(call) = self.forget(id) {
            let request = call.request.lend();
            let message = crate::bridge::error_map::to_legacy(error, request.method(), &request.id());
            self.answer(call.exchange, message);
        }
    }

    /// The task is over: what it carries is the answer of the call.
    fn task_done(&mut self, id: u64, member: &str, response: Message<'_>) {
        let carried = response.result_member(member).filter(|raw| raw.first() == Some(&b'{'));
        let message = carried.map(|raw| object(&joined(&[br#""jsonrpc":"2.0","id":0"#, &pair(member, raw)])));
        match message.and_then(|message| Owned::scan(message).ok()) {
            Some(answer) if answer.lend().kind() == Kind::Error => {
                self.complete_with_error(id, answer.lend())
            }
            Some(answer) => self.complete(id, answer.lend()),
            None => self.fail_call(id, Reason::ProtocolViolation),
        }
    }

    /// The task wants to know something. What was asked before is on its way.
    fn task_asks(&mut self, id: u64, polled: Polled, response: Message<'_>) {
        let questions = response.result_member("inputRequests").map_or(Ok(Vec::new()), entries);
        let (Ok(questions), Some(call)) = (questions, self.calls.get_mut(&id)) else {
            return self.fail_call(id, Reason::ProtocolViolation);
        };
        let new: Vec<_> =
            questions.into_iter().filter(|(key, _)| call.asked_for_task.insert(key.clone())).collect();
        if new.is_empty() {
            return self.watch(id, polled);
        }
        call.task = Some(polled);
        call.rounds += 1;
        if call.rounds > ROUNDS_MAX {
            self.cancel_task(id);
            return self.fail_for_input(id, "the backend asked for input too many times", None);
        }
        self.disarm(SessionTimer::Call(id));
        self.ask(id, new);
    }

    pub(super) fn update_task(&mut self, id: u64, responses: &[u8]) {
        let Some(polled) = self.calls.get_mut(&id).and_then(|call| call.task.as_mut()) else {
            return;
        };
        polled.updating = true;
        let members = joined(&[&polled.task.id_member(), &pair("inputResponses", responses)]);
        self.ask_about(id, methods::TASKS_UPDATE, &members);
    }

    /// Looks again after the pause that the server wants.
    fn watch(&mut self, id: u64, mut polled: Polled) {
        self.tell(id, &mut polled);
        let after_ms = polled.task.poll_ms;
        if let Some(call) = self.calls.get_mut(&id) {
            call.task = Some(polled);
            self.disarm(SessionTimer::Call(id));
            self.arm(SessionTimer::Poll(id), after_ms);
        }
    }

    pub(super) fn look_at_task(&mut self, id: u64) {
        let due = self.calls.get(&id).filter(|call| call.wire.is_none() && call.asks.is_empty());
        let member = due.and_then(|call| call.task.as_ref()).map(|polled| polled.task.id_member());
        if let Some(member) = member {
            self.ask_about(id, methods::TASKS_GET, &member);
        }
    }

    pub(super) fn ask_about(&mut self, id: u64, method: &str, members: &[u8]) {
        let wire = self.send(Wire::Call(id), true, |number, client| {
            compose::request(number.to_string().as_bytes(), method, Some(&client.params(members))).into()
        });
        self.waits_on(id, wire);
    }

    /// Nobody wants the outcome of a task any more. One that the client looks at itself, it may look at again.
    pub(super) fn cancel_task(&mut self, id: u64) {
        let call = self.calls.get_mut(&id).filter(|call| call.about.is_none());
        if let Some(polled) = call.and_then(|call| call.task.take()) {
            self.drop_task(&polled);
        }
    }

    pub(super) fn cancel_looked_at(&mut self, id: u64) {
        let call = self.calls.get_mut(&id).filter(|call| call.about.is_some());
        if let Some(polled) = call.and_then(|call| call.task.take()) {
            self.drop_task(&polled);
        }
    }

    fn drop_task(&mut self, polled: &Polled) {
        let member = polled.task.id_member();
        self.send(Wire::Ignored, true, |number, client| {
            let params = client.params(&member);
            compose::request(number.to_string().as_bytes(), methods::TASKS_CANCEL, Some(&params)).into()
        });
    }

    /// What a server says about the state of a task is progress, unless it counts that itself.
    fn tell(&mut self, id: u64, polled: &mut Polled) {
        let (Some(text), Some(call)) = (polled.task.message.take(), self.calls.get(&id)) else {
            return;
        };
        let Some(token) = call.request.lend().progress_token().filter(|_| !call.progresses) else {
            return;
        };
        polled.told += 1;
        let params = object(&joined(&[
            &pair("progressToken", &token),
            &pair("progress", polled.told.to_string().as_bytes()),
            &pair("message", &quoted(&text)),
        ]));
        let (exchange, message) =
            (call.exchange, compose::notification(methods::PROGRESS, Some(&params)).into());
        self.outbox.push(SessionOutput::Client { exchange, message });
    }
}
