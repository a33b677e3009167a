//! [`Changes`]: the names of the backends of which something new is to be told.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use omcp_core::BackendName;
use tokio::sync::Notify;

/// A set with a bell. One reader takes it; it holds no more names than there ever were backends.
#[derive(Debug, Default)]
pub struct Changes {
    names: Mutex<BTreeSet<BackendName>>,
    bell: Notify,
}

impl Changes {
    pub fn mark(&self, name: &BackendName) {
        let new = self.lock().insert(name.clone());
        if new {
            self.bell.notify_one();
        }
    }

    pub fn take(&self) -> BTreeSet<BackendName> {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until there is something to take. Cancel safe.
    pub async fn any(&self) {
        while self.lock().is_empty() {
            self.bell.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<BackendName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
