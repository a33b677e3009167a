//! [`View`]: what the node's own admin pages tell about the sync, without asking anybody.

use omcp_core::{Digest, Epoch, Revision};
use omcp_proto::v1::{Rejection, ResumeSource};
use tokio::time::Instant;

use super::session::Session;

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
    /// Somebody took the node out of service.
    pub drained: bool,
    /// Rejections that the set does not know of: what has no usable name.
    pub misnamed: Vec<Rejection>,
    /// Why the last stream ended, until the next one begins.
    pub last_error: String,
}

impl View {
    /// The view of a node that has not connected yet.
    pub fn of(session: &Session) -> Self {
        let held = session.held();
        Self {
            epoch: held.epoch,
            revision: held.revision,
            digest: held.digest,
            source: session.source(),
            backends: held.len(),
            persisted_revision: if session.source() == ResumeSource::Disk { held.revision } else { 0 },
            connected: false,
            heard: None,
            held_mass_removal: session.holds_back(),
            drained: session.is_drained(),
            misnamed: held.rejections(),
            last_error: String::new(),
        }
    }

    /// Takes over where the session stands now.
    pub fn stand(&mut self, session: &Session) {
        let Self { connected, heard, last_error, persisted_revision, .. } = self.clone();
        *self = Self { connected, heard, last_error, persisted_revision, ..Self::of(session) };
    }

    /// Whether the node holds something to serve, even if that is an empty store.
    pub fn is_loaded(&self) -> bool {
        self.epoch != Epoch::default()
    }
}
