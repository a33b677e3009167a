//! [`Lane`]: one upstream protocol context. One task owns its connection; everybody else holds a
//! cheap handle and sends it messages.
//!
//! - [`event`]: what a caller hears of its call
//! - [`inbox`]: a caller's bounded queue of those
//! - [`labels`]: what the client calls its request, put back on the way to it
//! - [`pending`]: the calls in flight, oldest first
//! - [`counts`]: what became of calls, for metrics
//! - `surplus`: how much is read of what nobody asked for
//! - `task`: the owner

pub mod counts;
pub mod event;
pub mod inbox;
pub mod labels;
mod pending;
mod surplus;
mod task;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use omcp_core::{BackendConnection, ErrorKind, GatewayError, McpMessage};
use omcp_mcp::revision::Era;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::limits::BackendLimits;
use super::slots::Slot;

pub use counts::CallCounts;
pub use event::{Event, Sink};
pub use inbox::Inbox;
pub use labels::Labels;
pub use pending::CallTraits;
use pending::Counters;
pub use surplus::SURPLUS_PER_S;

/// Most subscriptions open on one lane, which all modern clients of a backend share.
pub const ENDLESS_MAX: usize = 4_096;

/// Ids of the gateway's own calls begin here: they are no use of the backend by anybody.
const OWN_IDS: u64 = 1 << 41;

/// How a lane behaves.
#[derive(Clone)]
pub struct LaneOptions {
    /// Legacy peers may send requests; modern ones may not.
    pub era: Era,
    /// A call without any event for this long is given up.
    pub call_timeout: Duration,
    /// A call that has lasted this long is given up, whatever is heard of it.
    pub call_max: Duration,
    /// Most calls in flight.
    pub calls_max: usize,
    /// Takes what belongs to no call. `None` drops it.
    pub unsolicited: Option<Arc<dyn Sink>>,
    /// What became of the calls of all lanes.
    pub counts: Arc<CallCounts>,
    /// Several clients use it: the peer can ask none of them, and none hears what is not certainly its own.
    pub shared: bool,
    /// The room that the lane's process takes, given back when it has ended.
    pub slot: Option<Arc<Slot>>,
}

impl LaneOptions {
    pub fn new(era: Era, call_timeout: Duration) -> Self {
        let BackendLimits { call_max, calls_max, .. } = BackendLimits::default();
        let (unsolicited, counts, shared, slot) = (None, Arc::default(), false, None);
        Self { era, call_timeout, call_max, calls_max, unsolicited, counts, shared, slot }
    }
}

/// A handle that keeps no lane open.
#[derive(Clone)]
pub struct WeakLane(Weak<Shared>);

impl WeakLane {
    pub fn upgrade(&self) -> Option<Lane> {
        self.0.upgrade().map(|shared| Lane { shared })
    }
}

/// A handle on a lane. The lane ends when [`Lane::close`] is called, when its connection breaks, or
/// when the last handle is dropped.
#[derive(Clone)]
pub struct Lane {
    shared: Arc<Shared>,
}

struct Shared {
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<Option<Arc<GatewayError>>>,
    next_id: AtomicU64,
    next_own_id: AtomicU64,
    counters: Arc<Counters>,
    pid: Option<u32>,
    born: Instant,
    calls_max: usize,
}

enum Command {
    Call { id: u64, message: McpMessage, sink: Arc<dyn Sink>, traits: CallTraits },
    Send(McpMessage),
    Cancel { id: u64, reason: &'static str },
    CloseWhenQuiet,
    Close,
}

impl Lane {
    /// Gives the connection to a new task.
    pub fn start(connection: Box<dyn BackendConnection>, options: LaneOptions) -> Self {
        let calls_max = options.calls_max;
        // Twice the calls, so that notifications and cancellations fit.
        let (commands, inbound) = mpsc::channel(2 * calls_max);
        let (ended_sender, ended) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        let pid = connection.pid();
        tokio::spawn(task::run(connection, options, inbound, counters.clone(), ended_sender));
        let (next_id, next_own_id, born) = (AtomicU64::new(1), AtomicU64::new(0), Instant::now());
        Self {
            shared: Arc::new(Shared {
                commands,
                ended,
                next_id,
                next_own_id,
                counters,
                pid,
                born,
                calls_max,
            }),
        }
    }

    pub fn downgrade(&self) -> WeakLane {
        WeakLane(Arc::downgrade(&self.shared))
    }

    /// A new upstream id, which is its progress token as well.
    pub fn mint(&self) -> u64 {
        self.shared.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts a call. `message` carries the minted `id`; its events go to `sink`, the last one final.
    ///
    /// # Errors
    /// `Limit` if too many calls are in flight, `Closed` if the lane has ended. Nothing was sent then.
    pub fn call(
        &self,
        id: u64,
        message: McpMessage,
        sink: Arc<dyn Sink>,
        traits: CallTraits,
    ) -> Result<(), GatewayError> {
        let counter = traits.counter(&self.shared.counters);
        let most = if traits.is_endless() { ENDLESS_MAX } else { self.shared.calls_max };
        if counter.fetch_add(1, Ordering::Relaxed) >= most {
            counter.fetch_sub(1, Ordering::Relaxed);
            return Err(busy(most));
        }
        self.command(Command::Call { id, message, sink, traits }).inspect_err(|_| {
            counter.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Sends a notification or a response as it is.
    ///
    /// # Errors
    /// As [`Lane::call`].
    pub fn send(&self, message: McpMessage) -> Result<(), GatewayError> {
        self.command(Command::Send(message))
    }

    /// Tells the peer that nobody waits for the call `id` any more. Harmless if it has ended.
    pub fn cancel(&self, id: u64, reason: &'static str) {
        // A lane that is full or gone ends the call by itself.
        drop(self.command(Command::Cancel { id, reason }));
    }

    /// A call of the gateway's own; notifications that belong to it are ignored.
    ///
    /// # Errors
    /// As [`Lane::call`]; `Timeout` after `deadline`; `Closed` if the lane ends first. A JSON-RPC
    /// error is no error here: the whole response message is returned.
    pub async fn request(
        &self,
        method: &str,
        params: &str,
        deadline: Duration,
    ) -> Result<Bytes, GatewayError> {
        let id = OWN_IDS + self.shared.next_own_id.fetch_add(1, Ordering::Relaxed);
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let inbox = Inbox::new();
        self.call(
            id,
            McpMessage::trusted(text.into()),
            inbox.clone(),
            CallTraits { timeout: Some(deadline), own: true, ..CallTraits::default() },
        )?;
        let answer = async {
            loop {
                match inbox.next().await {
                    Event::Final(message) => return Ok(message.into_bytes()),
                    Event::Lost(error) | Event::Unsent(error) => return Err(again(&error)),
                    Event::Cancelled => return Err(GatewayError::closed(format!("{method} was cancelled"))),
                    Event::Message(_) => {}
                }
            }
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
            self.cancel(id, "timed out");
            Err(GatewayError::timeout(format!("no answer to {method} within {} ms", deadline.as_millis())))
        })
    }

    /// A notification of the gateway's own.
    ///
    /// # Errors
    /// As [`Lane::call`].
    pub fn notify(&self, method: &str, params: Option<&str>) -> Result<(), GatewayError> {
        let params = params.map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params}}}"#);
        self.send(McpMessage::trusted(text.into()))
    }

    /// Asks the lane to end: calls in flight are lost, the connection is closed.
    pub fn close(&self) {
        let commands = self.shared.commands.clone();
        if let Err(mpsc::error::TrySendError::Full(command)) = commands.try_send(Command::Close) {
            tokio::spawn(async move { commands.send(command).await });
        }
    }

    /// Asks the lane to end as soon as nothing is under way on it.
    pub fn close_when_quiet(&self) {
        // A full lane is not quiet: whoever asks looks again later, or gives up on it.
        drop(self.command(Command::CloseWhenQuiet));
    }

    /// Waits until the connection is closed, and tells why it was.
    pub async fn closed(&self) -> Arc<GatewayError> {
        let mut ended = self.shared.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|error| error.clone()) {
            Ok(Some(error)) => error,
            _ => Arc::new(gone()),
        }
    }

    pub fn is_open(&self) -> bool {
        self.shared.ended.borrow().is_none() && !self.shared.commands.is_closed()
    }

    pub fn pid(&self) -> Option<u32> {
        self.shared.pid
    }

    /// Calls that will end by themselves; subscriptions do not count.
    pub fn in_flight(&self) -> usize {
        self.shared.counters.finite.load(Ordering::Relaxed)
    }

    /// Subscriptions that are open.
    pub fn endless(&self) -> usize {
        self.shared.counters.endless.load(Ordering::Relaxed)
    }

    /// How many ids were minted: as long as it stays the same, nobody starts a call.
    pub fn uses(&self) -> u64 {
        self.shared.next_id.load(Ordering::Relaxed)
    }

    /// How many calls of clients were answered: as long as it stays the same, nothing was heard of the backend.
    pub fn answers(&self) -> u64 {
        self.shared.counters.answered.load(Ordering::Relaxed)
    }

    pub fn born(&self) -> Instant {
        self.shared.born
    }

    fn command(&self, command: Command) -> Result<(), GatewayError> {
        self.shared.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => busy(self.shared.calls_max),
            mpsc::error::TrySendError::Closed(_) => {
                self.shared.ended.borrow().as_deref().map_or_else(gone, again)
            }
        })
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("pid", &self.shared.pid).finish_non_exhaustive()
    }
}

fn busy(most: usize) -> GatewayError {
    let context = format!("the backend has {most} calls in flight already; try again later");
    GatewayError::new(ErrorKind::Limit, context)
}

fn gone() -> GatewayError {
    GatewayError::closed("the connection to the backend has ended")
}

/// The same error once more, for another caller.
pub fn again(error: &GatewayError) -> GatewayError {
    GatewayError::new(error.kind(), error.chain())
}

#[cfg(test)]
mod tests;
