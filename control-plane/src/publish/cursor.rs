//! [`Cursor`]: a revision of an epoch, and the proof of what is held there.

use omcp_core::{Digest, Epoch, Revision};
use omcp_proto::v1;

/// A point in the store's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub epoch: Epoch,
    pub revision: Revision,
    pub digest: Digest,
}

impl Cursor {
    pub fn to_wire(self) -> v1::Cursor {
        let (epoch, digest) = (self.epoch.0.to_vec(), self.digest.to_bytes().to_vec());
        v1::Cursor { epoch, revision: self.revision, digest }
    }
}
