//! [`EncodedSnapshot`]: everything at one revision, compressed and framed once for all nodes.

use std::sync::Arc;

use bytes::Bytes;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{Change, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotPiece};
use prost::Message;
use zstd::bulk::Compressor;

use crate::publish::cursor::Cursor;
use crate::publish::frame;
use crate::publish::table::Table;
use crate::record::Record;

/// Largest compressed chunk, bytes (`SnapshotChunk` in `sync.proto`): small enough that heartbeats
/// and acks are not held up behind one.
const CHUNK_LEN_MAX: usize = 64 * 1024;
/// Most that goes into a chunk before compression, bytes. Definitions compress about 5 to 1.
const PIECE_LEN_MAX: usize = 256 * 1024;
/// zstd's own default: 10 MB take about 50 ms, once.
const LEVEL: i32 = 3;

/// A snapshot as it goes over the wire: messages with their gRPC prefix.
#[derive(Debug)]
pub struct EncodedSnapshot {
    pub cursor: Cursor,
    pub messages: Vec<Bytes>,
    /// Bytes of all messages together.
    pub len: u64,
}

/// What a snapshot is made of; taken under the lock, encoded outside it.
pub struct SnapshotSource {
    cursor: Cursor,
    backends: Vec<(Arc<str>, Record)>,
}

impl SnapshotSource {
    pub fn of(table: &Table) -> Self {
        let backends = table.iter().map(|(name, record)| (name.clone(), record.clone())).collect();
        Self { cursor: table.cursor(), backends }
    }

    /// Compresses and frames everything. Takes milliseconds per megabyte: not for an async task.
    ///
    /// # Errors
    /// zstd could not compress, for lack of memory.
    pub fn encode(&self) -> std::io::Result<EncodedSnapshot> {
        let mut packer = Packer::after(self.begin())?;
        let (mut changes, mut len) = (Vec::new(), 0);
        for (name, record) in &self.backends {
            let change = frame::change(record.revision, name, Some(record));
            if len + change.encoded_len() > packer.piece_len && !changes.is_empty() {
                packer.pack(std::mem::take(&mut changes))?;
                len = 0;
            }
            len += change.encoded_len();
            changes.push(change);
        }
        packer.pack(changes)?;
        let mut messages = packer.messages;
        messages.push(frame::message(Body::SnapshotEnd(SnapshotEnd { cursor: Some(self.cursor.to_wire()) })));
        let len = messages.iter().map(|message| message.len() as u64).sum();
        Ok(EncodedSnapshot { cursor: self.cursor, messages, len })
    }

    fn begin(&self) -> Bytes {
        let count = u32::try_from(self.backends.len()).unwrap_or(u32::MAX);
        frame::message(Body::SnapshotBegin(SnapshotBegin { cursor: Some(self.cursor.to_wire()), count }))
    }
}

/// Makes chunks of changes. How much fits into the next one is told by the one before: what turns out to be too
/// much is compressed once more.
struct Packer {
    zstd: Compressor<'static>,
    /// How much goes into the next chunk before compression, bytes.
    piece_len: usize,
    messages: Vec<Bytes>,
}

impl Packer {
    fn after(begin: Bytes) -> std::io::Result<Self> {
        Ok(Self { zstd: Compressor::new(LEVEL)?, piece_len: PIECE_LEN_MAX, messages: vec![begin] })
    }

    fn pack(&mut self, changes: Vec<Change>) -> std::io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let piece = SnapshotPiece { changes };
        let plain = piece.encode_to_vec();
        let zstd = self.zstd.compress(&plain)?;
        self.piece_len = fitting(plain.len(), zstd.len());
        if zstd.len() > CHUNK_LEN_MAX && piece.changes.len() > 1 {
            let mut changes = piece.changes;
            let rest = changes.split_off(changes.len() / 2);
            self.pack(changes)?;
            return self.pack(rest);
        }
        self.messages.push(frame::message(Body::SnapshotChunk(SnapshotChunk { zstd: zstd.into() })));
        Ok(())
    }
}

/// What fills a chunk and leaves an eighth of it free, if it compresses as this did.
fn fitting(plain_len: usize, zstd_len: usize) -> usize {
    (plain_len.saturating_mul(CHUNK_LEN_MAX) / zstd_len.max(1) / 8 * 7).min(PIECE_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EncodedSpec;

    const BACKENDS: usize = 2000;
    const SPEC_LEN: usize = 1024;

    /// Hexadecimal digits, which compress two to one.
    fn noise(seed: usize) -> Bytes {
        let mut state = seed as u64;
        let digit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"0123456789abcdef"[(state >> 60) as usize]
        };
        std::iter::repeat_with(digit).take(SPEC_LEN).collect()
    }

    fn source(spec: impl Fn(usize) -> Bytes) -> SnapshotSource {
        let mut table = Table::default();
        for number in 0..BACKENDS {
            let spec = EncodedSpec { bytes: spec(number), hash: [0; 16] };
            table.load(format!("b{number}").into(), Record::created(spec, [0; 16], number as u64 + 1, 0));
        }
        SnapshotSource::of(&table)
    }

    #[test]
    fn chunks_are_bounded_and_mostly_full_however_well_they_compress() {
        let snapshots = [
            (source(noise), BACKENDS * SPEC_LEN / 2 / (CHUNK_LEN_MAX / 2)),
            (source(|_| vec![b'x'; SPEC_LEN].into()), BACKENDS * SPEC_LEN / (PIECE_LEN_MAX / 2)),
        ];
        for (source, chunks_max) in snapshots {
            let messages = source.encode().unwrap().messages;
            assert!(messages.iter().all(|message| message.len() < CHUNK_LEN_MAX + 64));
            assert!((4..=chunks_max).contains(&(messages.len() - 2)), "{} chunks", messages.len() - 2);
        }
    }

    #[test]
    fn how_much_fits_is_learnt() {
        assert!((CHUNK_LEN_MAX..2 * CHUNK_LEN_MAX).contains(&fitting(200_000, 100_000)));
        assert_eq!(fitting(100_000, 1_000), PIECE_LEN_MAX);
    }
}
