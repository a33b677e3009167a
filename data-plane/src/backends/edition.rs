//! [`Edition`]: a number that grows whenever what the backends list together may have changed.

use tokio::sync::watch;

#[derive(Debug)]
pub struct Edition(watch::Sender<u64>);

impl Default for Edition {
    fn default() -> Self {
        Self(watch::Sender::new(1))
    }
}

impl Edition {
    pub fn number(&self) -> u64 {
        *self.0.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    pub(super) fn grow(&self) {
        self.0.send_modify(|number| *number += 1);
    }
}
