//! [`Home`]: the endpoint at which a session was opened: of one backend, or of many.

use std::sync::Arc;
use std::time::Duration;

use omcp_core::runtime::CALL_TIMEOUT;

use crate::backends::{Served, SessionGuard};

#[derive(Clone)]
pub enum Home {
    Backend(Arc<Served>),
    /// The name of its selection, which no backend can have.
    Aggregate(Arc<str>),
}

impl From<Arc<Served>> for Home {
    fn from(served: Arc<Served>) -> Self {
        Self::Backend(served)
    }
}

impl Home {
    pub fn name(&self) -> &str {
        match self {
            Self::Backend(served) => served.name().as_str(),
            Self::Aggregate(name) => name,
        }
    }

    /// The backend, if it is one.
    pub fn backend(&self) -> Option<&str> {
        match self {
            Self::Backend(served) => Some(served.name().as_str()),
            Self::Aggregate(_) => None,
        }
    }

    /// Longest silence of a call. Where there are many backends, each has its own.
    pub fn call_timeout(&self) -> Duration {
        match self {
            Self::Backend(served) => served.runtime().call_timeout(),
            Self::Aggregate(_) => CALL_TIMEOUT,
        }
    }

    /// Whether it is gone, and its time to drain over.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Backend(served) if served.is_closed())
    }

    /// How long a connection may live.
    pub fn lifetime_max(&self) -> Option<Duration> {
        match self {
            Self::Backend(served) => served.lifecycle().lifetime_max,
            Self::Aggregate(_) => None,
        }
    }

    /// Counts a session, and the process that serves it. Of many backends, each counts its own part.
    pub fn track_session(&self, pid: Option<u32>) -> Option<SessionGuard> {
        match self {
            Self::Backend(served) => Some(served.track_session(pid)),
            Self::Aggregate(_) => None,
        }
    }

    /// Resolves when it is gone, and its time to drain over.
    pub async fn wait_closed(&self) {
        match self {
            Self::Backend(served) => served.wait_closed().await,
            Self::Aggregate(_) => std::future::pending().await,
        }
    }
}
