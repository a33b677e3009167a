//! Legacy clients with a backend that is a pipe: each session has a lane, and so a process or
//! connection, of its own.
//!
//! - [`conversation`]: one client's conversation
//! - [`stream_log`]: one resumable stream of it
//! - [`event_id`]: where a client stands in which stream

pub mod conversation;
pub mod event_id;
pub mod stream_log;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omcp_core::{ErrorKind, GatewayError};

pub use conversation::Session;

/// How often idle sessions and unread streams are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// All sessions of this node.
pub struct Sessions {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    sessions_max: usize,
    idle: Duration,
    replay_window: Duration,
}

impl Sessions {
    pub fn new(sessions_max: usize, idle: Duration, replay_window: Duration) -> Self {
        Self { sessions: Mutex::default(), sessions_max, idle, replay_window }
    }

    /// # Errors
    /// `Limit` if the node has as many sessions as it may have.
    pub fn check_room(&self) -> Result<(), GatewayError> {
        if self.lock().len() < self.sessions_max {
            return Ok(());
        }
        let context = format!("this node has {} sessions, as many as it may; end some", self.sessions_max);
        Err(GatewayError::new(ErrorKind::Limit, context))
    }

    pub fn insert(&self, session: Arc<Session>) {
        self.lock().insert(session.id().to_owned(), session);
    }

    /// The session, if it is one with this backend and still alive.
    pub fn get(&self, id: &str, backend: &str) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned()?;
        (session.backend() == backend && session.is_open()).then(|| {
            session.touch();
            session
        })
    }

    /// Ends a session. False if there is none.
    pub fn end(&self, id: &str, backend: &str) -> bool {
        let Some(session) = self.get(id, backend) else {
            return false;
        };
        self.lock().remove(id);
        session.close();
        true
    }

    pub fn close_all(&self) {
        for (_, session) in self.lock().drain() {
            session.close();
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
            let keep = session.is_open() && session.idle_for() < self.idle && !session.is_overdue();
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
