//! [`Lane`]: one upstream protocol context. One task owns its connection; everybody else holds a
//! cheap handle and sends it messages.
//!
//! - [`event`]: what a caller hears of its call
//! - [`inbox`]: a caller's bounded queue of those
//! - [`labels`]: what the client calls its request, put back on the way to it
//! - [`pending`]: the calls in flight, oldest first
//! - `task`: the owner

pub mod event;
pub mod inbox;
pub mod labels;
mod pending;
mod task;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use omcp_core::{BackendConnection, ErrorKind, GatewayError, McpMessage};
use omcp_mcp::revision::Era;
use tokio::sync::{mpsc, watch};

pub use event::{Event, Sink};
pub use inbox::Inbox;
pub use labels::Labels;
pub use pending::CallTraits;
use pending::Counters;

/// Most calls in flight on one lane: a backend that far behind is better answered for at once.
pub const IN_FLIGHT_MAX: usize = 256;
/// Most subscriptions open on one lane, which all modern clients of a backend share.
pub const ENDLESS_MAX: usize = 4_096;
/// Messages waiting for the owner task; twice the calls, so that notifications and cancellations fit.
const COMMANDS_MAX: usize = 2 * IN_FLIGHT_MAX;

/// How a lane behaves.
#[derive(Clone)]
pub struct LaneOptions {
    /// Legacy peers may send requests; modern ones may not.
    pub era: Era,
    /// A call without any event for this long is given up.
    pub call_timeout: Duration,
    /// Takes what belongs to no call. `None` drops it.
    pub unsolicited: Option<Arc<dyn Sink>>,
}

impl LaneOptions {
    pub fn new(era: Era, call_timeout: Duration) -> Self {
        Self { era, call_timeout, unsolicited: None }
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
    counters: Arc<Counters>,
    pid: Option<u32>,
}

enum Command {
    Call { id: u64, message: McpMessage, sink: Arc<dyn Sink>, traits: CallTraits },
    Send(McpMessage),
    Cancel { id: u64, reason: &'static str },
    Close,
}

impl Lane {
    /// Gives the connection to a new task.
    pub fn start(connection: Box<dyn BackendConnection>, options: LaneOptions) -> Self {
        let (commands, inbound) = mpsc::channel(COMMANDS_MAX);
        let (ended_sender, ended) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        let pid = connection.pid();
        tokio::spawn(task::run(connection, options, inbound, counters.clone(), ended_sender));
        Self { shared: Arc::new(Shared { commands, ended, next_id: AtomicU64::new(1), counters, pid }) }
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
        let most = if traits.is_endless() { ENDLESS_MAX } else { IN_FLIGHT_MAX };
        if counter.fetch_add(1, Ordering::Relaxed) >= most {
            counter.fetch_sub(1, Ordering::Relaxed);
            return Err(busy());
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
        let id = self.mint();
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let inbox = Inbox::new();
        self.call(
            id,
            McpMessage::trusted(text.into()),
            inbox.clone(),
            CallTraits { timeout: Some(deadline), ..CallTraits::default() },
        )?;
        let answer = async {
            loop {
                match inbox.next().await {
                    Event::Final(message) => return Ok(message.into_bytes()),
                    Event::Lost(error) => return Err(again(&error)),
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

    fn command(&self, command: Command) -> Result<(), GatewayError> {
        self.shared.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => busy(),
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

fn busy() -> GatewayError {
    let context = format!("the backend has {IN_FLIGHT_MAX} calls in flight already; try again later");
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
