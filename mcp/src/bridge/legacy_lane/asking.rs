//! The server asks: which call it is about, and how that call is suspended until its client answers.

use std::borrow::Cow;

use bytes::Bytes;

use super::call::{Call, Waiting};
use super::{LaneOutput, LaneTimer, LegacyLane};
use crate::bridge::failure::{self, Reason};
use crate::bridge::limits::{
    GATHER_MS, QUESTION_BYTES_MAX, QUESTIONS_MAX, SUSPENDED_MAX, SUSPENSION_MS, UNSOLICITED_MAX,
    UNSOLICITED_MS,
};
use crate::bridge::message::Message;
use crate::bridge::question::{META_RELATED_TASK, Question, QuestionKind, input_requests};
use crate::bridge::state::{Fingerprint, InputRequired, RequestState};
use crate::envelope::canonical_id;
use crate::json;
use crate::object::{elements, member, member_text};
use crate::refusal::{code, error_response};
use crate::{compose, methods};

/// A question of the server that waits for its answer.
pub(super) struct Asked {
    /// Its name in `inputRequests`.
    pub key: String,
    /// The server's id of it, as it was spelled.
    pub id: Bytes,
    pub question: Question,
}

/// A question that belongs to no call yet.
pub(super) struct Unsolicited(Asked);

impl LegacyLane {
    /// A request of the server.
    pub(super) fn asked(&mut self, request: Message<'_>) {
        let id = request.id();
        if request.method() == methods::PING {
            return self.send(compose::response(&id, b"{}").into());
        }
        let Some(question) = Question::of_request(request) else {
            return self.send(failure::method_not_found(&id, request.method()));
        };
        if question.allowed_by(&self.options.capabilities).is_err() {
            self.not_declared(request, &question);
            return self.send(failure::method_not_found(&id, request.method()));
        }
        let asked = Asked { key: key(&id), id, question };
        match (self.task_of(request), self.call_of_task(request).or_else(|| self.likely_call())) {
            (Some(task), _) => self.put_to_task(task, asked),
            (None, Some(call)) => self.put(call, asked),
            (None, None) => self.hold_question(asked),
        }
    }

    /// The server asks what this lane's clients cannot answer: the call it is about cannot go on.
    fn not_declared(&mut self, request: Message<'_>, question: &Question) {
        let Err(required) = question.allowed_by(&self.options.capabilities) else {
            return;
        };
        if self.task_of(request).is_some() {
            return;
        }
        let call = self.call_of_task(request).or_else(|| self.likely_call());
        let waits = call.filter(|id| self.calls.get(id).is_some_and(|call| call.client.is_some()));
        let cancelled = waits.and_then(|id| self.cancel(id, "the client cannot answer the question"));
        if let Some(client) = cancelled.and_then(|call| call.client) {
            let message = failure::missing_capability(&client.id, &required);
            self.answer(client.exchange, 400, message);
        }
    }

    fn call_of_task(&self, request: Message<'_>) -> Option<u64> {
        let task = related_task(request)?;
        self.calls.iter().find(|(_, call)| call.stage.is_task(&task)).map(|(id, _)| *id)
    }

    /// The oldest call that may ask and has no answer yet; first those whose client is there. On one
    /// principal's lane a wrong guess is harmless: the answer finds its way by the server's own id.
    fn likely_call(&self) -> Option<u64> {
        let open = |call: &&Call| call.interactive && call.outcome.is_none();
        let mut open = self.calls.iter().filter(|(_, call)| open(call));
        let waiting = open.clone().find(|(_, call)| call.client.is_some());
        waiting.or_else(|| open.next()).map(|(id, _)| *id)
    }

    /// Adds a question to those of a call.
    fn put(&mut self, id: u64, mut asked: Asked) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if !has_room(&call.questions, &asked) {
            return self.too_many(&asked);
        }
        while call.questions.iter().any(|other| other.key == asked.key) {
            asked.key.push('_');
        }
        call.questions.push(asked);
        let first = call.questions.len() == 1 && call.client.is_some();
        self.touch(id);
        if first {
            self.arm(LaneTimer::Gather(id), GATHER_MS);
        }
    }

    pub(super) fn too_many(&mut self, asked: &Asked) {
        let text = "too many questions are open for this call";
        self.send(error_response(&asked.id, code::INTERNAL_ERROR, text, None).into());
    }

    /// Finds a place for a question whose call has ended.
    pub(super) fn place(&mut self, asked: Asked) {
        match self.likely_call() {
            Some(call) => self.put(call, asked),
            None => self.hold_question(asked),
        }
    }

    /// No call is in flight: roots can wait a moment for one, a prompt would come out of nowhere.
    fn hold_question(&mut self, asked: Asked) {
        let waits = asked.question.kind() == QuestionKind::Roots && self.unsolicited.len() < UNSOLICITED_MAX;
        if !waits {
            let text = "no call is in flight that this question could belong to";
            return self.send(error_response(&asked.id, code::INTERNAL_ERROR, text, None).into());
        }
        let number = self.next;
        self.next += 1;
        self.unsolicited.insert(number, Unsolicited(asked));
        self.arm(LaneTimer::Unsolicited(number), UNSOLICITED_MS);
    }

    /// A call has come that held questions may belong to.
    pub(super) fn adopt(&mut self, call: u64) {
        for (number, Unsolicited(asked)) in std::mem::take(&mut self.unsolicited) {
            self.disarm(LaneTimer::Unsolicited(number));
            self.put(call, asked);
        }
    }

    pub(super) fn answer_unsolicited(&mut self, number: u64) {
        let Some(Unsolicited(asked)) = self.unsolicited.remove(&number) else {
            return;
        };
        match &self.roots {
            Some(roots) => {
                let answer = compose::response(&asked.id, roots);
                self.send(answer.into());
            }
            None => {
                self.roots_owed = true;
                self.send(asked.question.given_up(&asked.id));
            }
        }
    }

    /// The server no longer wants an answer.
    pub(super) fn withdrawn(&mut self, id: &[u8]) {
        let id = canonical_id(id);
        for call in self.calls.values_mut() {
            call.questions.retain(|asked| canonical_id(&asked.id) != id);
        }
        self.withdrawn_from_tasks(&id);
        let held = self.unsolicited.iter().find(|(_, held)| canonical_id(&held.0.id) == id);
        if let Some(number) = held.map(|(number, _)| *number) {
            self.unsolicited.remove(&number);
            self.disarm(LaneTimer::Unsolicited(number));
        }
    }

    pub(super) fn lose_questions(&mut self) {
        for number in std::mem::take(&mut self.unsolicited).into_keys() {
            self.disarm(LaneTimer::Unsolicited(number));
        }
    }

    /// The questions of a call are complete, as far as one can tell.
    pub(super) fn gathered(&mut self, id: u64) {
        if self.announced(id) {
            return;
        }
        let ready = |call: &Call| call.client.is_some() && !call.questions.is_empty();
        if !self.calls.get(&id).is_some_and(ready) {
            return;
        }
        if self.calls.values().filter(|call| call.client.is_none()).count() < SUSPENDED_MAX {
            return self.suspend(id);
        }
        if let Some(client) = self.cancel(id, "too many calls wait for input").and_then(|call| call.client) {
            self.fail(client.exchange, &client.id, Reason::LaneUnavailable);
        }
    }

    /// Hands the open questions to the client that waits, and the call its leave to wait for answers.
    pub(super) fn suspend(&mut self, id: u64) {
        let meta = self.profile().map(|profile| profile.info_member()).unwrap_or_default();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(Waiting { exchange, id: client_id, .. }) = call.client.take() else {
            return;
        };
        call.round += 1;
        let request = Fingerprint::of(call.request.lend());
        let requests = input_requests(call.questions.iter().map(|asked| (&*asked.key, &asked.question)));
        let state = RequestState::Suspended { call: id, round: call.round, request };
        self.exchanges.remove(&exchange);
        self.disarm(LaneTimer::Call(id));
        self.disarm(LaneTimer::Gather(id));
        self.arm(LaneTimer::Suspension(id), SUSPENSION_MS);
        let answer = InputRequired { id: client_id, requests: requests.into(), meta, state };
        self.outbox.push(LaneOutput::Suspend { exchange, answer });
    }

    /// The client of a suspended call did not come back.
    pub(super) fn abandon(&mut self, id: u64) {
        if self.calls.get(&id).is_some_and(|call| call.client.is_none()) {
            self.cancel(id, "nobody answered the questions");
        }
    }

    /// -32042: the server wants the user at a URL and has forgotten the call. So may we.
    pub(super) fn ask_to_resend(&mut self, client: &Waiting, call: &Call, error: Message<'_>) {
        let data = error.error_member("data").unwrap_or(b"{}");
        let list = member(data, 0..data.len(), "elicitations").filter(|at| data[at.start] == b'[');
        let questions: Vec<(String, Question)> = list
            .into_iter()
            .flat_map(|list| elements(data, list))
            .filter_map(|at| Question::of_url(&data[at]))
            .take(QUESTIONS_MAX)
            .enumerate()
            .map(|(number, question)| (format!("url{number}"), question))
            .collect();
        if questions.is_empty() {
            return self.fail(client.exchange, &client.id, Reason::ProtocolViolation);
        }
        let lacks = questions.iter().find_map(|(_, question)| question.allowed_by(&call.capabilities).err());
        if let Some(required) = lacks {
            let message = failure::missing_capability(&client.id, &required);
            return self.answer(client.exchange, 400, message);
        }
        let requests = input_requests(questions.iter().map(|(key, question)| (&**key, question)));
        let state = RequestState::Resend { request: Fingerprint::of(call.request.lend()) };
        let meta = self.profile().map(|profile| profile.info_member()).unwrap_or_default();
        let answer = InputRequired { id: client.id.clone(), requests: requests.into(), meta, state };
        self.outbox.push(LaneOutput::Suspend { exchange: client.exchange, answer });
    }
}

/// The task that a request of the server belongs to.
pub(super) fn related_task(request: Message<'_>) -> Option<Cow<'_, str>> {
    let (bytes, meta) = (request.bytes(), request.envelope().meta_range()?);
    member_text(bytes, member(bytes, meta, META_RELATED_TASK)?, "taskId")
}

/// Whether a question may be kept beside others.
pub(super) fn has_room(questions: &[Asked], asked: &Asked) -> bool {
    let bytes: usize = questions.iter().map(|asked| asked.question.params().len()).sum();
    questions.len() < QUESTIONS_MAX && bytes + asked.question.params().len() <= QUESTION_BYTES_MAX
}

/// The name of a question: the server's id, so that a server that cares can choose it.
fn key(id: &[u8]) -> String {
    match json::text(id) {
        Some(text) => text.into_owned(),
        None => format!("r{}", String::from_utf8_lossy(&canonical_id(id))),
    }
}
