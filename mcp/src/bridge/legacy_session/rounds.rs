//! `input_required`: the client is asked what the server wants to know, and the request goes out again.

use bytes::Bytes;

use super::{LegacySession, SessionTimer};
use crate::bridge::edits::{joined, object, pair};
use crate::bridge::failure::Reason;
use crate::bridge::limits::{POLL_TOTAL_MS, ROUNDS_MAX, STATE_POLL_MS, URL_POLL_MS};
use crate::bridge::message::Message;
use crate::bridge::question::{Question, action, entries};
use crate::methods;

/// What is sent again without asking anybody.
#[derive(Default)]
pub(super) struct Repeat {
    /// Pages that the client has agreed to open, and its answers.
    pages: Vec<(Question, Vec<u8>)>,
    /// The value of `inputResponses` that goes out after the pause.
    responses: Option<Vec<u8>>,
    pause_ms: u64,
    paused_ms: u64,
}

impl Repeat {
    pub fn answer(&self, question: &Question) -> Option<&[u8]> {
        let wanted = question.url()?;
        let known = |page: &&(Question, Vec<u8>)| page.0.url().is_some_and(|url| url == wanted);
        self.pages.iter().find(known).map(|(_, answer)| answer.as_slice())
    }

    /// Remembers the pages of a round.
    fn remember(&mut self, question: &Question, answer: &[u8]) {
        if action(answer).as_deref() == Some("accept") && question.url().is_some() {
            self.pages.push((question.clone(), answer.to_vec()));
        }
    }

    /// The next pause, twice the last; none if the call has waited long enough.
    fn next_pause(&mut self, (first, longest): (u64, u64)) -> Option<u64> {
        self.pause_ms = (self.pause_ms * 2).clamp(first, longest);
        self.paused_ms += self.pause_ms;
        (self.paused_ms <= POLL_TOTAL_MS).then_some(self.pause_ms)
    }
}

impl LegacySession {
    pub(super) fn input_required(&mut self, id: u64, response: Message<'_>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let requests = response.result_member("inputRequests");
        let state = response.result_member("requestState").filter(|state| state.first() == Some(&b'"'));
        call.state = state.map(|state| response.bytes().slice_ref(state));
        let allowed = methods::is_multi_round_trip(call.request.lend().method());
        let questions = requests.map_or(Ok(Vec::new()), entries);
        match questions {
            Ok(questions) if allowed && (requests.is_some() || state.is_some()) => {
                self.disarm(SessionTimer::Call(id));
                self.round(id, questions);
            }
            _ => self.fail_call(id, Reason::ProtocolViolation),
        }
    }

    fn round(&mut self, id: u64, questions: Vec<(String, Question)>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if questions.is_empty() {
            return self.pause(id, STATE_POLL_MS, None);
        }
        let known: Vec<Vec<u8>> = questions
            .iter()
            .filter_map(|(key, question)| Some(pair(key, call.repeat.answer(question)?)))
            .collect();
        if known.len() == questions.len() {
            // The user has agreed to open these pages and has not finished there.
            let known: Vec<&[u8]> = known.iter().map(Vec::as_slice).collect();
            return self.pause(id, URL_POLL_MS, Some(object(&joined(&known))));
        }
        call.rounds += 1;
        if call.rounds > ROUNDS_MAX {
            return self.fail_for_input(id, "the backend asked for input too many times", None);
        }
        self.ask(id, questions);
    }

    fn pause(&mut self, id: u64, range: (u64, u64), responses: Option<Vec<u8>>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.repeat.responses = responses;
        match call.repeat.next_pause(range) {
            Some(after_ms) => self.arm(SessionTimer::Pause(id), after_ms),
            None => self.fail_call(id, Reason::Timeout),
        }
    }

    pub(super) fn pause_over(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.wire.is_none() && call.asks.is_empty() && call.task.is_none() {
            let responses = call.repeat.responses.take();
            self.send_round(id, responses.map(Bytes::from));
        }
    }

    /// Every question of a round has its answer.
    pub(super) fn answered(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.repeat.pages.clear();
        call.repeat.pause_ms = 0;
        let mut answers = Vec::with_capacity(call.asks.len());
        for ask in std::mem::take(&mut call.asks) {
            let answer = ask.answer.unwrap_or_default();
            call.repeat.remember(&ask.question, &answer);
            answers.push(pair(&ask.key, &answer));
        }
        let is_task = call.task.is_some();
        let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
        let responses = object(&joined(&answers));
        if is_task {
            self.update_task(id, &responses);
        } else {
            self.send_round(id, Some(responses.into()));
        }
    }
}
