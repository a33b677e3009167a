//! [`Life`]: how far a definition is from its end.

use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Current,
    /// Replaced or removed: what it began may go on until then.
    Retired(Instant),
    Closed,
}

/// Current, then retired, then closed; never back.
#[derive(Debug)]
pub struct Life {
    stage: watch::Sender<Stage>,
}

impl Default for Life {
    fn default() -> Self {
        Self { stage: watch::Sender::new(Stage::Current) }
    }
}

impl Life {
    /// Nothing new from now on, and the end at `deadline`. An earlier deadline replaces a later one.
    pub fn retire(&self, deadline: Instant) {
        self.stage.send_if_modified(|stage| {
            let sooner = match *stage {
                Stage::Current => true,
                Stage::Retired(until) => deadline < until,
                Stage::Closed => false,
            };
            if sooner {
                *stage = Stage::Retired(deadline);
            }
            sooner
        });
    }

    pub fn close(&self) {
        self.stage.send_replace(Stage::Closed);
    }

    /// When a retired definition ends.
    pub fn deadline(&self) -> Option<Instant> {
        match *self.stage.borrow() {
            Stage::Retired(deadline) => Some(deadline),
            Stage::Current | Stage::Closed => None,
        }
    }

    pub fn is_current(&self) -> bool {
        *self.stage.borrow() == Stage::Current
    }

    pub fn is_closed(&self) -> bool {
        *self.stage.borrow() == Stage::Closed
    }

    /// Resolves once it is retired or closed.
    pub async fn retired(&self) {
        self.reached(|stage| *stage != Stage::Current).await;
    }

    /// Resolves once it is closed.
    pub async fn closed(&self) {
        self.reached(|stage| *stage == Stage::Closed).await;
    }

    async fn reached(&self, stage: impl FnMut(&Stage) -> bool) {
        // The sender lives in `self`: waiting cannot fail.
        drop(self.stage.subscribe().wait_for(stage).await);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn never_back_and_only_sooner() {
        let (life, now) = (Life::default(), Instant::now());
        life.retire(now + Duration::from_secs(9));
        life.retire(now + Duration::from_secs(20));
        assert_eq!(life.deadline(), Some(now + Duration::from_secs(9)));
        life.retire(now);
        assert_eq!((life.deadline(), life.is_current(), life.is_closed()), (Some(now), false, false));
        life.close();
        life.retire(now);
        assert!(life.is_closed() && life.deadline().is_none());
    }
}
