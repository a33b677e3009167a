//! [`LegacyLane`]: a session of a legacy server that modern clients use. One task owns the connection and
//! the machine.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use omcp_core::{BackendConnection, GatewayError, McpMessage};
use omcp_mcp::bridge::legacy_lane::{LaneOptions, LaneOutput, LaneTimer, LegacyLane as Machine};
use omcp_mcp::bridge::message::{Exchange, Message};
use omcp_mcp::bridge::state::{InputRequired, Resume, TaskCreated};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::timers::Timers;

/// Messages of clients that wait for the owner task.
const COMMANDS_MAX: usize = 512;
/// Messages that wait for one client: a client so slow is cut off.
const HEARD_MAX: usize = 256;

/// What a client hears of its request. Without a last word, the lane is lost.
#[derive(Debug)]
pub enum Heard {
    /// A notification.
    Message(Bytes),
    /// The answer, and the HTTP status for it.
    Answer { status: u16, message: Bytes },
    /// The answer asks for input.
    Suspended(InputRequired),
    /// The answer is a task.
    Created(TaskCreated),
    /// There will be no answer; not a byte of the request has left.
    Unsent,
}

enum Command {
    Request(Box<Request>),
    Gone(Exchange),
    Close,
}

struct Request {
    exchange: Exchange,
    message: McpMessage,
    resume: Resume,
    heard: mpsc::Sender<Heard>,
    claimed: bool,
}

/// A handle on a lane. Cheap to clone; the lane ends when it is closed, broken, or idle for long enough.
#[derive(Clone)]
pub struct LegacyLane {
    shared: Arc<Shared>,
}

struct Shared {
    commands: mpsc::Sender<Command>,
    next: AtomicU64,
    busy: Arc<AtomicBool>,
    claims: Arc<Claims>,
    /// Whether the server turned out to be a modern one, once the lane has ended.
    ended: watch::Receiver<Option<bool>>,
    pid: Option<u32>,
}

/// What the lanes of a pool share.
pub struct Turns {
    /// Told when a claim on one of them ends.
    pub freed: Notify,
    /// Claims that may outlast their calls, because a task was made of one.
    for_tasks: Arc<Semaphore>,
}

impl Turns {
    /// So many claims may last as long as a task.
    pub fn new(for_tasks: usize) -> Self {
        Self { freed: Notify::new(), for_tasks: Arc::new(Semaphore::new(for_tasks)) }
    }
}

/// Who has a lane to himself, and who waits for one.
struct Claims {
    claimed: AtomicBool,
    turns: Arc<Turns>,
}

/// The right to be the only one whom the server may ask something. It goes over to the request.
pub struct Claim {
    claims: Arc<Claims>,
    /// The owner task ends it.
    handed_over: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.handed_over {
            self.claims.release();
        }
    }
}

impl Claims {
    fn release(&self) {
        self.claimed.store(false, Ordering::Release);
        self.turns.freed.notify_waiters();
    }
}

/// One request in flight. Dropping it tells the server that nobody waits.
pub struct Exchanged {
    lane: LegacyLane,
    exchange: Exchange,
    heard: mpsc::Receiver<Heard>,
}

impl Exchanged {
    /// The next message; `None` if the lane is lost.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// The same, to be polled beside others.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        self.heard.poll_recv(cx)
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        // A lane that is full or gone ends the request by itself: the channel is closed.
        drop(self.lane.shared.commands.try_send(Command::Gone(self.exchange)));
    }
}

impl LegacyLane {
    /// Gives the connection to a new task; it ends when nobody has used it for `idle`.
    /// `turns` are those of its pool; `changed` is called when the server says that a list of its
    /// has changed.
    pub fn start(
        connection: Box<dyn BackendConnection>,
        options: LaneOptions,
        idle: Duration,
        turns: Arc<Turns>,
        changed: impl Fn() + Send + 'static,
    ) -> Self {
        let (commands, inbound) = mpsc::channel(COMMANDS_MAX);
        let (ended_sender, ended) = watch::channel(None);
        let pid = connection.pid();
        let busy = Arc::new(AtomicBool::new(true));
        let claims = Arc::new(Claims { claimed: AtomicBool::new(false), turns });
        let owner = Owner {
            machine: Machine::open(options),
            timers: Timers::default(),
            clients: HashMap::new(),
            contradicted: false,
            opened: false,
            idle,
            used: false,
            busy: busy.clone(),
            claims: claims.clone(),
            claimed: false,
            for_task: None,
            changed: Box::new(changed),
        };
        tokio::spawn(run(connection, owner, inbound, ended_sender));
        Self { shared: Arc::new(Shared { commands, next: AtomicU64::new(1), busy, claims, ended, pid }) }
    }

    /// Claims the lane for one call, and for the task that the server makes of it; `None` if somebody else has it.
    pub fn claim(&self) -> Option<Claim> {
        let claimed = &self.shared.claims.claimed;
        let free = claimed.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        free.then(|| Claim { claims: self.shared.claims.clone(), handed_over: false })
    }

    /// Sends a client's request. A claim lasts until the call has its answer, also while it is suspended.
    ///
    /// # Errors
    /// `Closed` if the lane has ended, `Limit` if it is too busy.
    pub fn request(
        &self,
        message: McpMessage,
        resume: Resume,
        mut claim: Option<Claim>,
    ) -> Result<Exchanged, GatewayError> {
        let exchange = Exchange(self.shared.next.fetch_add(1, Ordering::Relaxed));
        let (sender, heard) = mpsc::channel(HEARD_MAX);
        let claimed = claim.is_some();
        let request = Request { exchange, message, resume, heard: sender, claimed };
        self.command(Command::Request(Box::new(request)))?;
        if let Some(claim) = &mut claim {
            claim.handed_over = true;
        }
        Ok(Exchanged { lane: self.clone(), exchange, heard })
    }

    pub fn close(&self) {
        let commands = self.shared.commands.clone();
        if let Err(mpsc::error::TrySendError::Full(command)) = commands.try_send(Command::Close) {
            tokio::spawn(async move { commands.send(command).await });
        }
    }

    /// Waits until the connection is closed. True if its server speaks the modern era only.
    pub async fn closed(&self) -> bool {
        let mut ended = self.shared.ended.clone();
        ended.wait_for(Option::is_some).await.is_ok_and(|ended| *ended == Some(true))
    }

    pub fn is_open(&self) -> bool {
        self.shared.ended.borrow().is_none() && !self.shared.commands.is_closed()
    }

    /// Whether a call is under way on it; subscriptions do not count.
    pub fn is_busy(&self) -> bool {
        self.is_open() && self.shared.busy.load(Ordering::Relaxed)
    }

    pub fn pid(&self) -> Option<u32> {
        self.shared.pid
    }

    /// Whether both are handles on one lane.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn command(&self, command: Command) -> Result<(), GatewayError> {
        self.shared.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                let context =
                    format!("{COMMANDS_MAX} messages wait for the backend already; try again later");
                GatewayError::new(omcp_core::ErrorKind::Limit, context)
            }
            mpsc::error::TrySendError::Closed(_) => {
                GatewayError::closed("the connection to the backend has ended")
            }
        })
    }
}

impl fmt::Debug for LegacyLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyLane").field("pid", &self.shared.pid).finish_non_exhaustive()
    }
}

struct Owner {
    machine: Machine,
    timers: Timers<LaneTimer>,
    clients: HashMap<Exchange, mpsc::Sender<Heard>>,
    contradicted: bool,
    /// The handshake is over: requests have left.
    opened: bool,
    idle: Duration,
    /// A request has come: whoever opened the lane is about to send one.
    used: bool,
    busy: Arc<AtomicBool>,
    claims: Arc<Claims>,
    /// The call that has the lane to itself has come.
    claimed: bool,
    /// It has it to itself for its task as well.
    for_task: Option<OwnedSemaphorePermit>,
    changed: Box<dyn Fn() + Send>,
}

async fn run(
    mut connection: Box<dyn BackendConnection>,
    mut owner: Owner,
    mut commands: mpsc::Receiver<Command>,
    ended: watch::Sender<Option<bool>>,
) {
    // The connection is a stranger's code: a panic in it ends this lane and nothing else.
    let serve = AssertUnwindSafe(owner.serve(connection.as_mut(), &mut commands)).catch_unwind().await;
    match serve {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %error.chain(), "a lane to a legacy backend ended"),
        Err(_) => tracing::error!("a runtime panicked on a lane to a legacy backend"),
    }
    owner.machine.ended();
    owner.tell_clients();
    owner.refuse_rest(&mut commands);
    if let Ok(Err(error)) = AssertUnwindSafe(connection.close()).catch_unwind().await {
        tracing::debug!(error = %error.chain(), "backend connection did not close cleanly");
    }
    ended.send_replace(Some(owner.contradicted));
    owner.claims.release();
}

/// What woke the owner.
#[expect(clippy::large_enum_variant, reason = "one of them, for one turn, on the stack")]
enum Woken {
    Command(Option<Command>),
    Message(Result<Option<McpMessage>, GatewayError>),
    Timer(LaneTimer),
    Idle,
}

impl Owner {
    async fn serve(
        &mut self,
        connection: &mut dyn BackendConnection,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), GatewayError> {
        loop {
            if !self.perform(connection).await? {
                return Ok(());
            }
            let idle = self.machine.is_idle();
            self.busy.store(!self.used || self.machine.has_calls(), Ordering::Relaxed);
            self.release_claim();
            let woken = tokio::select! {
                command = commands.recv() => Woken::Command(command),
                message = connection.recv() => Woken::Message(message),
                timer = self.timers.next() => Woken::Timer(timer),
                () = tokio::time::sleep(self.idle), if idle => Woken::Idle,
            };
            match woken {
                Woken::Command(Some(Command::Close) | None) => return Ok(()),
                // What comes now is refused, and asks another lane.
                Woken::Idle => return Ok(()),
                Woken::Command(Some(command)) => self.obey(command),
                Woken::Message(message) => match message? {
                    Some(message) => self.machine.upstream(lend(&message)),
                    None => return Err(GatewayError::closed("the backend ended the connection")),
                },
                Woken::Timer(timer) => self.machine.fire(timer),
            }
        }
    }

    /// Ends the claim when nothing is open any more that it was made for. A task keeps it if there is room.
    fn release_claim(&mut self) {
        if !self.claimed || self.machine.may_be_asked() {
            return;
        }
        if !self.machine.has_tasks() {
            self.for_task = None;
        } else if self.for_task.is_none() {
            self.for_task = self.claims.turns.for_tasks.clone().try_acquire_owned().ok();
        }
        if self.for_task.is_none() {
            self.claimed = false;
            self.claims.release();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Request(request) => {
                let Request { exchange, message, resume, heard, claimed } = *request;
                self.used = true;
                self.claimed |= claimed;
                self.clients.insert(exchange, heard);
                self.machine.request(exchange, lend(&message), resume);
            }
            Command::Gone(exchange) => {
                if self.clients.remove(&exchange).is_some() {
                    self.machine.gone(exchange);
                }
            }
            Command::Close => {}
        }
    }

    /// Does what the machine wants. False once the lane is of no more use.
    async fn perform(&mut self, connection: &mut dyn BackendConnection) -> Result<bool, GatewayError> {
        let mut outputs: VecDeque<LaneOutput> = self.machine.outputs().collect();
        let mut open = true;
        while let Some(output) = outputs.pop_front() {
            match output {
                LaneOutput::Upstream(message) => connection.send(McpMessage::trusted(message)).await?,
                LaneOutput::Arm { timer, after_ms } => self.timers.arm(timer, after_ms),
                LaneOutput::Disarm(timer) => self.timers.disarm(timer),
                LaneOutput::Contradicted => self.contradicted = true,
                LaneOutput::Closed => open = false,
                LaneOutput::Changed(_) => (self.changed)(),
                LaneOutput::Opened => self.opened = true,
                told => self.tell(told),
            }
            outputs.extend(self.machine.outputs());
        }
        Ok(open)
    }

    /// The last words to clients: the connection is gone. Before the end of the handshake nothing of theirs has
    /// left.
    fn tell_clients(&mut self) {
        let outputs: Vec<LaneOutput> = self.machine.outputs().collect();
        for output in outputs {
            match output {
                LaneOutput::Answer { exchange, .. } if !self.opened => {
                    if let Some(client) = self.clients.remove(&exchange) {
                        // One that does not listen needs no answer.
                        client.try_send(Heard::Unsent).ok();
                    }
                }
                output => self.tell(output),
            }
        }
    }

    /// Requests that were never looked at.
    fn refuse_rest(&self, commands: &mut mpsc::Receiver<Command>) {
        commands.close();
        while let Ok(command) = commands.try_recv() {
            if let Command::Request(request) = command {
                // As above.
                request.heard.try_send(Heard::Unsent).ok();
            }
        }
    }

    fn tell(&mut self, output: LaneOutput) {
        let (exchange, heard, last) = match output {
            LaneOutput::Client { exchange, message } => (exchange, Heard::Message(message), false),
            LaneOutput::Answer { exchange, status, message } => {
                (exchange, Heard::Answer { status, message }, true)
            }
            LaneOutput::Suspend { exchange, answer } => (exchange, Heard::Suspended(answer), true),
            LaneOutput::Created { exchange, answer } => (exchange, Heard::Created(answer), true),
            _ => return,
        };
        let taken = self.clients.get(&exchange).is_some_and(|client| client.try_send(heard).is_ok());
        if last {
            self.clients.remove(&exchange);
        } else if !taken && self.clients.remove(&exchange).is_some() {
            // It does not read: nobody else shall wait for it.
            self.machine.gone(exchange);
        }
    }
}

pub(super) fn lend(message: &McpMessage) -> Message<'_> {
    Message::new(message.bytes(), message.envelope())
}
