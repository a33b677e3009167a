//! One client's request on its way through a lane, from its start to its answer.

use std::collections::VecDeque;

use bytes::Bytes;

use super::asking::Asked;
use super::tasking::Stage;
use super::{LaneTimer, LegacyLane, Phase, Wire};
use crate::bridge::capabilities::ClientCapabilities;
use crate::bridge::error_map::{self, code_of};
use crate::bridge::failure::Reason;
use crate::bridge::level::Level;
use crate::bridge::limits::CALLS_MAX;
use crate::bridge::message::{Exchange, Message, Owned};
use crate::bridge::request::{self, TaskWish, ToLegacy};
use crate::bridge::result;
use crate::envelope::Kind;
use crate::refusal::code;
use crate::revision::Revision;
use crate::{compose, methods};

pub(super) struct Call {
    pub request: Owned,
    /// The server may ask something before it answers.
    pub interactive: bool,
    pub capabilities: ClientCapabilities,
    /// What waits for a response upstream; none between two looks at a task.
    pub wire: Option<u64>,
    pub stage: Stage,
    /// Who waits for the answer; none while the call is suspended.
    pub client: Option<Waiting>,
    /// What the server wants to know: gathered while a client waits, handed out while none does.
    pub questions: Vec<Asked>,
    pub round: u32,
    /// The answer, if it came while the call was suspended.
    pub outcome: Option<Owned>,
    /// Progress for a client that is away; the parameters without the token.
    pub progress: VecDeque<Owned>,
    /// The server tells of progress itself.
    pub progresses: bool,
}

/// The client's side of a call.
pub(super) struct Waiting {
    pub exchange: Exchange,
    pub id: Bytes,
    pub token: Option<Bytes>,
    pub level: Option<Level>,
}

impl Waiting {
    pub fn of(exchange: Exchange, request: Message<'_>) -> Self {
        let level = request.envelope().log_level(request.bytes());
        let level = level.and_then(|name| Level::parse(&name));
        Self { exchange, id: request.id(), token: request.progress_token(), level }
    }
}

impl LegacyLane {
    pub(super) fn start(&mut self, exchange: Exchange, request: Message<'_>) {
        let interactive = methods::is_multi_round_trip(request.method());
        let Some(id) = self.enter(exchange, request, Stage::Plain) else {
            return;
        };
        if interactive && std::mem::take(&mut self.roots_owed) {
            // The server asks again, and now somebody is there to answer.
            self.send(compose::notification(methods::ROOTS_LIST_CHANGED, None).into());
        }
        let level = Waiting::of(exchange, request).level;
        if !self.waits_for_level(id, level) {
            self.send_first(id);
        }
        self.arm(LaneTimer::Call(id), self.options.call_timeout_ms);
        if interactive {
            self.adopt(id);
        }
    }

    /// Makes a call of a request, if there is room for one.
    pub(super) fn enter(&mut self, exchange: Exchange, request: Message<'_>, stage: Stage) -> Option<u64> {
        if self.calls.len() >= CALLS_MAX {
            self.fail(exchange, &request.id(), Reason::LaneUnavailable);
            return None;
        }
        let id = self.next;
        self.next += 1;
        let call = Call {
            request: request.into(),
            interactive: methods::is_multi_round_trip(request.method()),
            capabilities: ClientCapabilities::of_modern(request),
            wire: None,
            stage,
            client: Some(Waiting::of(exchange, request)),
            questions: Vec::new(),
            round: 0,
            outcome: None,
            progress: VecDeque::new(),
            progresses: false,
        };
        self.calls.insert(id, call);
        self.exchanges.insert(exchange, id);
        Some(id)
    }

    /// Sends a call for the first time, as a task if it can be one and its client can look at it.
    pub(super) fn send_first(&mut self, id: u64) {
        if self.waits_for_tools(id) {
            return;
        }
        match self.calls.get_mut(&id) {
            Some(call) if self.toolbox.makes_task(call) => {
                call.stage = Stage::Creating;
                self.send_call(id, TaskWish::Handed);
            }
            _ => self.send_call(id, TaskWish::None),
        }
    }

    /// Sends the request of a call to the server, under a new id.
    pub(super) fn send_call(&mut self, id: u64, task: TaskWish) {
        let server = match &self.phase {
            Phase::Open(profile) => profile.revision,
            _ => Revision::LATEST_LEGACY,
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let wire = self.next;
        call.wire = Some(wire);
        // Progress is told by the number of the call, whatever request it is on by now.
        let how = ToLegacy { id: wire, token: id, task, server };
        let sent = request::to_legacy(call.request.lend(), how);
        self.mint(Wire::Call(id));
        self.send(sent);
    }

    pub(super) fn call_responded(&mut self, id: u64, response: Message<'_>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.wire = None;
            if !self.task_goes_on(id, response) {
                self.outcome(id, response);
            }
        }
    }

    /// The final answer of a call is there.
    pub(super) fn outcome(&mut self, id: u64, response: Message<'_>) {
        match self.calls.get_mut(&id) {
            Some(call) if call.client.is_none() => call.outcome = Some(response.into()),
            Some(_) => self.deliver(id, response),
            None => {}
        }
    }

    /// Answers the client that waits for a call, and forgets the call.
    fn deliver(&mut self, id: u64, response: Message<'_>) {
        let Some(mut call) = self.forget(id) else {
            return;
        };
        // The server asked on behalf of another call, then; this one did not need the answers.
        let questions = std::mem::take(&mut call.questions);
        if let Some(client) = call.client.take() {
            self.reply(&client, &call, response);
        }
        questions.into_iter().for_each(|asked| self.place(asked));
    }

    fn reply(&mut self, client: &Waiting, call: &Call, response: Message<'_>) {
        let request = call.request.lend();
        let (method, exchange) = (request.method(), client.exchange);
        if self.hand_over(client, call, response) {
            return;
        }
        if response.kind() == Kind::Response {
            let info = self.profile().map(|profile| profile.info_member()).unwrap_or_default();
            return match result::to_modern(response, method, &client.id, &info) {
                Some(message) => self.answer(exchange, 200, message),
                None => self.fail(exchange, &client.id, Reason::ProtocolViolation),
            };
        }
        if code_of(response) == Some(code::URL_ELICITATION_REQUIRED) && call.interactive {
            return self.ask_to_resend(client, call, response);
        }
        let uri = request.envelope().target(request.bytes());
        let error = error_map::to_modern(response, method, &client.id, uri.as_deref(), &call.capabilities);
        self.answer(exchange, error.status, error.message);
    }

    /// Takes a call out of every list but that of questions to be answered upstream.
    pub(super) fn forget(&mut self, id: u64) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(wire) = call.wire {
            self.wires.remove(&wire);
        }
        match &call.client {
            Some(client) => {
                self.exchanges.remove(&client.exchange);
                self.disarm(LaneTimer::Call(id));
                self.disarm(LaneTimer::Gather(id));
            }
            None => self.disarm(LaneTimer::Suspension(id)),
        }
        if matches!(call.stage, Stage::Polling(_) | Stage::Fetching(_)) {
            self.disarm(LaneTimer::Poll(id));
        }
        Some(call)
    }

    /// Nobody wants the answer any more: the server is told, and what it asked is answered.
    pub(super) fn cancel(&mut self, id: u64, reason: &str) -> Option<Call> {
        let call = self.forget(id)?;
        for asked in &call.questions {
            self.send(asked.question.given_up(&asked.id));
        }
        match (&call.stage, call.wire) {
            (Stage::Polling(task) | Stage::Fetching(task), _) if call.outcome.is_none() => {
                self.ask_server(Wire::Ignored, methods::TASKS_CANCEL, &task.params());
            }
            (stage, Some(wire)) => {
                if matches!(stage, Stage::Creating) {
                    self.wires.insert(wire, Wire::Orphan);
                }
                self.send(compose::cancelled(wire.to_string().as_bytes(), reason).into());
            }
            _ => {}
        }
        Some(call)
    }

    /// A call gave no sign of life for too long.
    pub(super) fn silent(&mut self, id: u64) {
        let waits = self.calls.get(&id).is_some_and(|call| call.client.is_some());
        let cancelled = if waits { self.cancel(id, "timed out") } else { None };
        if let Some(client) = cancelled.and_then(|call| call.client) {
            self.fail(client.exchange, &client.id, Reason::Timeout);
        }
    }

    /// A call gave a sign of life.
    pub(super) fn touch(&mut self, id: u64) {
        if self.calls.get(&id).is_some_and(|call| call.client.is_some()) {
            self.arm(LaneTimer::Call(id), self.options.call_timeout_ms);
        }
    }

    /// The connection is gone, and every call with it.
    pub(super) fn lose_calls(&mut self, reason: Reason) {
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for id in calls {
            if let Some(client) = self.forget(id).and_then(|call| call.client) {
                self.fail(client.exchange, &client.id, reason);
            }
        }
    }
}
