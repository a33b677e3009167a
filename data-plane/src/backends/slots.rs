//! [`Slots`]: how many processes the backends of a node may have at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use omcp_core::{BackendConnection, BackendName, ErrorKind, GatewayError};

/// Shared by all backends of a node.
#[derive(Debug)]
pub struct Slots {
    taken: AtomicUsize,
    max: usize,
}

/// Room for one process, for as long as it is held.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

/// A connection, and the room that its process takes if it has one.
pub struct Opened {
    pub connection: Box<dyn BackendConnection>,
    pub slot: Option<Slot>,
}

impl Slots {
    pub fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max }
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn is_full(&self) -> bool {
        self.taken() >= self.max
    }

    /// Whether there is room for what nobody needs yet: the last quarter is for those who do.
    pub fn has_room_to_spare(&self) -> bool {
        self.taken() < self.max - self.max / 4
    }

    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Slot(self.clone()))
    }

    pub fn full(&self, backend: &BackendName) -> GatewayError {
        let max = self.max;
        let context = format!(
            "backend {backend} is not started: this node runs {max} backend processes, as many as it may (--processes-max); end some sessions, or add a node"
        );
        GatewayError::new(ErrorKind::Limit, context)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back() {
        let slots = Arc::new(Slots::new(2));
        let (one, _two) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none() && slots.is_full());
        drop(one);
        assert_eq!(slots.taken(), 1);
        assert!(slots.has_room_to_spare());
        assert!(slots.take().is_some());
    }
}
