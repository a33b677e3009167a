//! [`EncodedSnapshot`]: everything at one revision, compressed and framed once for all nodes.

use std::sync::Arc;

use bytes::Bytes;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{Change, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotPiece};
use prost::Message;

use crate::publish::cursor::Cursor;
use crate::publish::frame;
use crate::publish::table::Table;
use crate::record::Record;

/// Largest compressed chunk, bytes (`SnapshotChunk` in `sync.proto`): small enough that heartbeats
/// and acks are not held up behind one.
const CHUNK_LEN_MAX: usize = 64 * 1024;
/// How much goes into a chunk before compression, bytes. Definitions compress about 5 to 1.
const PIECE_LEN: usize = 256 * 1024;
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
        let mut messages = vec![self.begin()];
        for piece in self.pieces() {
            compress(piece, &mut messages)?;
        }
        messages.push(frame::message(Body::SnapshotEnd(SnapshotEnd { cursor: Some(self.cursor.to_wire()) })));
        let len = messages.iter().map(|message| message.len() as u64).sum();
        Ok(EncodedSnapshot { cursor: self.cursor, messages, len })
    }

    fn begin(&self) -> Bytes {
        let count = u32::try_from(self.backends.len()).unwrap_or(u32::MAX);
        frame::message(Body::SnapshotBegin(SnapshotBegin { cursor: Some(self.cursor.to_wire()), count }))
    }

    fn pieces(&self) -> Vec<Vec<Change>> {
        let (mut pieces, mut len) = (Vec::new(), PIECE_LEN);
        for (name, record) in &self.backends {
            let change = frame::change(record.revision, name, Some(record));
            if len + change.encoded_len() > PIECE_LEN {
                pieces.push(Vec::new());
                len = 0;
            }
            len += change.encoded_len();
            pieces.last_mut().expect("the first change starts a piece").push(change);
        }
        pieces
    }
}

fn compress(mut changes: Vec<Change>, messages: &mut Vec<Bytes>) -> std::io::Result<()> {
    let piece = SnapshotPiece { changes };
    let zstd = zstd::bulk::compress(&piece.encode_to_vec(), LEVEL)?;
    changes = piece.changes;
    if zstd.len() > CHUNK_LEN_MAX && changes.len() > 1 {
        let rest = changes.split_off(changes.len() / 2);
        compress(changes, messages)?;
        return compress(rest, messages);
    }
    messages.push(frame::message(Body::SnapshotChunk(SnapshotChunk { zstd: zstd.into() })));
    Ok(())
}
