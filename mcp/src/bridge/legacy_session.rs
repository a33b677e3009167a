//! [`LegacySession`]: a legacy client with a modern server. One machine per client session.
//!
//! - `opening`: the handshake, answered from the server's discovery
//! - `call`: one request, from its start to its answer
//! - `rounds`: the server requires input: the client is asked, and the request goes out again
//! - `asking`: requests to the client, and its answers
//! - `tasking`: calls that the server answers with a task
//! - `handed`: tasks that the client looks at itself
//! - `feed`: one upstream subscription for all that a session wants to hear of

mod asking;
mod call;
mod feed;
mod handed;
mod opening;
mod rounds;
mod tasking;

use std::collections::{BTreeMap, HashMap};
use std::vec::Drain;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::capabilities::ClientCapabilities;
use super::failure::{self, Reason};
use super::level::Level;
use super::message::{Exchange, Message};
use super::request::ClientMeta;
use super::server::ServerTraits;
use super::state::{NewTask, TaskHandle};
use crate::envelope::Kind;
use crate::refusal::{code, error_response};
use crate::revision::Revision;
use crate::{compose, json, methods};
use call::Call;
use feed::Feed;
use handed::OwnTasks;

/// What a session is for.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Stands in for the name of a server that does not say it.
    pub backend: String,
    /// Begins the ids of requests to this client. Nobody else may guess it: who knows an id may answer.
    pub ask_prefix: String,
    /// Longest silence of the server.
    pub call_timeout_ms: u64,
    /// Arguments are repeated in headers as well, so tools that say wrongly which are left out of lists.
    pub over_http: bool,
}

/// What any node has to know to serve a session; travels sealed in its id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionSeed {
    /// Negotiated with the client.
    pub revision: Revision,
    /// JSON text of the client's own.
    client_info: String,
    /// JSON text of the client's own.
    capabilities: String,
    server: ServerTraits,
}

/// What a driver has to do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionOutput {
    /// Send a request to the server. An `endless` one is a subscription.
    Upstream {
        wire: u64,
        message: Bytes,
        endless: bool,
    },
    /// Give a request up: close its stream, or tell the server by `notifications/cancelled`.
    Cancel {
        wire: u64,
    },
    /// Put a request or notification on the stream of a client's request.
    Client {
        exchange: Exchange,
        message: Bytes,
    },
    /// The last message of a client's request.
    Answer {
        exchange: Exchange,
        message: Bytes,
    },
    /// As `Answer`, once the driver has sealed the task.
    Created {
        exchange: Exchange,
        answer: NewTask,
    },
    /// A client's request ends without an answer: it cancelled it.
    Drop {
        exchange: Exchange,
    },
    /// Put a notification on the stream that the client opened with GET.
    General(Bytes),
    /// The handshake is done: the session exists.
    Opened(SessionSeed),
    /// Call [`LegacySession::fire`] after so long; replaces a timer of that name.
    Arm {
        timer: SessionTimer,
        after_ms: u64,
    },
    Disarm(SessionTimer),
}

/// The timers of a session; the numbers are its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SessionTimer {
    /// Silence of the server during a call.
    Call(u64),
    /// The request goes out again.
    Pause(u64),
    /// The client owes an answer.
    Answer(u64),
    /// A task is looked at again.
    Poll(u64),
    /// A result that the session keeps has had its time.
    Task(u64),
    /// The subscription is opened again.
    Reopen,
    /// Silence of the server during its discovery.
    Discovery,
}

/// A request upstream that waits for its response.
enum Wire {
    Discovery,
    Call(u64),
    Listen,
    /// The response tells nothing new.
    Ignored,
}

impl Wire {
    /// A last word, which nothing takes back.
    fn is_parting(&self) -> bool {
        matches!(self, Self::Ignored)
    }
}

/// A legacy client's conversation with a server that has no handshake.
pub struct LegacySession {
    options: SessionOptions,
    client: Option<Client>,
    /// The handshake that waits for the server's discovery.
    opening: Option<opening::Opening>,
    next: u64,
    wires: HashMap<u64, Wire>,
    calls: BTreeMap<u64, Call>,
    /// Requests to the client: their number -> the call they are for.
    asks: HashMap<u64, u64>,
    own_tasks: OwnTasks,
    level: Level,
    feed: Feed,
    outbox: Vec<SessionOutput>,
}

/// The client, as it introduced itself.
struct Client {
    seed: SessionSeed,
    capabilities: ClientCapabilities,
}

impl Client {
    fn is_offered_tasks(&self) -> bool {
        self.seed.server.offer_tasks(self.seed.revision)
    }
}

impl LegacySession {
    /// A session that begins with the client's `initialize`.
    pub fn new(options: SessionOptions) -> Self {
        Self {
            options,
            client: None,
            opening: None,
            next: 1,
            wires: HashMap::new(),
            calls: BTreeMap::new(),
            asks: HashMap::new(),
            own_tasks: OwnTasks::default(),
            level: Level::INFO,
            feed: Feed::default(),
            outbox: Vec::new(),
        }
    }

    /// A session that another node opened.
    pub fn restore(options: SessionOptions, seed: SessionSeed) -> Self {
        let capabilities = ClientCapabilities::parse(seed.capabilities.as_bytes());
        Self { client: Some(Client { seed, capabilities }), ..Self::new(options) }
    }

    /// What is to be done now. Ask after every other call.
    pub fn outputs(&mut self) -> Drain<'_, SessionOutput> {
        self.outbox.drain(..)
    }

    /// Calls that are not answered yet.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// A client's request. `can_be_asked`: its answer may be a stream, so that requests can go to the client.
    /// `task` is its `taskId`, opened by the driver.
    pub fn request(
        &mut self,
        exchange: Exchange,
        request: Message<'_>,
        can_be_asked: bool,
        task: TaskHandle,
    ) {
        let id = request.id();
        let method = request.method();
        let done = |session: &mut Self| session.result(exchange, &id, b"{}");
        match (method, &self.client) {
            (methods::PING, _) => done(self),
            (methods::INITIALIZE, None) if self.opening.is_none() => self.initialize(exchange, request),
            (methods::INITIALIZE, _) => self.refuse(exchange, &id, "the session is initialized already"),
            (_, None) => self.refuse(exchange, &id, "the session is not initialized"),
            (methods::LOGGING_SET_LEVEL, Some(_)) => self.set_level(exchange, request),
            (methods::RESOURCES_SUBSCRIBE, Some(_)) => self.subscribe(exchange, request),
            (methods::RESOURCES_UNSUBSCRIBE, Some(_)) => self.unsubscribe(exchange, request),
            (method, Some(client)) if is_about_task(method) && client.is_offered_tasks() => {
                self.about_task(exchange, request, can_be_asked, task);
            }
            (method, Some(_)) if is_not_offered(method) => {
                self.answer(exchange, failure::method_not_found(&id, method));
            }
            (_, Some(_)) => self.start(exchange, request, can_be_asked),
        }
    }

    /// A client's notification. Only cancellations concern a modern server.
    pub fn notify(&mut self, notification: Message<'_>) {
        if notification.method() == methods::CANCELLED
            && let Some(id) = notification.envelope().request_id_param(notification.bytes())
        {
            self.cancelled(id);
        }
    }

    /// The client closed the stream of a request for good. To hang up alone is no cancellation.
    pub fn gone(&mut self, exchange: Exchange) {
        self.opening.take_if(|opening| opening.exchange == exchange);
        let call = self.calls.iter().find(|(_, call)| call.exchange == exchange).map(|(id, _)| *id);
        if let Some(call) = call {
            self.cancel(call);
        }
    }

    /// The client listens on a stream of its own, or no longer does.
    pub fn listens(&mut self, heard: bool) {
        self.feed.heard = heard;
        self.refresh_feed();
    }

    /// The server said something about the request `wire`.
    pub fn upstream(&mut self, wire: u64, message: Message<'_>) {
        match message.kind() {
            Kind::Response | Kind::Error => match self.wires.remove(&wire) {
                Some(Wire::Discovery) => self.discovered(message),
                Some(Wire::Call(call)) => self.call_responded(call, message),
                Some(Wire::Listen) => self.feed_ended(wire),
                Some(Wire::Ignored) | None => {}
            },
            Kind::Notification => match self.wires.get(&wire) {
                Some(Wire::Call(call)) => self.relay(*call, message),
                Some(Wire::Listen) => self.fed(wire, message),
                _ => {}
            },
            // Its revision forbids a modern server to ask.
            Kind::Request => {}
        }
    }

    /// There will be no response to the request `wire`.
    pub fn lost(&mut self, wire: u64, reason: Reason) {
        match self.wires.remove(&wire) {
            Some(Wire::Discovery) => self.undiscovered(reason),
            Some(Wire::Call(call)) => self.fail_call(call, reason),
            Some(Wire::Listen) => self.feed_ended(wire),
            Some(Wire::Ignored) | None => {}
        }
    }

    /// A timer has run out.
    pub fn fire(&mut self, timer: SessionTimer) {
        match timer {
            SessionTimer::Call(call) => self.silent(call),
            SessionTimer::Pause(call) => self.pause_over(call),
            SessionTimer::Answer(ask) => self.unanswered(ask),
            SessionTimer::Poll(call) => self.look_at_task(call),
            SessionTimer::Task(task) => self.own_tasks.forget(task),
            SessionTimer::Reopen => self.refresh_feed(),
            SessionTimer::Discovery => self.discovery_silent(),
        }
    }

    /// The session ends: by the client, or because nobody uses it.
    pub fn close(&mut self) {
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        calls.into_iter().for_each(|call| self.cancel(call));
        self.feed = Feed::default();
        self.outbox.push(SessionOutput::Disarm(SessionTimer::Reopen));
        self.outbox.push(SessionOutput::Disarm(SessionTimer::Discovery));
        for task in self.own_tasks.clear() {
            self.disarm(SessionTimer::Task(task));
        }
        self.opening = None;
        let mut open: Vec<u64> =
            self.wires.drain().filter(|(_, wire)| !wire.is_parting()).map(|(number, _)| number).collect();
        open.sort_unstable();
        self.outbox.extend(open.into_iter().map(|wire| SessionOutput::Cancel { wire }));
    }

    fn set_level(&mut self, exchange: Exchange, request: Message<'_>) {
        let id = request.id();
        match request.param("level").and_then(json::text).and_then(|name| Level::parse(&name)) {
            Some(level) => {
                self.level = level;
                self.result(exchange, &id, b"{}");
            }
            None => {
                let message = error_response(&id, code::INVALID_PARAMS, "unknown log level", None);
                self.answer(exchange, message.into());
            }
        }
    }

    /// Sends a request to the server, made by `compose` from its id and the client's introduction.
    fn send(
        &mut self,
        wire: Wire,
        tasks: bool,
        compose: impl FnOnce(u64, &ClientMeta<'_>) -> Bytes,
    ) -> Option<u64> {
        let client = self.client.as_ref()?;
        let (level, capabilities) = (Some(self.level), client.capabilities.to_modern(tasks));
        let info = client.seed.client_info.as_bytes();
        let number = self.next;
        let message = compose(number, &ClientMeta { info, capabilities: &capabilities, level });
        self.next += 1;
        let endless = matches!(wire, Wire::Listen);
        self.wires.insert(number, wire);
        self.outbox.push(SessionOutput::Upstream { wire: number, message, endless });
        Some(number)
    }

    fn cancel_wire(&mut self, wire: u64) {
        if self.wires.remove(&wire).is_some() {
            self.outbox.push(SessionOutput::Cancel { wire });
        }
    }

    fn arm(&mut self, timer: SessionTimer, after_ms: u64) {
        self.outbox.push(SessionOutput::Arm { timer, after_ms });
    }

    fn disarm(&mut self, timer: SessionTimer) {
        self.outbox.push(SessionOutput::Disarm(timer));
    }

    fn answer(&mut self, exchange: Exchange, message: Bytes) {
        self.outbox.push(SessionOutput::Answer { exchange, message });
    }

    fn result(&mut self, exchange: Exchange, id: &[u8], result: &[u8]) {
        self.answer(exchange, compose::response(id, result).into());
    }

    fn refuse(&mut self, exchange: Exchange, id: &[u8], why: &str) {
        self.answer(exchange, error_response(id, code::INVALID_REQUEST, why, None).into());
    }
}

fn is_about_task(method: &str) -> bool {
    matches!(method, methods::TASKS_GET | methods::TASKS_RESULT | methods::TASKS_CANCEL)
}

/// Nobody lists tasks, and not every server or client has any; the rest belongs to the other era.
fn is_not_offered(method: &str) -> bool {
    is_about_task(method) || method == methods::TASKS_LIST || methods::is_modern_only(method)
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::Timeout => "the backend did not answer in time",
        Reason::StreamLost => "the connection to the backend ended before its answer",
        Reason::LaneUnavailable => "too many calls are in flight in this session; try again later",
        Reason::ProtocolViolation => "the backend answered with something that its revision does not allow",
        _ => "the backend is not available",
    }
}
