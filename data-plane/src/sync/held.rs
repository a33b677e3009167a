//! [`Held`]: everything received at one revision, and its proof.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use omcp_core::revision::{SpecHash, spec_hash};
use omcp_core::{BackendName, Change as Step, Digest, Epoch, Revision, plan};
use omcp_proto::v1::change::Op;
use omcp_proto::v1::{Change, Cursor, Rejection, RejectionCode, SnapshotPiece};
use prost::Message;

use crate::backends::Wanted;

/// One backend's spec as it was received.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Revision of its last change.
    pub revision: Revision,
    pub bytes: Bytes,
    pub hash: SpecHash,
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision && self.hash == other.hash
    }
}

/// The store's content at one revision of one epoch, as far as this node knows.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub epoch: Epoch,
    pub revision: Revision,
    pub digest: Digest,
    specs: BTreeMap<BackendName, Spec>,
    /// Under names that this build does not take for names: held, proven, rejected, never served.
    misnamed: BTreeMap<String, Spec>,
}

/// Why changes were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Neither a put nor a deletion: a newer protocol.
    UnknownChange,
    /// The outcome is not what was announced.
    Digest,
}

impl Held {
    /// Nothing, on the way to a snapshot.
    pub fn empty(epoch: Epoch, revision: Revision) -> Self {
        Self { epoch, revision, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.specs.len() + self.misnamed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch.0.to_vec(),
            revision: self.revision,
            digest: self.digest.to_bytes().to_vec(),
        }
    }

    /// Takes a change of a snapshot on its way.
    ///
    /// # Errors
    /// The change is neither a put nor a deletion: a newer protocol.
    pub fn put(&mut self, change: Change) -> Result<(), Mismatch> {
        self.change(change).map(drop)
    }

    /// Takes all changes up to revision `to`, or none of them.
    ///
    /// # Errors
    /// A change cannot be read, or the outcome is not what `digest` proves.
    pub fn advance(&mut self, changes: Vec<Change>, to: Revision, digest: Digest) -> Result<(), Mismatch> {
        let before = self.digest;
        let mut undo = Vec::with_capacity(changes.len());
        let taken = changes.into_iter().try_for_each(|change| {
            undo.push(self.change(change)?);
            Ok(())
        });
        let proven = taken.and_then(|()| if self.digest == digest { Ok(()) } else { Err(Mismatch::Digest) });
        match proven {
            Ok(()) => self.revision = to,
            Err(_) => {
                undo.into_iter().rev().for_each(|(name, old)| drop(self.replace(&name, old)));
                self.digest = before;
            }
        }
        proven
    }

    /// Takes one change into content and digest; returns what was there before.
    fn change(&mut self, change: Change) -> Result<(String, Option<Spec>), Mismatch> {
        let Change { revision, name, op } = change;
        let spec = match op {
            Some(Op::Put(bytes)) => {
                let hash = spec_hash(&bytes);
                self.digest.add(&name, &hash);
                Some(Spec { revision, bytes, hash })
            }
            Some(Op::Deleted(_)) => None,
            None => return Err(Mismatch::UnknownChange),
        };
        let old = self.replace(&name, spec);
        if let Some(old) = &old {
            self.digest.remove(&name, &old.hash);
        }
        Ok((name, old))
    }

    fn replace(&mut self, name: &str, spec: Option<Spec>) -> Option<Spec> {
        match (name.parse::<BackendName>(), spec) {
            (Ok(name), Some(spec)) => self.specs.insert(name, spec),
            (Ok(name), None) => self.specs.remove(&name),
            (Err(_), Some(spec)) => self.misnamed.insert(name.to_owned(), spec),
            (Err(_), None) => self.misnamed.remove(name),
        }
    }

    /// What is to be done so that what runs from `self` becomes what `next` wants.
    pub fn steps_to(&self, next: &Self) -> Vec<Wanted> {
        plan(&self.specs, &next.specs).into_iter().map(wanted).collect()
    }

    /// The present definitions of `names`, absent ones included.
    pub fn wanted<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Wanted> {
        let names = names.filter_map(|name| name.parse::<BackendName>().ok());
        names.map(|name| Wanted { spec: self.specs.get(&name).map(content), name }).collect()
    }

    /// Everything, as wanted.
    pub fn all(&self) -> Vec<Wanted> {
        Self::default().steps_to(self)
    }

    /// How many of the backends in `self` are absent from `next`.
    pub fn removals_to(&self, next: &Self) -> usize {
        self.specs.keys().filter(|name| !next.specs.contains_key(*name)).count()
            + self.misnamed.keys().filter(|name| !next.misnamed.contains_key(*name)).count()
    }

    /// Everything as puts: the content of a snapshot.
    pub fn to_changes(&self) -> Vec<Change> {
        let named = self.specs.iter().map(|(name, spec)| (name.as_str(), spec));
        let misnamed = self.misnamed.iter().map(|(name, spec)| (name.as_str(), spec));
        let put = |(name, spec): (&str, &Spec)| Change {
            revision: spec.revision,
            name: name.to_owned(),
            op: Some(Op::Put(spec.bytes.clone())),
        };
        named.chain(misnamed).map(put).collect()
    }

    /// Rejections of what has no usable name.
    pub fn rejections(&self) -> Vec<Rejection> {
        let reject = |(name, spec): (&String, &Spec)| Rejection {
            backend: name.clone(),
            revision: spec.revision,
            code: RejectionCode::Decode.into(),
            field: "name".to_owned(),
            message: "this build of the node does not know names of this form; update the node".to_owned(),
            serving_revision: 0,
        };
        self.misnamed.iter().map(reject).collect()
    }
}

/// Reads a zstd frame of a `SnapshotPiece` of up to `len_max` bytes.
///
/// # Errors
/// It is no such frame, or a larger one.
pub fn read_piece(zstd: &[u8], len_max: usize) -> io::Result<SnapshotPiece> {
    let bytes = zstd::bulk::decompress(zstd, len_max)?;
    SnapshotPiece::decode(Bytes::from(bytes)).map_err(io::Error::other)
}

fn content(spec: &Spec) -> (Revision, Bytes) {
    (spec.revision, spec.bytes.clone())
}

fn wanted(step: Step<'_, Spec>) -> Wanted {
    match step {
        Step::Create(name, spec) | Step::Update(name, _, spec) => {
            Wanted { name: name.clone(), spec: Some(content(spec)) }
        }
        Step::Delete(name, _) => Wanted { name: name.clone(), spec: None },
    }
}
