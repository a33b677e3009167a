//! [`Record`]: a backend as it is stored, and [`Op`]: what one revision does to it.

use std::sync::Arc;

use bytes::Bytes;
use omcp_core::Revision;
use omcp_core::revision::{SpecHash, spec_hash};
use omcp_proto::v1::{Backend, BackendSpec};
use prost::Message;

/// A backend's stored state. Small and cheap to clone: the spec is shared bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Random, new with each creation.
    pub uid: [u8; 16],
    /// Grows by one with each change of the spec.
    pub generation: u64,
    /// Revision of the last change.
    pub revision: Revision,
    pub hash: SpecHash,
    /// Encoded `BackendSpec`.
    pub spec: Bytes,
    /// Milliseconds since 1970 by the clock of the control plane.
    pub create_ms: i64,
    pub update_ms: i64,
}

/// What one revision does to one backend.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Put(Arc<str>, Record),
    Delete(Arc<str>),
}

impl Op {
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Put(name, _) | Self::Delete(name) => name,
        }
    }
}

/// An encoded spec with its hash.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedSpec {
    pub bytes: Bytes,
    pub hash: SpecHash,
}

impl EncodedSpec {
    pub fn of(spec: &BackendSpec) -> Self {
        let bytes = Bytes::from(spec.encode_to_vec());
        Self { hash: spec_hash(&bytes), bytes }
    }
}

impl Record {
    /// The first record of a new backend.
    pub fn created(spec: EncodedSpec, uid: [u8; 16], revision: Revision, now_ms: i64) -> Self {
        let EncodedSpec { bytes: spec, hash } = spec;
        Self { uid, generation: 1, revision, hash, spec, create_ms: now_ms, update_ms: now_ms }
    }

    /// The record after a change of the spec.
    pub fn updated(&self, spec: EncodedSpec, revision: Revision, now_ms: i64) -> Self {
        let EncodedSpec { bytes: spec, hash } = spec;
        let generation = self.generation + 1;
        Self { generation, revision, hash, spec, update_ms: now_ms, ..self.clone() }
    }

    /// Changes with every write; never the same for two lives of one name.
    pub fn etag(&self) -> String {
        let uid = u64::from_be_bytes(self.uid[..8].try_into().expect("a uid has 16 bytes"));
        format!("\"{uid:016x}.{}\"", self.generation)
    }

    /// Reads the spec. What was stored was encoded by us, so this fails only for a damaged store.
    pub fn decoded(&self) -> BackendSpec {
        BackendSpec::decode(self.spec.clone()).unwrap_or_default()
    }

    /// The wire form.
    pub fn to_wire(&self, name: &str) -> Backend {
        Backend {
            name: name.to_owned(),
            uid: uuid::Uuid::from_bytes(self.uid).to_string(),
            spec: Some(self.decoded()),
            generation: self.generation,
            revision: self.revision,
            create_time: Some(timestamp(self.create_ms)),
            update_time: Some(timestamp(self.update_ms)),
            etag: self.etag(),
        }
    }
}

fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
}
