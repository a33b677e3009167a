//! [`Turns`]: few connections are opened at once on a node.

use std::time::Duration;

use omcp_core::{BackendName, ErrorKind, GatewayError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Connections being opened at once: each may be a process that burns a core while it starts.
pub const STARTS_MAX: usize = 8;
/// How long a connection waits for its turn; as long as one slow start may take.
const WAIT: Duration = Duration::from_secs(30);

/// Shared by all backends of a node.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(STARTS_MAX))
    }
}

impl Turns {
    /// Waits for a turn, which lasts until the permit is dropped.
    ///
    /// # Errors
    /// `Limit` if too many others are being opened for too long.
    pub async fn take(&self, backend: &BackendName) -> Result<SemaphorePermit<'_>, GatewayError> {
        timeout(WAIT, self.0.acquire()).await.ok().and_then(Result::ok).ok_or_else(|| {
            let context = format!(
                "backend {backend} could not be started: {STARTS_MAX} others are starting; try again"
            );
            GatewayError::new(ErrorKind::Limit, context)
        })
    }
}
