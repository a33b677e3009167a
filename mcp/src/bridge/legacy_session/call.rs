//! One client's request on its way through a session, from its start to its answer.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::asking::Ask;
use super::handed::About;
use super::rounds::Repeat;
use super::tasking::Polled;
use super::{LegacySession, SessionOutput, SessionTimer, Wire, words};
use crate::bridge::capabilities::TASKS_EXTENSION;
use crate::bridge::downlevel;
use crate::bridge::error_map::{self, code_of};
use crate::bridge::failure::{self, Reason};
use crate::bridge::level::Level;
use crate::bridge::limits::CALLS_MAX;
use crate::bridge::message::{Exchange, Message, Owned};
use crate::bridge::request::{self, Round};
use crate::bridge::result;
use crate::envelope::{Kind, canonical_id};
use crate::object::member;
use crate::refusal::{code, error_response};
use crate::revision::Revision;
use crate::{compose, methods};

pub(super) struct Call {
    pub exchange: Exchange,
    /// Goes out again in every round.
    pub request: Owned,
    pub can_be_asked: bool,
    /// What waits for a response upstream; none while the client is asked, or time passes.
    pub wire: Option<u64>,
    /// Rounds in which the client was asked something.
    pub rounds: u32,
    /// `requestState` as the server spelled it.
    pub state: Option<Bytes>,
    /// What this round answers, as the value of `inputResponses`.
    pub responses: Option<Bytes>,
    /// What the client is asked in this round.
    pub asks: Vec<Ask>,
    pub repeat: Repeat,
    /// The server wants to answer with a task.
    pub with_tasks: bool,
    /// The client wants a task for an answer, for so long.
    pub wants_task: Option<u64>,
    pub task: Option<Polled>,
    /// It is about a task that the client has had before.
    pub about: Option<About>,
    /// The server tells of progress itself.
    pub progresses: bool,
    /// Questions of the task that were put to the client.
    pub asked_for_task: BTreeSet<String>,
}

impl Call {
    pub fn id(&self) -> Bytes {
        self.request.lend().id()
    }

    /// What the client calls the task whose result it waits for; a JSON string.
    pub fn task_name(&self) -> Option<Bytes> {
        let request = self.request.lend();
        let name = request.param("taskId").filter(|_| self.about.is_some())?;
        Some(request.bytes().slice_ref(name))
    }

    /// Whether the client's answers are on their way to a task that outlives the call.
    fn gives_answers(&self) -> bool {
        self.about.is_some() && self.task.as_ref().is_some_and(Polled::is_updating)
    }

    /// The request that the server sees the result of.
    pub fn method(&self) -> &str {
        match self.request.lend().method() {
            methods::TASKS_RESULT => methods::TOOLS_CALL,
            method => method,
        }
    }
}

impl LegacySession {
    pub(super) fn start(&mut self, exchange: Exchange, request: Message<'_>, can_be_asked: bool) {
        let wants_task = self.wants_task(request);
        if let Some(id) = self.enter(exchange, request, can_be_asked) {
            if let Some(call) = self.calls.get_mut(&id) {
                call.with_tasks = wants_task.is_some();
                call.wants_task = wants_task;
            }
            self.send_round(id, None);
        }
    }

    /// Makes a call of a request, if there is room for one.
    pub(super) fn enter(
        &mut self,
        exchange: Exchange,
        request: Message<'_>,
        can_be_asked: bool,
    ) -> Option<u64> {
        if self.calls.len() >= CALLS_MAX {
            let reason = Reason::LaneUnavailable;
            self.answer(exchange, reason.answer(&request.id(), words(reason)));
            return None;
        }
        let call = Call {
            exchange,
            request: request.into(),
            can_be_asked,
            wire: None,
            rounds: 0,
            state: None,
            responses: None,
            asks: Vec::new(),
            repeat: Repeat::default(),
            with_tasks: false,
            wants_task: None,
            task: None,
            about: None,
            progresses: false,
            asked_for_task: BTreeSet::new(),
        };
        let id = self.next;
        self.next += 1;
        self.calls.insert(id, call);
        Some(id)
    }

    /// Sends the request of a call, with what this round adds to it.
    pub(super) fn send_round(&mut self, id: u64, responses: Option<Bytes>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.responses = responses;
            self.send_again(id);
        }
    }

    /// Sends the request of a call as it is in this round.
    fn send_again(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (kept, tasks) = (call.request.clone(), call.with_tasks);
        let (responses, state) = (call.responses.clone(), call.state.clone());
        let round = Round { responses: responses.as_deref(), state: state.as_deref() };
        let wire = self.send(Wire::Call(id), tasks, |number, client| {
            request::to_modern(kept.lend(), number, client, round)
        });
        self.waits_on(id, wire);
    }

    /// The server owes an answer now.
    pub(super) fn waits_on(&mut self, id: u64, wire: Option<u64>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.wire = wire;
            self.arm(SessionTimer::Call(id), self.options.call_timeout_ms);
        }
    }

    pub(super) fn call_responded(&mut self, id: u64, response: Message<'_>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.wire = None;
        if call.task.is_some() {
            return self.task_told(id, response);
        }
        if call.about.is_some() {
            return self.looked(id, response);
        }
        if response.kind() == Kind::Error {
            return self.refused(id, response);
        }
        match response.envelope().result_type(response.bytes()).as_deref() {
            None | Some("complete") => self.complete(id, response),
            Some("input_required") => self.input_required(id, response),
            Some("task") if call.wants_task.is_some() => self.hand_over(id, response),
            Some("task") if call.with_tasks => self.task_created(id, response),
            Some(_) => self.fail_call(id, Reason::ProtocolViolation),
        }
    }

    /// An error of the server. A tool that is offered as a task only is called once more, as one.
    fn refused(&mut self, id: u64, error: Message<'_>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let is_call = call.request.lend().method() == methods::TOOLS_CALL;
        if is_call && !call.with_tasks && wants_tasks(error) {
            call.with_tasks = true;
            return self.send_again(id);
        }
        if let Some(call) = self.forget(id) {
            let request = call.request.lend();
            let message = error_map::to_legacy(error, request.method(), &request.id());
            self.answer(call.exchange, message);
        }
    }

    /// The answer is there.
    pub(super) fn complete(&mut self, id: u64, response: Message<'_>) {
        let Some(call) = self.forget(id) else {
            return;
        };
        let method = call.method();
        let client = self.client.as_ref().map_or(Revision::LATEST_LEGACY, |client| client.seed.revision);
        let translated = result::to_legacy(response, method, &call.id());
        let mirrors = self.options.over_http && method == methods::TOOLS_LIST;
        let message = translated
            .map(|message| if mirrors { changed(message, result::with_good_headers) } else { message })
            .map(|message| changed(message, |message| downlevel::response(message, method, client)))
            .map(|message| match call.task_name() {
                Some(name) => changed(message, |message| result::of_task(message, &name)),
                None if method == methods::TOOLS_LIST && self.offers_tasks() => {
                    changed(message, result::with_task_support)
                }
                None => message,
            });
        match message {
            Some(message) => self.answer_or_keep(&call, message),
            None => {
                let reason = Reason::ProtocolViolation;
                self.answer(call.exchange, reason.answer(&call.id(), words(reason)));
            }
        }
    }

    /// Answers a call with its result. A client that wants a task gets it as one.
    fn answer_or_keep(&mut self, call: &Call, message: Bytes) {
        match call.wants_task {
            Some(ttl_ms) => self.keep_result(call, ttl_ms, message),
            None => self.answer(call.exchange, message),
        }
    }

    /// The call fails by the server's or the gateway's fault.
    pub(super) fn fail_call(&mut self, id: u64, reason: Reason) {
        if let Some(call) = self.forget(id) {
            self.answer(call.exchange, reason.answer(&call.id(), words(reason)));
        }
    }

    /// The call fails because the client did not give what it needs: a model shall read why.
    pub(super) fn fail_for_input(&mut self, id: u64, why: &str, data: Option<&serde_json::Value>) {
        self.cancel_task(id);
        let Some(call) = self.forget(id) else {
            return;
        };
        match call.request.lend().method() {
            methods::TOOLS_CALL => {
                let message = failure::tool_error(&call.id(), why, false);
                self.answer_or_keep(&call, message);
            }
            _ => {
                let message = error_response(&call.id(), code::INVALID_PARAMS, why, data);
                self.answer(call.exchange, message.into());
            }
        }
    }

    /// What the server tells of a call before it answers.
    pub(super) fn relay(&mut self, id: u64, notification: Message<'_>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let exchange = call.exchange;
        call.progresses |= notification.method() == methods::PROGRESS;
        let wanted = match notification.method() {
            methods::PROGRESS => call.request.lend().progress_token().is_some(),
            methods::MESSAGE => Level::of(notification) >= self.level,
            // Changes are told on the stream for them; the rest belongs to the modern era.
            _ => false,
        };
        self.arm(SessionTimer::Call(id), self.options.call_timeout_ms);
        if wanted {
            let message = notification.bytes().clone();
            self.outbox.push(SessionOutput::Client { exchange, message });
        }
    }

    pub(super) fn silent(&mut self, id: u64) {
        if let Some(wire) = self.calls.get(&id).and_then(|call| call.wire) {
            self.cancel_wire(wire);
            self.cancel_task(id);
            self.fail_call(id, Reason::Timeout);
        }
    }

    /// The client cancelled its request `client_id`.
    pub(super) fn cancelled(&mut self, client_id: &[u8]) {
        let client_id = canonical_id(client_id);
        let call = self.calls.iter().find(|(_, call)| canonical_id(&call.id()) == client_id);
        if let Some((id, exchange)) = call.map(|(id, call)| (*id, call.exchange)) {
            self.cancel(id);
            self.outbox.push(SessionOutput::Drop { exchange });
        }
    }

    /// Nobody waits for a call any more.
    pub(super) fn cancel(&mut self, id: u64) {
        self.cancel_task(id);
        let call = self.calls.get_mut(&id);
        let gives_answers = call.as_ref().is_some_and(|call| call.gives_answers());
        match call.and_then(|call| call.wire.take()) {
            // The task goes on, and the answers are not to be given twice.
            Some(wire) if gives_answers => {
                self.wires.insert(wire, Wire::Ignored);
            }
            Some(wire) => self.cancel_wire(wire),
            None => {}
        }
        self.forget(id);
    }

    /// Takes a call out of every list. The client is told which questions it need not answer any more.
    pub(super) fn forget(&mut self, id: u64) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(wire) = call.wire {
            self.wires.remove(&wire);
        }
        [SessionTimer::Call(id), SessionTimer::Pause(id), SessionTimer::Poll(id)]
            .into_iter()
            .for_each(|timer| self.disarm(timer));
        for ask in &call.asks {
            if self.asks.remove(&ask.number).is_none() {
                continue;
            }
            let id = crate::bridge::edits::quoted(&self.ask_id(ask.number));
            let message = compose::cancelled(&id, "the call has ended").into();
            self.outbox.push(SessionOutput::Disarm(SessionTimer::Answer(ask.number)));
            self.outbox.push(SessionOutput::Client { exchange: call.exchange, message });
        }
        Some(call)
    }
}

/// What `change` makes of a message, if it makes anything of it.
fn changed(message: Bytes, change: impl FnOnce(Message<'_>) -> Option<Bytes>) -> Bytes {
    let scanned = Owned::scan(message.clone()).ok();
    scanned.and_then(|scanned| change(scanned.lend())).unwrap_or(message)
}

/// Whether the server would answer with a task, if only it might.
fn wants_tasks(error: Message<'_>) -> bool {
    let data = error.error_member("data").unwrap_or(b"{}");
    let tasks = ["requiredCapabilities", "extensions", TASKS_EXTENSION]
        .into_iter()
        .try_fold(0..data.len(), |at, name| member(data, at, name));
    code_of(error) == Some(code::MISSING_CAPABILITY) && tasks.is_some()
}
