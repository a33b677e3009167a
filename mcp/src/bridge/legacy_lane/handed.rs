//! Tasks that their clients look at themselves: how they come about, what is given to them, and how they go.

use std::collections::BTreeSet;

use super::asking::{Asked, has_room, related_task};
use super::call::{Call, Waiting};
use super::news::News;
use super::retry::take_answers;
use super::tasking::Stage;
use super::{LaneOutput, LaneTimer, LegacyLane, Wire};
use crate::bridge::capabilities::{ClientCapabilities, required_tasks};
use crate::bridge::edits::{joined, object, pair};
use crate::bridge::failure::{self, Reason};
use crate::bridge::limits::{GATHER_MS, TASK_QUESTIONS_MAX, TASKS_MAX};
use crate::bridge::message::{Exchange, Message, Owned};
use crate::bridge::state::{Resume, TaskCreated};
use crate::bridge::task::{Task, TaskStatus};
use crate::envelope::{Kind, canonical_id};
use crate::{compose, methods};

pub(super) const COMPLETE: &[u8] = br#""resultType":"complete""#;

pub(super) struct Handed {
    pub task: Task,
    /// Those that wait for an answer.
    pub questions: Vec<Asked>,
    /// Every name that a question of it has had.
    names: BTreeSet<String>,
    /// `tasks/result` is on its way.
    pub fetching: bool,
    /// What was answered to that.
    pub outcome: Option<Owned>,
    /// What its listeners are told next.
    pub news: Option<News>,
    /// Its client has seen the end, or wants it.
    pub over: bool,
}

impl Handed {
    /// Whether the lane has to live on for it.
    pub fn is_open(&self) -> bool {
        !self.over
    }

    /// Whether its end is known. An error may have come for other reasons before there was one.
    pub fn has_end(&self, status: TaskStatus) -> bool {
        let fits = |outcome: &Owned| status == TaskStatus::Failed || outcome.lend().kind() == Kind::Response;
        self.outcome.as_ref().is_some_and(fits)
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
        let handed =
            Handed { task, questions, names, fetching: false, outcome: None, news: None, over: false };
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

    /// Its client knows the end of a task.
    pub(super) fn task_is_over(&mut self, number: u64) {
        self.give_up_questions(number);
        if let Some(handed) = self.tasks.get_mut(&number) {
            handed.over = true;
        }
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
        let is_news = handed.news.as_ref().is_some_and(|news| news.status == TaskStatus::InputRequired);
        waiting.into_iter().for_each(|id| self.arm(LaneTimer::Gather(id), GATHER_MS));
        if is_news {
            self.arm(LaneTimer::News(number), GATHER_MS);
        }
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

    pub(super) fn give_up_questions(&mut self, number: u64) {
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

    pub(super) fn forget_task(&mut self, number: u64) {
        self.give_up_questions(number);
        self.drop_news(number);
        if self.tasks.remove(&number).is_some() {
            self.disarm(LaneTimer::Task(number));
        }
        for (id, _) in self.take_waiting(number) {
            self.answer_unknown(id);
        }
    }

    pub(super) fn answer_unknown(&mut self, id: u64) {
        if let Some(client) = self.forget(id).and_then(|call| call.client) {
            self.answer(client.exchange, 200, failure::unknown_task(&client.id));
        }
    }

    /// The lane ends, and its tasks are lost.
    pub(super) fn lose_tasks(&mut self) {
        for (number, handed) in std::mem::take(&mut self.tasks) {
            self.disarm(LaneTimer::Task(number));
            if handed.news.is_some() {
                self.disarm(LaneTimer::News(number));
            }
        }
    }
}
