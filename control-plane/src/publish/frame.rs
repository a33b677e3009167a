//! Frames: sync messages, encoded once with their gRPC prefix and shared by all streams.

use bytes::{BufMut, Bytes, BytesMut};
use omcp_core::Revision;
use omcp_proto::v1::change::Op as WireOp;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{Change, ChangeBatch, Progress, SyncResponse};
use prost::Message;

use crate::publish::cursor::Cursor;
use crate::publish::table::Table;
use crate::record::Record;

/// Compression flag and length: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
const PREFIX_LEN: usize = 5;
/// Where a batch is cut into pieces, bytes: far below the 4 MiB that gRPC peers accept unasked.
const PIECE_LEN: usize = 256 * 1024;

/// All changes from one point to another. Nothing in it is about a single node.
#[derive(Clone, Debug)]
pub struct Frame {
    pub from: Revision,
    pub to: Cursor,
    /// One or more encoded messages.
    pub bytes: Bytes,
}

/// Encodes one message, prefix included.
pub fn message(body: Body) -> Bytes {
    let mut out = BytesMut::new();
    put(&mut out, &SyncResponse { body: Some(body) });
    out.freeze()
}

fn put(out: &mut BytesMut, message: &SyncResponse) {
    let len = message.encoded_len();
    out.reserve(PREFIX_LEN + len);
    out.put_u8(0);
    out.put_u32(u32::try_from(len).expect("pieces are bounded"));
    message.encode(out).expect("the buffer grows");
}

/// The heartbeat of a stream that stands at `cursor`.
pub fn progress(cursor: Cursor) -> Bytes {
    message(Body::Progress(Progress { head: Some(cursor.to_wire()) }))
}

/// The wire form of a backend's newest state; `None` is a tombstone.
pub fn change(revision: Revision, name: &str, record: Option<&Record>) -> Change {
    let op = record.map_or(WireOp::Deleted(true), |record| WireOp::Put(record.spec.clone()));
    Change { revision, name: name.to_owned(), op: Some(op) }
}

/// Everything that changed after `from`.
pub fn batch(table: &Table, from: Revision) -> Frame {
    let to = table.cursor();
    let mut pieces = Pieces { out: BytesMut::new(), from, to, changes: Vec::new(), len: 0 };
    for (revision, name, record) in table.since(from) {
        pieces.add(change(revision, name, record));
    }
    Frame { from, to, bytes: pieces.finish() }
}

struct Pieces {
    out: BytesMut,
    from: Revision,
    to: Cursor,
    changes: Vec<Change>,
    len: usize,
}

impl Pieces {
    fn add(&mut self, change: Change) {
        let len = change.encoded_len();
        if self.len > 0 && self.len + len > PIECE_LEN {
            self.cut(true);
        }
        self.len += len;
        self.changes.push(change);
    }

    fn cut(&mut self, more: bool) {
        self.len = 0;
        let digest = if more { Vec::new() } else { self.to.digest.to_bytes().to_vec() };
        let changes = std::mem::take(&mut self.changes);
        let (from_revision, to_revision) = (self.from, self.to.revision);
        let batch = ChangeBatch { from_revision, to_revision, more, changes, digest };
        put(&mut self.out, &SyncResponse { body: Some(Body::Changes(batch)) });
    }

    fn finish(mut self) -> Bytes {
        self.cut(false);
        self.out.freeze()
    }
}
