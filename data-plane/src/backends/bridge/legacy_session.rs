//! [`BridgedSession`]: a legacy client's conversation with a modern server. One task owns the machine; the
//! server's side is a lane that may be shared.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::bridge::failure::Reason;
use omcp_mcp::bridge::legacy_session::{
    LegacySession as Machine, SessionOptions, SessionOutput, SessionSeed, SessionTimer,
};
use omcp_mcp::bridge::message::Exchange;
use omcp_mcp::bridge::state::{NewTask, NewTaskKind, TaskHandle};
use omcp_mcp::envelope::Kind;
use omcp_mcp::json;
use omcp_mcp::token::content::Task;
use tokio::sync::{mpsc, watch};

use super::legacy_lane::lend;
use super::task_seal::TaskSeal;
use super::timers::Timers;
use crate::backends::lane::{CallTraits, Event, Labels, Lane, Sink, again};

/// Messages of the client that wait for the owner task.
const COMMANDS_MAX: usize = 512;
/// Messages of the server that wait for it; a call that fills this is cut off.
const EVENTS_MAX: usize = 1024;

enum Command {
    Request {
        exchange: Exchange,
        message: McpMessage,
        can_be_asked: bool,
        sink: Arc<dyn Sink>,
    },
    /// A notification or a response.
    Message(McpMessage),
    Gone(Exchange),
    Listens(bool),
    Close,
}

/// Gives a session another lane when the one that it shared has ended: its server remembers nothing of it.
pub type Renew = Box<dyn Fn() -> BoxFuture<'static, Result<Lane, GatewayError>> + Send + Sync>;

/// A handle on a session. It ends when it is closed, with a lane of its own, or with its last handle.
#[derive(Clone)]
pub struct BridgedSession {
    shared: Arc<Shared>,
}

struct Shared {
    commands: mpsc::Sender<Command>,
    next: AtomicU64,
    in_flight: Arc<AtomicUsize>,
    seed: watch::Receiver<Option<SessionSeed>>,
    ended: watch::Receiver<bool>,
    pid: Option<u32>,
}

impl BridgedSession {
    /// Begins a session on a lane to a modern server. What belongs to no request goes to `general`.
    /// Without `renew` the lane is the session's own, and one ends with the other.
    pub fn start(
        lane: Lane,
        renew: Option<Renew>,
        options: SessionOptions,
        general: Arc<dyn Sink>,
        seal: Arc<dyn TaskSeal>,
    ) -> Self {
        let (commands, inbound) = mpsc::channel(COMMANDS_MAX);
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        let (seed_sender, seed) = watch::channel(None);
        let (ended_sender, ended) = watch::channel(false);
        let in_flight = Arc::new(AtomicUsize::new(0));
        // The process of a shared lane is counted elsewhere.
        let pid = lane.pid().filter(|_| renew.is_none());
        let call_timeout_ms = options.call_timeout_ms;
        let owner = Owner {
            machine: Machine::new(options),
            timers: Timers::default(),
            lane,
            renew,
            call_timeout: Duration::from_millis(call_timeout_ms),
            wires: HashMap::new(),
            unsent: Vec::new(),
            clients: HashMap::new(),
            general,
            seal,
            events,
            seed: seed_sender,
            in_flight: in_flight.clone(),
        };
        tokio::spawn(async move {
            owner.serve(inbound, heard).await;
            ended_sender.send_replace(true);
        });
        let next = AtomicU64::new(1);
        Self { shared: Arc::new(Shared { commands, next, in_flight, seed, ended, pid }) }
    }

    /// Names a request before it is sent.
    pub fn mint(&self) -> u64 {
        self.shared.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request of the client; its events go to `sink`, in the client's own words.
    ///
    /// # Errors
    /// `Closed` if the session has ended, `Limit` if it is too busy.
    pub fn call(
        &self,
        id: u64,
        message: McpMessage,
        can_be_asked: bool,
        sink: Arc<dyn Sink>,
    ) -> Result<(), GatewayError> {
        self.command(Command::Request { exchange: Exchange(id), message, can_be_asked, sink })
    }

    /// Sends a notification or a response of the client.
    ///
    /// # Errors
    /// As [`BridgedSession::call`].
    pub fn send(&self, message: McpMessage) -> Result<(), GatewayError> {
        self.command(Command::Message(message))
    }

    /// Nobody wants the answer to the request `id` any more.
    pub fn cancel(&self, id: u64) {
        // A session that is full or gone ends the request by itself.
        drop(self.command(Command::Gone(Exchange(id))));
    }

    /// The client has a stream of its own on which it hears of changes.
    pub fn listens(&self) {
        drop(self.command(Command::Listens(true)));
    }

    /// What the handshake agreed on, once it is done.
    pub fn seed(&self) -> Option<SessionSeed> {
        self.shared.seed.borrow().clone()
    }

    pub fn close(&self) {
        let commands = self.shared.commands.clone();
        if let Err(mpsc::error::TrySendError::Full(command)) = commands.try_send(Command::Close) {
            tokio::spawn(async move { commands.send(command).await });
        }
    }

    pub async fn closed(&self) {
        let mut ended = self.shared.ended.clone();
        // An error means that the owner is gone, which is as good.
        drop(ended.wait_for(|ended| *ended).await);
    }

    pub fn is_open(&self) -> bool {
        !*self.shared.ended.borrow() && !self.shared.commands.is_closed()
    }

    /// Requests of the client that have no answer yet.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    pub fn pid(&self) -> Option<u32> {
        self.shared.pid
    }

    fn command(&self, command: Command) -> Result<(), GatewayError> {
        self.shared.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                let context =
                    format!("{COMMANDS_MAX} messages of this session wait already; try again later");
                GatewayError::new(ErrorKind::Limit, context)
            }
            mpsc::error::TrySendError::Closed(_) => GatewayError::closed("the session has ended"),
        })
    }
}

struct Owner {
    machine: Machine,
    timers: Timers<SessionTimer>,
    lane: Lane,
    renew: Option<Renew>,
    call_timeout: Duration,
    /// Requests of the machine that are on the lane.
    wires: HashMap<u64, Sent>,
    /// Those that were to go over a lane that had ended.
    unsent: Vec<(u64, Ask)>,
    clients: HashMap<Exchange, Arc<dyn Sink>>,
    general: Arc<dyn Sink>,
    seal: Arc<dyn TaskSeal>,
    events: mpsc::Sender<(u64, Event)>,
    seed: watch::Sender<Option<SessionSeed>>,
    in_flight: Arc<AtomicUsize>,
}

/// A request of the machine.
struct Ask {
    message: Bytes,
    endless: bool,
    /// It has met a lane that had ended.
    again: bool,
}

struct Sent {
    /// Its number on the lane.
    minted: u64,
    ask: Ask,
}

/// What woke the owner.
enum Woken {
    Command(Option<Command>),
    Event(Option<(u64, Event)>),
    Timer(SessionTimer),
    LaneEnded,
}

impl Owner {
    async fn serve(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut events: mpsc::Receiver<(u64, Event)>,
    ) {
        loop {
            let woken = tokio::select! {
                // Answers that came before the end of the lane are heard before the end.
                biased;
                event = events.recv() => Woken::Event(event),
                command = commands.recv() => Woken::Command(command),
                timer = self.timers.next() => Woken::Timer(timer),
                _ = self.lane.closed(), if self.renew.is_none() => Woken::LaneEnded,
            };
            match woken {
                Woken::Command(Some(Command::Close) | None) | Woken::LaneEnded | Woken::Event(None) => break,
                Woken::Command(Some(command)) => self.obey(command),
                Woken::Event(Some((wire, event))) => self.heard(wire, event),
                Woken::Timer(timer) => self.machine.fire(timer),
            }
            self.perform();
            if !self.unsent.is_empty() {
                self.send_unsent().await;
            }
        }
        self.machine.close();
        self.perform();
        for (_, client) in self.clients.drain() {
            client.event(Event::Lost(Arc::new(GatewayError::closed("the session has ended"))));
        }
        self.general.event(Event::Cancelled);
        if self.renew.is_none() {
            self.lane.close();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Request { exchange, message, can_be_asked, sink } => {
                self.clients.insert(exchange, sink);
                let task = self.task_of(&message);
                self.machine.request(exchange, lend(&message), can_be_asked, task);
            }
            Command::Message(message) => match message.envelope().kind() {
                Kind::Response | Kind::Error => self.machine.response(lend(&message)),
                _ => self.machine.notify(lend(&message)),
            },
            Command::Gone(exchange) => {
                if let Some(client) = self.clients.remove(&exchange) {
                    client.event(Event::Cancelled);
                }
                self.machine.gone(exchange);
            }
            Command::Listens(heard) => self.machine.listens(heard),
            Command::Close => {}
        }
    }

    /// What a request about a task names. A result that another session keeps is none of this one's.
    fn task_of(&self, request: &McpMessage) -> TaskHandle {
        let named = lend(request).param("taskId").and_then(json::text);
        match named.and_then(|id| self.seal.open(&id)) {
            Some(Task::Upstream { id }) => TaskHandle::Upstream(id),
            Some(Task::Own { session, number, created_ms }) if session == self.seal.session() => {
                TaskHandle::Own { number, created_ms }
            }
            _ => TaskHandle::None,
        }
    }

    fn created(&self, answer: &NewTask) -> Event {
        let now_ms = self.seal.now_ms();
        let task = match &answer.kind {
            NewTaskKind::Upstream { task, .. } => Task::Upstream { id: task.clone() },
            NewTaskKind::Own(number) => {
                Task::Own { session: self.seal.session(), number: *number, created_ms: now_ms }
            }
        };
        match self.seal.seal(&task, answer.ttl_ms) {
            Ok(id) => Event::Final(McpMessage::trusted(answer.answer(&id, now_ms))),
            Err(error) => Event::Lost(Arc::new(error)),
        }
    }

    fn heard(&mut self, wire: u64, event: Event) {
        let sent = if event.is_last() { self.wires.remove(&wire) } else { None };
        match event {
            Event::Message(message) | Event::Final(message) => self.machine.upstream(wire, lend(&message)),
            Event::Unsent(error) => match sent {
                Some(Sent { ask, .. }) if self.may_ask_again(&ask) => self.unsent.push((wire, ask)),
                _ => self.machine.lost(wire, reason(&error)),
            },
            Event::Lost(error) => self.machine.lost(wire, reason(&error)),
            Event::Cancelled => self.machine.lost(wire, Reason::StreamLost),
        }
    }

    fn perform(&mut self) {
        let outputs: Vec<SessionOutput> = self.machine.outputs().collect();
        for output in outputs {
            match output {
                SessionOutput::Upstream { wire, message, endless } => {
                    self.ask(wire, Ask { message, endless, again: false });
                }
                SessionOutput::Cancel { wire } => {
                    self.unsent.retain(|(unsent, _)| *unsent != wire);
                    if let Some(Sent { minted, .. }) = self.wires.remove(&wire) {
                        self.lane.cancel(minted, "cancelled by the client");
                    }
                }
                SessionOutput::Client { exchange, message } => {
                    if let Some(client) = self.clients.get(&exchange) {
                        client.event(Event::Message(McpMessage::trusted(message)));
                    }
                }
                SessionOutput::Answer { exchange, message } => {
                    if let Some(client) = self.clients.remove(&exchange) {
                        client.event(Event::Final(McpMessage::trusted(message)));
                    }
                }
                SessionOutput::Created { exchange, answer } => {
                    let answer = self.created(&answer);
                    if let Some(client) = self.clients.remove(&exchange) {
                        client.event(answer);
                    }
                }
                SessionOutput::Drop { exchange } => {
                    if let Some(client) = self.clients.remove(&exchange) {
                        client.event(Event::Cancelled);
                    }
                }
                SessionOutput::General(message) => {
                    self.general.event(Event::Message(McpMessage::trusted(message)));
                }
                SessionOutput::Opened(seed) => {
                    self.seed.send_replace(Some(seed));
                }
                SessionOutput::Arm { timer, after_ms } => self.timers.arm(timer, after_ms),
                SessionOutput::Disarm(timer) => self.timers.disarm(timer),
            }
        }
        self.in_flight.store(self.clients.len(), Ordering::Relaxed);
    }

    /// Sends a request of the machine over the lane, which has numbers of its own.
    fn ask(&mut self, wire: u64, ask: Ask) {
        let message = McpMessage::trusted(ask.message.clone());
        let Some(labels) = Labels::of(&message) else {
            return;
        };
        let minted = self.lane.mint();
        let sink = Arc::new(Upstream { wire, labels, events: self.events.clone() });
        let timeout = (!ask.endless).then_some(self.call_timeout);
        let traits = CallTraits::of(&message, timeout);
        match self.lane.call(minted, Labels::replace(&message, minted), sink, traits) {
            Ok(()) => {
                self.wires.insert(wire, Sent { minted, ask });
            }
            Err(error) if error.kind() == ErrorKind::Closed && self.may_ask_again(&ask) => {
                self.unsent.push((wire, ask));
            }
            Err(error) => self.lose(wire, error),
        }
    }

    fn may_ask_again(&self, ask: &Ask) -> bool {
        self.renew.is_some() && !ask.again
    }

    /// Takes another lane for what has not left.
    async fn send_unsent(&mut self) {
        let Some(renew) = &self.renew else { return };
        let renewed = renew().await;
        let unsent = std::mem::take(&mut self.unsent);
        match renewed {
            Ok(lane) => {
                self.lane = lane;
                unsent.into_iter().for_each(|(wire, ask)| self.ask(wire, Ask { again: true, ..ask }));
            }
            Err(error) => unsent.into_iter().for_each(|(wire, _)| self.lose(wire, again(&error))),
        }
    }

    /// The machine hears of it like of any other end.
    fn lose(&self, wire: u64, error: GatewayError) {
        drop(self.events.try_send((wire, Event::Lost(Arc::new(error)))));
    }
}

/// One request on the lane, put back into the machine's words.
struct Upstream {
    wire: u64,
    labels: Labels,
    events: mpsc::Sender<(u64, Event)>,
}

impl Sink for Upstream {
    fn event(&self, event: Event) -> bool {
        let event = match event {
            Event::Message(message) => {
                Event::Message(McpMessage::trusted(self.labels.restore_notification(&message)))
            }
            Event::Final(message) => {
                Event::Final(McpMessage::trusted(self.labels.restore_response(&message)))
            }
            other => other,
        };
        self.events.try_send((self.wire, event)).is_ok()
    }
}

fn reason(error: &GatewayError) -> Reason {
    match error.kind() {
        ErrorKind::Timeout => Reason::Timeout,
        ErrorKind::Limit => Reason::LaneUnavailable,
        ErrorKind::Closed => Reason::StreamLost,
        ErrorKind::Protocol => Reason::ProtocolViolation,
        _ => Reason::UpstreamUnavailable,
    }
}
