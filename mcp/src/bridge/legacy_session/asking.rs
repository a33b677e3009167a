//! Requests to a legacy client, on the stream of the call that needs the answers.

use serde_json::json;

use super::call::Call;
use super::{LegacySession, SessionOutput, SessionTimer};
use crate::bridge::downlevel::{self, Adapted};
use crate::bridge::limits::ANSWER_MS;
use crate::bridge::message::Message;
use crate::bridge::question::Question;
use crate::envelope::Kind;
use crate::json;
use crate::revision::Revision;

/// One question that was put to the client.
pub(super) struct Ask {
    /// Its name in `inputRequests`.
    pub key: String,
    pub number: u64,
    pub question: Question,
    pub answer: Option<Vec<u8>>,
}

impl LegacySession {
    /// The id of a request to the client.
    pub(super) fn ask_id(&self, number: u64) -> String {
        format!("{}.{number}", self.options.ask_prefix)
    }

    /// Puts the questions of a round to the client, all at once.
    pub(super) fn ask(&mut self, id: u64, questions: Vec<(String, Question)>) {
        let (Some(call), Some(client)) = (self.calls.get(&id), &self.client) else {
            return;
        };
        let (exchange, revision) = (call.exchange, client.seed.revision);
        if !call.can_be_asked {
            let why = "the tool needs input from the user, and this client accepts no event stream to ask on";
            return self.fail_for_input(id, why, None);
        }
        let lacks =
            questions.iter().find_map(|(_, question)| question.allowed_by(&client.capabilities).err());
        if let Some(required) = lacks {
            let why = format!("the backend needs a capability that the client did not declare: {required}");
            return self.fail_for_input(id, &why, Some(&json!({ "requiredCapabilities": required })));
        }
        let mut asks = Vec::with_capacity(questions.len());
        for (key, question) in questions {
            asks.push(self.ask_one(id, exchange, revision, key, question));
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.asks = asks;
        }
        self.answered_if_all(id);
    }

    fn ask_one(
        &mut self,
        id: u64,
        exchange: crate::bridge::message::Exchange,
        revision: Revision,
        key: String,
        question: Question,
    ) -> Ask {
        let known = self.calls.get(&id).and_then(|call| call.repeat.answer(&question)).map(<[u8]>::to_vec);
        let number = self.next;
        self.next += 1;
        match (known, downlevel::question(&question, revision)) {
            (Some(answer), _) => Ask { key, number, question, answer: Some(answer) },
            (None, Adapted::Answered(answer)) => Ask { key, number, question, answer: Some(answer.to_vec()) },
            (None, Adapted::Ask(adapted)) => {
                let task = self.calls.get(&id).and_then(Call::task_name);
                let message = adapted.request(&self.ask_id(number), task.as_deref());
                self.asks.insert(number, id);
                self.outbox.push(SessionOutput::Client { exchange, message });
                self.arm(SessionTimer::Answer(number), ANSWER_MS);
                Ask { key, number, question, answer: None }
            }
        }
    }

    /// The client answers a request. Ids that are not ours, or no longer, are ignored.
    pub fn response(&mut self, response: Message<'_>) {
        let Some(number) = self.ask_number(response) else {
            return;
        };
        let Some(id) = self.asks.remove(&number) else {
            return;
        };
        self.disarm(SessionTimer::Answer(number));
        let asks = self.calls.get_mut(&id).into_iter().flat_map(|call| &mut call.asks);
        let Some(ask) = asks.into_iter().find(|ask| ask.number == number) else {
            return;
        };
        let method = ask.question.method();
        let answer = response.result_object().map(|at| &response.bytes()[at]);
        match answer.filter(|answer| ask.question.accepts(answer)) {
            Some(answer) => {
                ask.answer = Some(answer.to_vec());
                self.answered_if_all(id);
            }
            None if response.kind() == Kind::Error => {
                // The server cannot be told that; without the answer the task comes to nothing.
                self.cancel_looked_at(id);
                let said = response.error_member("message").and_then(json::text).unwrap_or_default();
                self.fail_for_input(id, &format!("the client answered {method} with an error: {said}"), None);
            }
            None => self.fail_for_input(id, &format!("the client's answer to {method} is malformed"), None),
        }
    }

    fn ask_number(&self, response: Message<'_>) -> Option<u64> {
        let id = response.id();
        let id = json::text(&id)?;
        id.strip_prefix(&*self.options.ask_prefix)?.strip_prefix('.')?.parse().ok()
    }

    /// The client took too long.
    pub(super) fn unanswered(&mut self, number: u64) {
        if let Some(id) = self.asks.get(&number).copied() {
            self.fail_for_input(id, "the client did not answer in time what the call needs", None);
        }
    }

    fn answered_if_all(&mut self, id: u64) {
        let all = |asks: &[Ask]| asks.iter().all(|ask| ask.answer.is_some());
        if self.calls.get(&id).is_some_and(|call| !call.asks.is_empty() && all(&call.asks)) {
            self.answered(id);
        }
    }
}
