//! Legacy clients with a backend that is a pipe, where each session has a lane, and so a process or
//! connection, of its own, unless its backend lets sessions share one; and with one of the other era, where
//! each session has a bridge.
//!
//! - [`home`]: the endpoint at which a session was opened
//! - [`levels`]: a lane whose ends are of different revisions
//! - [`link`]: what a session speaks with
//! - [`conversation`]: one client's conversation
//! - [`stream_log`]: one resumable stream of it
//! - [`event_id`]: where a client stands in which stream

pub mod conversation;
pub mod event_id;
pub mod home;
pub mod levels;
pub mod link;
pub mod stream_log;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use omcp_core::{ErrorKind, GatewayError};
use omcp_mcp::token::content::HandleId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use conversation::Session;

use crate::backends::bridge::principal::Principal;
use crate::clients::{Client, Held, Holding};

/// How often idle sessions and unread streams are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// For all sessions to end: the steps from closed input to SIGKILL take 5 s.
const CLOSE_DEADLINE: Duration = Duration::from_secs(8);

/// Longest life of a session: keys that have sealed its id are kept a little longer.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What the client knows a session by, and whose it is.
#[derive(Clone, Debug)]
pub struct Handle {
    pub id: String,
    pub principal: Principal,
    /// Set if other nodes may open it anew: they have to be told when it is deleted.
    pub reopenable: Option<HandleId>,
}

/// What one session takes of a node.
pub struct Room {
    _permit: OwnedSemaphorePermit,
    _held: Held,
}

/// All sessions of this node.
pub struct Sessions {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    room: Arc<Semaphore>,
    sessions_max: usize,
    idle: Duration,
    replay_window: Duration,
}

impl Sessions {
    pub fn new(sessions_max: usize, idle: Duration, replay_window: Duration) -> Self {
        let room = Arc::new(Semaphore::new(sessions_max));
        Self { sessions: Mutex::default(), room, sessions_max, idle, replay_window }
    }

    /// Room for one more session of this client, for as long as it is held.
    ///
    /// # Errors
    /// `Limit` if the node or the client has as many sessions as it may have.
    pub fn room(&self, client: &Arc<Client>) -> Result<Room, GatewayError> {
        let full = |context: String| GatewayError::new(ErrorKind::Limit, context);
        let permit = self.room.clone().try_acquire_owned().map_err(|_| {
            full(format!("this node has {} sessions, as many as it may; end some", self.sessions_max))
        })?;
        let held = client.hold(Holding::Session).ok_or_else(|| {
            full("your address has as many sessions with this node as it may; end some".to_owned())
        })?;
        Ok(Room { _permit: permit, _held: held })
    }

    pub fn insert(&self, session: Arc<Session>) {
        self.lock().insert(session.id().to_owned(), session);
    }

    /// The session, if it is one of this principal with this backend and still alive.
    pub fn get(&self, id: &str, backend: &str, principal: &Principal) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned()?;
        let mine = session.backend() == backend && session.principal() == principal;
        (mine && session.is_open()).then(|| {
            session.touch();
            session
        })
    }

    /// Ends a session.
    pub fn end(&self, session: &Session) {
        self.lock().remove(session.id());
        session.close();
    }

    /// Ends all sessions and waits until their processes are gone.
    pub async fn close_all(&self) {
        let sessions: Vec<_> = self.lock().drain().map(|(_, session)| session).collect();
        sessions.iter().for_each(|session| session.close());
        let own = sessions.iter().filter(|session| !session.is_shared());
        let gone = join_all(own.map(|session| session.link().closed()));
        if tokio::time::timeout(CLOSE_DEADLINE, gone).await.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
    }

    /// Ends what nobody uses, for as long as the future is polled.
    pub async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            self.sweep_once();
        }
    }

    fn sweep_once(&self) {
        self.lock().retain(|_, session| {
            session.forget_unread(self.replay_window);
            let keep = session.is_open()
                && session.idle_for() < self.idle
                && !session.is_overdue()
                && !session.is_worn_out();
            if !keep {
                session.close();
            }
            keep
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
