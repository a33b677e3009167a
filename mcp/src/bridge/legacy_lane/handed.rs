//! Tasks that their clients look at themselves: what a legacy server tells of them, in the words of the extension.
//!
//! A legacy server tells the state of a task by `tasks/get`, and everything else, its questions and its end, on the
//! one request `tasks/result`. That is sent as soon as there is something to hear, once per task, whoever asks.

use std::collections::BTreeSet;

use super::asking::{Asked, has_room, related_task};
use super::call::{Call, Waiting};
use super::retry::take_answers;
use super::tasking::Stage;
use super::{LaneOutput, LaneTimer, LegacyLane, Wire};
use crate::bridge::capabilities::{ClientCapabilities, required_tasks};
use crate::bridge::edits::{joined, object, pair};
use crate::bridge::error_map::{self, code_of};
use crate::bridge::failure::{self, Reason};
use crate::bridge::limits::{ANNOUNCED_MS, GATHER_MS, TASK_QUESTIONS_MAX, TASKS_MAX};
use crate::bridge::message::{Exchange, Message, Owned};
use crate::bridge::question::input_requests;
use crate::bridge::result;
use crate::bridge::state::{Resume, TaskCreated};
use crate::bridge::task::{self, Task, TaskStatus};
use crate::envelope::{Kind, canonical_id};
use crate::refusal::code;
use crate::revision::Era;
use crate::{compose, methods};

const COMPLETE: &[u8] = br#""resultType":"complete""#;

pub(super) struct Handed {
    task: Task,
    /// Those that wait for an answer.
    questions: Vec<Asked>,
    /// Every name that a question of it has had.
    names: BTreeSet<String>,
    /// `tasks/result` is on its way.
    fetching: bool,
    /// What was answered to that.
    outcome: Option<Owned>,
    /// Its client has seen the end, or wants it.
    over: bool,
}

impl Handed {
    /// Whether the lane has to live on for it.
    pub fn is_open(&self) -> bool {
        !self.over
    }
}

impl LegacyLane {
    /// Answers a call with the task that the server made of it. False if it made none.
    pub(super) fn hand_over(&mut self, client: &Waiting, call: &Call, response: Message<'_>) -> bool {
        let told = response.result_member("task").filter(|_| matches!(call.stage, Stage::Creating));
        let Some((told, task)) = told.and_then(|told| Some((told, Task::read(told)?))) else {
            return false;
        };
        if self.tasks.values().filter(|task| task.is_open()).count() >= TASKS_MAX {
            self.ask_server(Wire::Ignored, methods::TASKS_CANCEL, &task.params());
            self.fail(client.exchange, &client.id, Reason::LaneUnavailable);
            return true;
        }
        let number = self.next;
        self.next += 1;
        let meta = self.profile().map(|profile| profile.info_member()).unwrap_or_default();
        let told = response.bytes().slice_ref(told);
        let answer = TaskCreated { id: client.id.clone(), task: number, told, meta };
        self.arm(LaneTimer::Task(number), answer.ttl_ms());
        self.outbox.push(LaneOutput::Created { exchange: client.exchange, answer });
        let (questions, names) = (Vec::new(), BTreeSet::new());
        let handed = Handed { task, questions, names, fetching: false, outcome: None, over: false };
        self.tasks.insert(number, handed);
        true
    }

    /// A call that nobody wanted any more has become a task after all.
    pub(super) fn drop_orphan(&mut self, response: Message<'_>) {
        if let Some(task) = response.result_member("task").and_then(Task::read) {
            self.ask_server(Wire::Ignored, methods::TASKS_CANCEL, &task.params());
        }
    }

    /// A client's request about a task.
    pub(super) fn about_task(&mut self, exchange: Exchange, request: Message<'_>, resume: &Resume) {
        let id = request.id();
        if !ClientCapabilities::of_modern(request).tasks {
            return self.answer(exchange, 400, failure::missing_capability(&id, &required_tasks()));
        }
        let number = match resume {
            Resume::Task(number) if self.tasks.contains_key(number) => *number,
            _ => return self.answer(exchange, 200, failure::unknown_task(&id)),
        };
        match request.method() {
            methods::TASKS_UPDATE => self.update_task(exchange, request, number),
            methods::TASKS_CANCEL => {
                self.give_up_questions(number);
                self.ask_about(exchange, request, Stage::Cancelling(number), number);
            }
            _ => self.ask_about(exchange, request, Stage::Looking(number), number),
        }
    }

    fn ask_about(&mut self, exchange: Exchange, request: Message<'_>, stage: Stage, number: u64) {
        let Some(params) = self.tasks.get(&number).map(|handed| handed.task.params()) else {
            return;
        };
        if let Some(id) = self.enter(exchange, request, stage) {
            self.look(id, request.method(), &params);
            self.arm(LaneTimer::Call(id), self.options.call_timeout_ms);
        }
    }

    /// Gives a client's answers to the server. What nobody asked is ignored.
    fn update_task(&mut self, exchange: Exchange, request: Message<'_>, number: u64) {
        let id = request.id();
        let responses = request.param("inputResponses").unwrap_or_default();
        let questions = self.tasks.get_mut(&number).map(|handed| &mut handed.questions);
        match questions.map(|questions| take_answers(questions, responses)) {
            Some(Ok(answers)) => {
                self.give(answers);
                self.acknowledge_update(exchange, &id);
            }
            _ => {
                let text = "inputResponses must be an object of well-formed answers";
                self.answer(exchange, 200, Reason::InvalidInput.answer(&id, text));
            }
        }
    }

    fn acknowledge_update(&mut self, exchange: Exchange, id: &[u8]) {
        let meta = self.profile().map(|profile| profile.info_member()).unwrap_or_default();
        let result = object(&joined(&[COMPLETE, &pair("_meta", &object(&meta))]));
        self.answer(exchange, 200, compose::response(id, &result).into());
    }

    /// The server has heard that a task is not wanted, whatever it says to that.
    pub(super) fn task_cancelled(&mut self, id: u64, number: u64) {
        if let Some(handed) = self.tasks.get_mut(&number) {
            handed.over = true;
        }
        if let Some(client) = self.forget(id).and_then(|call| call.client) {
            self.acknowledge_update(client.exchange, &client.id);
        }
    }

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
            TaskStatus::Completed | TaskStatus::Failed if handed.outcome.is_some() => {
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
    fn fetch(&mut self, number: u64) {
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
    }

    /// Calls that wait for something of a task, taken out of their stages.
    fn take_waiting(&mut self, number: u64) -> Vec<(u64, Stage)> {
        let waits = |stage: &Stage| {
            matches!(stage, Stage::Announced(task, _) | Stage::Ending(task, _) if *task == number)
        };
        let waiting = self.calls.iter_mut().filter(|(_, call)| waits(&call.stage));
        waiting.map(|(id, call)| (*id, std::mem::replace(&mut call.stage, Stage::Plain))).collect()
    }

    /// A question of a task.
    pub(super) fn put_to_task(&mut self, number: u64, mut asked: Asked) {
        let Some(handed) = self.tasks.get_mut(&number) else {
            return;
        };
        if !has_room(&handed.questions, &asked) || handed.names.len() >= TASK_QUESTIONS_MAX {
            return self.too_many(&asked);
        }
        while !handed.names.insert(asked.key.clone()) {
            asked.key.push('_');
        }
        handed.questions.push(asked);
        let waits = |call: &Call| matches!(&call.stage, Stage::Announced(task, _) if *task == number);
        let waiting: Vec<u64> =
            self.calls.iter().filter(|(_, call)| waits(call)).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.arm(LaneTimer::Gather(id), GATHER_MS));
    }

    /// The task that a request of the server belongs to, if its client looks at it.
    pub(super) fn task_of(&self, request: Message<'_>) -> Option<u64> {
        let related = related_task(request)?;
        self.tasks.iter().find(|(_, handed)| handed.task.is(&related)).map(|(number, _)| *number)
    }

    pub(super) fn withdrawn_from_tasks(&mut self, id: &[u8]) {
        for handed in self.tasks.values_mut() {
            handed.questions.retain(|asked| canonical_id(&asked.id) != id);
        }
    }

    /// The questions of a task have come, or took too long. False if the call does not wait for any.
    pub(super) fn announced(&mut self, id: u64) -> bool {
        let Some(call) = self.calls.get_mut(&id).filter(|call| matches!(call.stage, Stage::Announced(..))) else {
            return false;
        };
        if let Stage::Announced(number, told) = std::mem::replace(&mut call.stage, Stage::Plain) {
            self.describe_open(id, number, &told);
        }
        true
    }

    /// A task that is not over wants something, as far as is known, or works.
    fn describe_open(&mut self, id: u64, number: u64, told: &[u8]) {
        let questions = self.tasks.get(&number).map_or(&[][..], |handed| &handed.questions);
        if questions.is_empty() {
            return self.describe(id, told, TaskStatus::Working, b"");
        }
        let requests = input_requests(questions.iter().map(|asked| (&*asked.key, &asked.question)));
        self.describe(id, told, TaskStatus::InputRequired, &pair("inputRequests", &requests));
    }

    /// A task is over: with a result, also if that says that it failed, or with an error.
    fn conclude(&mut self, id: u64, number: u64, told: &[u8]) {
        let outcome = self.tasks.get(&number).and_then(|handed| handed.outcome.as_ref());
        let Some((status, end)) = outcome.and_then(|outcome| end(outcome.lend())) else {
            if let Some(client) = self.forget(id).and_then(|call| call.client) {
                self.fail(client.exchange, &client.id, Reason::ProtocolViolation);
            }
            return;
        };
        self.describe_end(id, number, told, status, &end);
    }

    fn describe_end(&mut self, id: u64, number: u64, told: &[u8], status: TaskStatus, end: &[u8]) {
        self.give_up_questions(number);
        if let Some(handed) = self.tasks.get_mut(&number) {
            handed.over = true;
        }
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

    fn give_up_questions(&mut self, number: u64) {
        let questions = self.tasks.get_mut(&number).map(|handed| std::mem::take(&mut handed.questions));
        for asked in questions.into_iter().flatten() {
            self.send(asked.question.given_up(&asked.id));
        }
    }

    /// A task has had its time.
    pub(super) fn expire(&mut self, number: u64) {
        let open = self.tasks.get(&number).filter(|handed| handed.is_open());
        let params = open.map(|handed| handed.task.params());
        self.forget_task(number);
        if let Some(params) = params {
            self.ask_server(Wire::Ignored, methods::TASKS_CANCEL, &params);
        }
    }

    fn forget_task(&mut self, number: u64) {
        self.give_up_questions(number);
        if self.tasks.remove(&number).is_some() {
            self.disarm(LaneTimer::Task(number));
        }
        for (id, _) in self.take_waiting(number) {
            self.answer_unknown(id);
        }
    }

    fn answer_unknown(&mut self, id: u64) {
        if let Some(client) = self.forget(id).and_then(|call| call.client) {
            self.answer(client.exchange, 200, failure::unknown_task(&client.id));
        }
    }

    /// The lane ends, and its tasks are lost.
    pub(super) fn lose_tasks(&mut self) {
        for number in std::mem::take(&mut self.tasks).into_keys() {
            self.disarm(LaneTimer::Task(number));
        }
    }
}

/// The member of a task object that tells its end, and the status that goes with it. None if it is no result.
fn end(outcome: Message<'_>) -> Option<(TaskStatus, Vec<u8>)> {
    if outcome.kind() == Kind::Error {
        let error = error_map::to_modern(outcome, methods::TOOLS_CALL, b"0", None).message;
        let error = Owned::scan(error).ok()?;
        let at = error.lend().envelope().error_range()?;
        return Some((TaskStatus::Failed, pair("error", &error.lend().bytes()[at])));
    }
    let result = Owned::scan(result::to_modern(outcome, methods::TOOLS_CALL, b"0", b"")?).ok()?;
    let at = result.lend().result_object()?;
    Some((TaskStatus::Completed, pair("result", &result.lend().bytes()[at])))
}
