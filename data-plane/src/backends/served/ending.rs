//! The end of a definition: retired, drained, closed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Served;

/// How often a retired definition looks whether its last call has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(100);
/// A request that looked this definition up just before it was replaced still finds it alive.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// How long a lane may take to end its process: as a process runtime's own patience, with room.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

impl Served {
    /// Replaced or removed: new requests go elsewhere, what began may go on until `deadline`.
    pub fn retire(&self, deadline: Instant) {
        self.life.retire(deadline);
        self.spares.close();
    }

    /// Whether another definition has taken its place.
    pub fn retired(&self) -> bool {
        !self.life.is_current()
    }

    /// Resolves when another definition has taken its place.
    pub async fn wait_retired(&self) {
        self.life.retired().await;
    }

    /// Resolves when the drain deadline has passed: whatever still uses this definition ends now.
    pub async fn wait_closed(&self) {
        self.life.closed().await;
    }

    /// Whether the drain deadline has passed.
    pub fn is_closed(&self) -> bool {
        self.life.is_closed()
    }

    /// Lets what began come to its end, at most until the drain deadline, then ends the rest and the
    /// shared process.
    pub async fn drain(&self) {
        let grace = Instant::now() + DRAIN_GRACE;
        while let Some(deadline) = self.life.deadline() {
            let now = Instant::now();
            if now >= deadline || (now >= grace && !self.is_busy()) {
                break;
            }
            tokio::time::sleep_until(deadline.min(now + DRAIN_LOOK)).await;
        }
        self.life.close();
        self.spares.close();
        self.let_shared_go();
        // A check that is under way ends its session itself.
        let kept = self.check_session.try_lock().ok().and_then(|mut kept| kept.take());
        if let Some(dialogue) = kept {
            dialogue.close(DRAIN_GRACE).await;
        }
        self.bridges.close();
        let lane = self.close_lane();
        let others = self.close_principal_lanes();
        let all_closed = async {
            for lane in lane.as_deref().into_iter().chain(&others) {
                lane.closed().await;
            }
            self.bridges.closed().await;
            self.spares.closed().await;
        };
        if timeout(CLOSE_DEADLINE, all_closed).await.is_err() {
            tracing::warn!(backend = %self.name, "backend did not end in time");
        }
    }

    fn is_busy(&self) -> bool {
        self.health.sessions() > 0
            || self.waiting.load(Ordering::Relaxed) > 0
            || self.open_lanes().any(|lane| lane.in_flight() > 0)
            || self.bridges.is_busy()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.close_lane();
        self.close_principal_lanes();
        self.bridges.close();
        self.spares.close();
    }
}
