//! [`LegacyLane`]: modern clients with a legacy server. One machine per upstream session.
//!
//! - `opening`: the handshake, and what waits for it
//! - `call`: one request, from its start to its answer
//! - `asking`: the server asks: questions are gathered and the call is suspended
//! - `retry`: the client comes back with answers
//! - `tasking`: calls that the server offers as tasks only
//! - `toolbox`: which tools may be called as tasks
//! - `handed`, `looking`, `news`: tasks that their clients look at themselves, or listen to
//! - `notices`: progress, logs and changes on their way to whom they concern
//! - `listen`: subscriptions

mod asking;
mod call;
mod handed;
mod listen;
mod looking;
mod news;
mod notices;
mod opening;
mod retry;
mod tasking;
mod toolbox;

use std::collections::{BTreeMap, HashMap};
use std::vec::Drain;

use bytes::Bytes;

use super::capabilities::ClientCapabilities;
use super::failure::{self, Reason};
use super::level::Level;
use super::message::{Exchange, Message};
use super::request::{self, TaskWish, ToLegacy};
use super::server::ServerProfile;
use super::state::{InputRequired, Resume, TaskCreated};
use crate::envelope::{Kind, canonical_id};
use crate::{compose, methods};
use asking::Unsolicited;
use call::Call;
use handed::Handed;
use listen::{Listen, Subscription};
use opening::Phase;
use toolbox::Toolbox;

/// What a lane is for.
#[derive(Clone, Debug)]
pub struct LaneOptions {
    /// A JSON object: the client's, or the gateway's own on a shared lane.
    pub client_info: Box<[u8]>,
    /// Those of every client on this lane: its key has their fingerprint.
    pub capabilities: ClientCapabilities,
    /// The channel can carry what no request asked for.
    pub hears: bool,
    /// Several people use it: what cannot be attributed goes to nobody, and nothing is remembered of them.
    pub shared: bool,
    /// Longest silence of a call.
    pub call_timeout_ms: u64,
    /// The modern revisions that clients are told of.
    pub served: &'static [&'static str],
}

/// What a driver has to do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LaneOutput {
    /// Send it to the server.
    Upstream(Bytes),
    /// Put a notification on the stream of a request.
    Client {
        exchange: Exchange,
        message: Bytes,
    },
    /// The last message of a request, and its HTTP status if nothing was sent before.
    Answer {
        exchange: Exchange,
        status: u16,
        message: Bytes,
    },
    /// As `Answer` (status 200), once the driver has sealed the state.
    Suspend {
        exchange: Exchange,
        answer: InputRequired,
    },
    /// As `Answer` (status 200), once the driver has sealed the number of the task.
    Created {
        exchange: Exchange,
        answer: TaskCreated,
    },
    /// Call [`LegacyLane::fire`] after so long; replaces a timer of that name.
    Arm {
        timer: LaneTimer,
        after_ms: u64,
    },
    Disarm(LaneTimer),
    /// Whatever is cached of this list is out of date.
    Changed(ListKind),
    /// The handshake is done.
    Opened,
    /// The server turned out to speak the modern era only: the verdict on it was wrong.
    Contradicted,
    /// The lane is of no more use.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListKind {
    Tools,
    Prompts,
    Resources,
}

/// The timers of a lane; the numbers are its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LaneTimer {
    Handshake,
    /// Silence of a call.
    Call(u64),
    /// More questions may follow the first, or come at all.
    Gather(u64),
    /// A suspended call waits for its client.
    Suspension(u64),
    /// A task is looked at again.
    Poll(u64),
    /// A task that its client looks at has had its time.
    Task(u64),
    /// The questions of a task that is listened to may follow its state.
    News(u64),
    /// A question waits for a call to belong to.
    Unsolicited(u64),
    /// Subscriptions wait to be confirmed.
    Listen(Exchange),
}

/// A request of the lane's own that waits for its response.
enum Wire {
    Handshake,
    Call(u64),
    Subscribe(String),
    /// A log level, and the calls that wait for it.
    Level(Vec<u64>),
    /// A page of tools, and the calls that wait for the list.
    Tools(Vec<u64>),
    /// The result of a task that its client looks at.
    Result(u64),
    /// The state of a task whose result a call waits for.
    Pulse(u64),
    /// A call that nobody wants any more, and that may have become a task.
    Orphan,
    /// The response tells nothing new.
    Ignored,
}

/// Modern clients of one principal on one session of a legacy server.
pub struct LegacyLane {
    options: LaneOptions,
    phase: Phase,
    /// The next upstream id. Calls are numbered in the same row, so the oldest comes first.
    next: u64,
    wires: HashMap<u64, Wire>,
    calls: BTreeMap<u64, Call>,
    exchanges: HashMap<Exchange, u64>,
    tasks: BTreeMap<u64, Handed>,
    toolbox: Toolbox,
    unsolicited: BTreeMap<u64, Unsolicited>,
    /// The last roots a client told of; a JSON result.
    roots: Option<Bytes>,
    /// The server asked for roots when nobody could answer.
    roots_owed: bool,
    /// The least severe log level the server was asked for.
    level: Option<Level>,
    /// The request that asked for it.
    raising: Option<u64>,
    listens: BTreeMap<Exchange, Listen>,
    subscriptions: BTreeMap<String, Subscription>,
    outbox: Vec<LaneOutput>,
}

impl LegacyLane {
    /// Opens a lane: the handshake is the first output.
    pub fn open(options: LaneOptions) -> Self {
        let mut lane = Self {
            options,
            phase: Phase::Opening(Vec::new()),
            next: 1,
            wires: HashMap::new(),
            calls: BTreeMap::new(),
            exchanges: HashMap::new(),
            tasks: BTreeMap::new(),
            toolbox: Toolbox::default(),
            unsolicited: BTreeMap::new(),
            roots: None,
            roots_owed: false,
            level: None,
            raising: None,
            listens: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            outbox: Vec::new(),
        };
        lane.initialize();
        lane
    }

    /// What is to be done now. Ask after every other call.
    pub fn outputs(&mut self) -> Drain<'_, LaneOutput> {
        self.outbox.drain(..)
    }

    /// What the server said about itself, once it has.
    pub fn profile(&self) -> Option<&ServerProfile> {
        match &self.phase {
            Phase::Open(profile) => Some(profile),
            _ => None,
        }
    }

    /// Whether nobody uses it: neither a call nor a subscription, nor a task whose end its client has not seen.
    pub fn is_idle(&self) -> bool {
        !self.has_calls() && self.listens.is_empty()
    }

    /// Whether something is under way that comes to an end by itself.
    pub fn has_calls(&self) -> bool {
        let queued = matches!(&self.phase, Phase::Opening(queue) if !queue.is_empty());
        queued || !self.calls.is_empty() || self.has_tasks()
    }

    /// Whether a call is open about which the server may ask something.
    pub fn may_be_asked(&self) -> bool {
        self.calls.values().any(|call| call.interactive)
            || matches!(&self.phase, Phase::Opening(queue) if !queue.is_empty())
    }

    /// Whether a task is open about which the server may ask something. What it asks should name the task.
    pub fn has_tasks(&self) -> bool {
        self.tasks.values().any(Handed::is_open)
    }

    /// A client's request. `resume` is its `requestState`, opened by the driver.
    pub fn request(&mut self, exchange: Exchange, request: Message<'_>, resume: Resume) {
        match &self.phase {
            Phase::Opening(_) => self.hold(exchange, request, resume),
            Phase::Open(_) => self.dispatch(exchange, request, resume),
            Phase::Closed => self.fail(exchange, &request.id(), Reason::UpstreamUnavailable),
        }
    }

    /// A client's notification. Cancelling is done by [`LegacyLane::gone`].
    pub fn notify(&mut self, notification: Message<'_>) {
        if let Phase::Open(profile) = &self.phase
            && notification.method() != methods::CANCELLED
        {
            let how = ToLegacy { id: 0, token: 0, task: TaskWish::None, server: profile.revision };
            self.send(request::to_legacy(notification, how));
        }
    }

    /// A client no longer waits: in the modern era that cancels its request.
    pub fn gone(&mut self, exchange: Exchange) {
        if let Phase::Opening(queue) = &mut self.phase {
            queue.retain(|held| held.exchange != exchange);
        }
        if let Some(call) = self.exchanges.remove(&exchange) {
            self.cancel(call, "the client hung up");
        }
        self.unlisten(exchange);
    }

    /// The server said something.
    pub fn upstream(&mut self, message: Message<'_>) {
        match message.kind() {
            Kind::Response | Kind::Error => self.responded(message),
            Kind::Request => self.asked(message),
            Kind::Notification => self.notified(message),
        }
    }

    /// The connection to the server has ended.
    pub fn ended(&mut self) {
        if !matches!(self.phase, Phase::Closed) {
            self.close(Reason::StreamLost);
        }
    }

    /// A timer has run out. One that was disarmed meanwhile is ignored where it no longer fits.
    pub fn fire(&mut self, timer: LaneTimer) {
        match timer {
            LaneTimer::Handshake if matches!(self.phase, Phase::Opening(_)) => self.close(Reason::Timeout),
            LaneTimer::Handshake => {}
            LaneTimer::Call(call) => self.silent(call),
            LaneTimer::Gather(call) => self.gathered(call),
            LaneTimer::Suspension(call) => self.abandon(call),
            LaneTimer::Poll(call) => self.look_at_task(call),
            LaneTimer::Task(task) => self.expire(task),
            LaneTimer::News(task) => self.tell_news(task),
            LaneTimer::Unsolicited(held) => self.answer_unsolicited(held),
            LaneTimer::Listen(exchange) => self.acknowledge_late(exchange),
        }
    }

    fn dispatch(&mut self, exchange: Exchange, request: Message<'_>, resume: Resume) {
        let id = request.id();
        let method = request.method();
        match method {
            methods::SERVER_DISCOVER => self.discover(exchange, &id),
            methods::SUBSCRIPTIONS_LISTEN => self.listen(exchange, request, resume),
            methods::TASKS_GET | methods::TASKS_UPDATE | methods::TASKS_CANCEL => {
                self.about_task(exchange, request, &resume);
            }
            method if methods::is_removed_from_modern(method) => {
                self.answer(exchange, 404, failure::method_not_found(&id, method));
            }
            method if methods::is_multi_round_trip(method) => self.resume(exchange, request, resume),
            _ => self.start(exchange, request),
        }
    }

    fn discover(&mut self, exchange: Exchange, id: &[u8]) {
        if let Phase::Open(profile) = &self.phase {
            let result = profile.discovery(self.options.served, self.options.hears);
            self.answer(exchange, 200, compose::response(id, &result).into());
        }
    }

    fn responded(&mut self, message: Message<'_>) {
        match own_number(&message.id()).and_then(|number| self.wires.remove(&number)) {
            Some(Wire::Handshake) => self.opened(message),
            Some(Wire::Call(call)) => self.call_responded(call, message),
            Some(Wire::Subscribe(uri)) => self.subscribed(&uri, message.kind() == Kind::Response),
            Some(Wire::Level(waiting)) => waiting.into_iter().for_each(|call| self.send_first(call)),
            Some(Wire::Tools(waiting)) => self.tools_told(waiting, message),
            Some(Wire::Result(task)) => self.result_told(task, message),
            Some(Wire::Pulse(call)) => self.pulsed(call, message),
            Some(Wire::Orphan) => self.drop_orphan(message),
            // What nobody waits for, or no longer.
            Some(Wire::Ignored) | None => {}
        }
    }

    fn mint(&mut self, wire: Wire) -> u64 {
        let number = self.next;
        self.next += 1;
        self.wires.insert(number, wire);
        number
    }

    /// Sends a request of the lane's own.
    fn ask_server(&mut self, wire: Wire, method: &str, params: &[u8]) -> u64 {
        let number = self.mint(wire);
        self.send(compose::request(number.to_string().as_bytes(), method, Some(params)).into());
        number
    }

    fn send(&mut self, message: Bytes) {
        self.outbox.push(LaneOutput::Upstream(message));
    }

    fn arm(&mut self, timer: LaneTimer, after_ms: u64) {
        self.outbox.push(LaneOutput::Arm { timer, after_ms });
    }

    fn disarm(&mut self, timer: LaneTimer) {
        self.outbox.push(LaneOutput::Disarm(timer));
    }

    fn answer(&mut self, exchange: Exchange, status: u16, message: Bytes) {
        self.outbox.push(LaneOutput::Answer { exchange, status, message });
    }

    fn fail(&mut self, exchange: Exchange, id: &[u8], reason: Reason) {
        let message = reason.answer(id, words(reason));
        self.answer(exchange, 200, message);
    }
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::Timeout => "the backend did not answer in time",
        Reason::StreamLost => "the connection to the backend ended before its answer",
        Reason::LaneUnavailable => "too many calls are in flight with this backend; try again later",
        Reason::ProtocolViolation => "the backend answered with something that its revision does not allow",
        _ => "the backend is not available",
    }
}

/// The number in an id of ours, however the peer spells it.
fn own_number(id: &[u8]) -> Option<u64> {
    std::str::from_utf8(&canonical_id(id)).ok()?.parse().ok()
}
