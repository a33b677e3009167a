//! [`Session`]: one legacy client's conversation with one backend, or with all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::revision::Revision;
use tokio::time::Instant;

use super::event_id::GENERAL;
use super::home::Home;
use super::link::Link;
use super::stream_log::StreamLog;
use super::{Handle, LIFETIME, Room};
use crate::backends::bridge::principal::Principal;
use crate::backends::lane::Labels;
use crate::backends::{SessionGuard, SharedLegacy};

/// Answered streams that a session keeps for a client that may resume them.
pub const FINISHED_MAX: usize = 32;
/// Bytes of these.
const FINISHED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// One client's conversation. Its id holds 128 random bits, and is good for its principal only.
pub struct Session {
    handle: Handle,
    born: Instant,
    home: Home,
    link: Link,
    /// The connection is not its own.
    shared: Option<Arc<SharedLegacy>>,
    revision: Revision,
    general: Arc<StreamLog>,
    state: Mutex<State>,
    next_stream: AtomicU64,
    _counted: Option<SessionGuard>,
    _room: Room,
}

struct State {
    streams: BTreeMap<u64, Arc<StreamLog>>,
    /// The client's spelling of a request id -> ours, while the request is in flight.
    calls: HashMap<Bytes, (u64, Arc<StreamLog>)>,
    used: Instant,
}

impl State {
    /// Lets go of answered streams, the oldest first, that exceed what a session may keep.
    fn forget_finished(&mut self) {
        let finished: Vec<u64> =
            self.streams.iter().filter(|(_, log)| log.is_finished()).map(|(id, _)| *id).collect();
        let mut bytes: usize = finished.iter().map(|id| self.streams[id].bytes()).sum();
        for (index, id) in finished.iter().enumerate() {
            if finished.len() - index <= FINISHED_MAX && bytes <= FINISHED_BYTES_MAX {
                return;
            }
            bytes -= self.streams.remove(id).map_or(0, |log| log.bytes());
        }
    }
}

impl Session {
    pub fn new(
        handle: Handle,
        home: impl Into<Home>,
        link: Link,
        revision: Revision,
        general: Arc<StreamLog>,
        room: Room,
        shared: Option<Arc<SharedLegacy>>,
    ) -> Self {
        let home = home.into();
        let counted = home.track_session(link.pid());
        let state = State { streams: BTreeMap::new(), calls: HashMap::new(), used: Instant::now() };
        let next_stream = AtomicU64::new(GENERAL + 1);
        Self {
            handle,
            born: Instant::now(),
            home,
            link,
            shared,
            revision,
            general,
            state: Mutex::new(state),
            next_stream,
            _counted: counted,
            _room: room,
        }
    }

    pub fn id(&self) -> &str {
        &self.handle.id
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn principal(&self) -> &Principal {
        &self.handle.principal
    }

    /// The name of the endpoint.
    pub fn backend(&self) -> &str {
        self.home.name()
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Whether other sessions use the same connection.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Starts a request of the client. Its events are in the log, under the number returned.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub fn call(
        &self,
        request: &McpMessage,
        labels: Labels,
        can_be_asked: bool,
    ) -> Result<(u64, Arc<StreamLog>), GatewayError> {
        let client_id = Bytes::copy_from_slice(labels.id());
        let log = Arc::new(StreamLog::new(self.backend(), Some(labels)));
        let timeout = self.home.call_timeout();
        let minted = self.link.call(request, timeout, can_be_asked, log.clone())?;
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        state.calls.retain(|_, (_, log)| !log.has_ended());
        state.calls.insert(client_id, (minted, log.clone()));
        state.streams.insert(stream, log.clone());
        state.forget_finished();
        Ok((stream, log))
    }

    /// The client no longer wants the answer to its request `client_id` (raw spelling).
    pub fn cancel(&self, client_id: &[u8]) {
        let call = self.lock().calls.remove(client_id);
        if let Some((minted, _)) = call {
            self.link.cancel(minted, "cancelled by the client");
        }
    }

    /// The answer went out whole; nobody will resume this stream.
    pub fn forget_stream(&self, stream: u64) {
        self.lock().streams.remove(&stream);
    }

    pub fn stream(&self, stream: u64) -> Option<Arc<StreamLog>> {
        if stream == GENERAL {
            return Some(self.general.clone());
        }
        self.lock().streams.get(&stream).cloned()
    }

    pub fn general(&self) -> &Arc<StreamLog> {
        &self.general
    }

    pub fn touch(&self) {
        self.lock().used = Instant::now();
    }

    /// Time since it was last used: a stream that is read and a call in flight are use.
    pub fn idle_for(&self) -> Duration {
        if self.is_busy() || self.general.unread_since().is_none() {
            self.touch();
        }
        self.lock().used.elapsed()
    }

    fn is_busy(&self) -> bool {
        self.lock().calls.values().any(|(_, log)| !log.has_ended())
    }

    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// The definition it was opened with is gone and its time to drain is over.
    pub fn is_overdue(&self) -> bool {
        self.home.is_closed()
    }

    /// It has lived as long as its backend allows, and nothing is under way.
    pub fn is_worn_out(&self) -> bool {
        let lifetime_max = self.home.lifetime_max();
        let worn = lifetime_max.is_some_and(|max| self.link.born().is_some_and(|born| born.elapsed() >= max));
        (worn || self.born.elapsed() >= LIFETIME) && !self.is_busy()
    }

    pub fn close(&self) {
        self.general.end();
        if !self.is_shared() {
            return self.link.close();
        }
        let calls: Vec<u64> = self.lock().calls.drain().map(|(_, (minted, _))| minted).collect();
        calls.into_iter().for_each(|minted| self.link.cancel(minted, "the session ended"));
    }

    /// Gives up calls whose client has been away too long, and forgets their streams.
    pub fn forget_unread(&self, window: Duration) {
        let overdue = |log: &StreamLog| log.unread_since().is_some_and(|since| since.elapsed() > window);
        let mut state = self.lock();
        let abandoned: Vec<u64> = state
            .calls
            .values()
            .filter(|(_, log)| !log.has_ended() && overdue(log))
            .map(|(minted, _)| *minted)
            .collect();
        state.streams.retain(|_, log| !overdue(log));
        state.calls.retain(|_, (_, log)| !log.has_ended() && !overdue(log));
        drop(state);
        for minted in abandoned {
            self.link.cancel(minted, "the client went away");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}
