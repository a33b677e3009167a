//! The client comes back: its answers go to the server, and it waits again.

use bytes::Bytes;

use super::asking::Asked;
use super::call::Waiting;
use super::tasking::Stage;
use super::{LaneTimer, LegacyLane};
use crate::bridge::capabilities::ClientCapabilities;
use crate::bridge::failure::{self, Reason};
use crate::bridge::message::{Exchange, Message};
use crate::bridge::question::{QuestionKind, action, answer_to};
use crate::bridge::state::{Fingerprint, RequestState, Resume};
use crate::object::members;
use crate::{compose, methods};

impl LegacyLane {
    /// A request that the server may ask something about: the first of its call, or a retry.
    pub(super) fn resume(&mut self, exchange: Exchange, request: Message<'_>, resume: Resume) {
        let resumed = match resume {
            Resume::First => return self.start(exchange, request),
            Resume::With(RequestState::Suspended { call, round, request: of }) => {
                self.suspended(call, round, of, request).and_then(|id| self.feed(id, exchange, request))
            }
            Resume::With(RequestState::Resend { request: of }) if of == Fingerprint::of(request) => {
                return self.resend(exchange, request);
            }
            Resume::With(RequestState::Resend { .. }) | Resume::Invalid => Err(Reason::InvalidRequestState),
            Resume::Lost => Err(Reason::InteractionLost),
            // The driver gives these to requests about tasks only.
            Resume::Task(_) | Resume::Tasks(_) => Err(Reason::InvalidRequestState),
        };
        match resumed {
            Ok(()) => {}
            Err(Reason::InvalidInput) => {
                let message =
                    Reason::InvalidInput.answer(&request.id(), "an entry of inputResponses is malformed");
                self.answer(exchange, 200, message);
            }
            Err(reason) => self.answer(exchange, 200, reason.state_answer(&request.id())),
        }
    }

    /// The call that a state speaks of, if the state is good for this request.
    fn suspended(&self, id: u64, round: u32, of: Fingerprint, request: Message<'_>) -> Result<u64, Reason> {
        let Some(call) = self.calls.get(&id) else {
            return Err(if id < self.next {
                Reason::InteractionExpired
            } else {
                Reason::InvalidRequestState
            });
        };
        let capabilities = ClientCapabilities::of_modern(request);
        let tasks = capabilities.tasks || !matches!(call.stage, Stage::Creating);
        let covered =
            || tasks && call.questions.iter().all(|asked| asked.question.allowed_by(&capabilities).is_ok());
        let fits = call.client.is_none() && call.round == round && of == Fingerprint::of(request);
        if fits && covered() { Ok(id) } else { Err(Reason::InvalidRequestState) }
    }

    /// Gives the answers to the server and lets the client wait for what comes of it.
    fn feed(&mut self, id: u64, exchange: Exchange, request: Message<'_>) -> Result<(), Reason> {
        let responses = request.param("inputResponses").unwrap_or(b"{}");
        let call = self.calls.get_mut(&id).ok_or(Reason::InteractionExpired)?;
        let given = take_answers(&mut call.questions, responses)?;
        call.client = Some(Waiting::of(exchange, request));
        self.exchanges.insert(exchange, id);
        self.disarm(LaneTimer::Suspension(id));
        self.give(given);
        self.go_on(id);
        Ok(())
    }

    /// Gives answers to the server.
    pub(super) fn give(&mut self, answers: Vec<(Asked, Bytes)>) {
        for (asked, given) in answers {
            let message = compose::response(&asked.id, &given);
            if asked.question.kind() == QuestionKind::Roots && !self.options.shared {
                self.roots = Some(given);
            }
            self.send(message.into());
        }
    }

    /// A client waits again for a call that was suspended.
    fn go_on(&mut self, id: u64) {
        self.flush_progress(id);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(outcome) = call.outcome.take() {
            // The server did not wait for the rest of its answers.
            for asked in std::mem::take(&mut call.questions) {
                self.send(asked.question.given_up(&asked.id));
            }
            return self.outcome(id, outcome.lend());
        }
        if !call.questions.is_empty() {
            return self.suspend(id);
        }
        // The state was good for one round.
        call.round += 1;
        let level = call.client.as_ref().and_then(|client| client.level);
        self.raise_level(level);
        self.arm(LaneTimer::Call(id), self.options.call_timeout_ms);
        self.look_later(id);
    }

    /// Sends a call once more whose server wanted the user at a URL first.
    fn resend(&mut self, exchange: Exchange, request: Message<'_>) {
        let responses = request.param("inputResponses").unwrap_or(b"{}");
        let answers = members(responses, 0..responses.len());
        let refused = answers
            .filter_map(|(_, at)| action(&responses[at]).map(|action| action.into_owned()))
            .find(|action| matches!(&**action, "decline" | "cancel"));
        let Some(action) = refused else {
            return self.start(exchange, request);
        };
        let text = format!("the call needs the user to open a page, and the answer was {action:?}");
        let id = request.id();
        let message = match request.method() {
            methods::TOOLS_CALL => failure::tool_error(&id, &text, true),
            _ => Reason::Declined.answer(&id, &text),
        };
        self.answer(exchange, 200, message);
    }
}

/// Takes the questions out that `responses` answers, with the answers.
///
/// # Errors
/// One of the answers is malformed; nothing was taken out.
pub(super) fn take_answers(
    questions: &mut Vec<Asked>,
    responses: &[u8],
) -> Result<Vec<(Asked, Bytes)>, Reason> {
    let answer = |asked: &Asked| answer_to(responses, &asked.key);
    let good = |asked: &Asked| answer(asked).is_none_or(|given| asked.question.accepts(given));
    if responses.first() != Some(&b'{') || !questions.iter().all(good) {
        return Err(Reason::InvalidInput);
    }
    let (given, open): (Vec<_>, Vec<_>) =
        std::mem::take(questions).into_iter().partition(|asked| answer(asked).is_some());
    *questions = open;
    let with_answer = |asked: Asked| {
        let given = Bytes::copy_from_slice(answer(&asked).unwrap_or(b"{}"));
        (asked, given)
    };
    Ok(given.into_iter().map(with_answer).collect())
}
