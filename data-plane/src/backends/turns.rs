//! [`Turns`]: few connections are opened at once on a node.

use std::time::Duration;

use omcp_core::{BackendName, ErrorKind, GatewayError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long a connection waits for its turn; as long as one slow start may take.
const WAIT: Duration = Duration::from_secs(30);
/// A turn lasts no longer: what takes more time waits for something, and burns no core meanwhile.
pub const TURN_MAX: Duration = Duration::from_secs(2);

/// Shared by all backends of a node.
#[derive(Debug)]
pub struct Turns {
    turns: Semaphore,
    max: usize,
}

impl Turns {
    pub fn new(max: usize) -> Self {
        Self { turns: Semaphore::new(max), max }
    }

    /// Waits for a turn, which lasts until the permit is dropped.
    ///
    /// # Errors
    /// `Limit` if too many others are being opened for too long.
    pub async fn take(&self, backend: &BackendName) -> Result<SemaphorePermit<'_>, GatewayError> {
        timeout(WAIT, self.turns.acquire()).await.ok().and_then(Result::ok).ok_or_else(|| {
            let max = self.max;
            let context =
                format!("backend {backend} could not be started: {max} others are starting; try again");
            GatewayError::new(ErrorKind::Limit, context)
        })
    }
}
