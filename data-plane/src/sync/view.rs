//! [`View`]: what the node's own admin pages tell about the sync, without asking anybody.

use omcp_core::{Digest, Epoch, Revision};
use omcp_proto::v1::{Rejection, ResumeSource};
use tokio::time::Instant;

/// Where the node stands.
#[derive(Clone, Debug)]
pub struct View {
    pub epoch: Epoch,
    pub revision: Revision,
    pub digest: Digest,
    /// Where the state came from.
    pub source: ResumeSource,
    /// Backends held, rejected ones included.
    pub backends: usize,
    /// Newest revision in the last-good file.
    pub persisted_revision: Revision,
    pub connected: bool,
    /// When the control plane was last heard.
    pub heard: Option<Instant>,
    /// A removal of most backends waits for consent.
    pub held_mass_removal: bool,
    /// Rejections that the set does not know of: what has no usable name.
    pub misnamed: Vec<Rejection>,
    /// Why the last stream ended, until the next one begins.
    pub last_error: String,
}

impl View {
    /// Whether the node holds something to serve, even if that is an empty store.
    pub fn is_loaded(&self) -> bool {
        self.epoch != Epoch::default()
    }
}
