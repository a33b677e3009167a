//! A simulated node: its own connection, the real messages, applied to a map before they are confirmed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use omcp_proto::v1::change::Op;
use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::sync_response::Body as Heard;
use omcp_proto::v1::sync_service_client::SyncServiceClient;
use omcp_proto::v1::{Ack, Change, ChangeBatch, Cursor, Hello, SnapshotPiece, SyncRequest};
use omcp_proto::{MESSAGE_LEN_MAX, SYNC_PROTOCOL};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

/// Messages to the control plane that may wait; one acknowledgement per batch is all there is.
const OUTBOX_LEN: usize = 16;
/// Bytes a snapshot chunk may grow to.
const PIECE_LEN_MAX: usize = MESSAGE_LEN_MAX;

/// When a node applied which revision, in order.
#[derive(Clone, Debug, Default)]
pub struct Applied(Arc<Mutex<Vec<(u64, Instant)>>>);

impl Applied {
    fn add(&self, revision: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((revision, Instant::now()));
    }

    /// The newest revision; 0 if there is none.
    pub fn newest(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().map_or(0, |(revision, _)| *revision)
    }

    /// When a revision was there; `None` if it is not yet.
    pub fn time_of(&self, revision: u64) -> Option<Instant> {
        let applied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = applied.partition_point(|(applied, _)| *applied < revision);
        applied.get(first).map(|(_, when)| *when)
    }
}

/// A simulated node.
#[derive(Debug)]
pub struct Node {
    outbox: mpsc::Sender<SyncRequest>,
    cursor: Cursor,
    held: BTreeMap<String, Bytes>,
    /// A snapshot that is not complete yet.
    staged: BTreeMap<String, Bytes>,
    applied: Applied,
}

/// Connects and follows until the stream ends.
///
/// # Errors
/// If it ends, or says what it should not.
pub async fn follow(control_plane: SocketAddr, name: String, applied: Applied) -> Result<()> {
    let channel = Endpoint::from_shared(format!("http://{control_plane}"))?.connect().await?;
    let mut client = SyncServiceClient::new(channel).max_decoding_message_size(MESSAGE_LEN_MAX);
    let (outbox, messages) = mpsc::channel(OUTBOX_LEN);
    outbox.send(say(Said::Hello(hello(&name)?))).await?;
    let mut stream = client.sync(ReceiverStream::new(messages)).await?.into_inner();
    let mut node = Node::new(outbox, applied);
    while let Some(message) = stream.message().await? {
        if let Some(heard) = message.body {
            node.hear(heard).await?;
        }
    }
    anyhow::bail!("the stream of {name} ended")
}

fn say(body: Said) -> SyncRequest {
    SyncRequest { body: Some(body) }
}

fn hello(name: &str) -> Result<Hello> {
    let mut boot_id = vec![0; 16];
    getrandom::fill(&mut boot_id).map_err(|error| anyhow::anyhow!("read random bytes: {error}"))?;
    Ok(Hello {
        node: name.to_owned(),
        boot_id,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_min: SYNC_PROTOCOL,
        protocol_max: SYNC_PROTOCOL,
        ..Hello::default()
    })
}

impl Node {
    fn new(outbox: mpsc::Sender<SyncRequest>, applied: Applied) -> Self {
        let (held, staged) = (BTreeMap::new(), BTreeMap::new());
        Self { outbox, cursor: Cursor::default(), held, staged, applied }
    }

    async fn hear(&mut self, heard: Heard) -> Result<()> {
        match heard {
            Heard::Welcome(_)
            | Heard::Directive(_)
            | Heard::Keyring(_)
            | Heard::Members(_)
            | Heard::Ended(_)
            | Heard::Listings(_) => Ok(()),
            Heard::SnapshotBegin(_) => {
                self.staged.clear();
                Ok(())
            }
            Heard::SnapshotChunk(chunk) => self.stage(&chunk.zstd),
            Heard::SnapshotEnd(end) => {
                self.held = std::mem::take(&mut self.staged);
                self.confirm(end.cursor.context("a snapshot ends without a cursor")?).await
            }
            Heard::Changes(batch) => self.change(batch).await,
            Heard::Progress(progress) => {
                self.confirm(progress.head.context("a heartbeat without a cursor")?).await
            }
        }
    }

    fn stage(&mut self, compressed: &[u8]) -> Result<()> {
        let piece = zstd::bulk::decompress(compressed, PIECE_LEN_MAX)?;
        SnapshotPiece::decode(piece.as_slice())?
            .changes
            .into_iter()
            .for_each(|change| put(&mut self.staged, change));
        Ok(())
    }

    async fn change(&mut self, batch: ChangeBatch) -> Result<()> {
        let expected = self.cursor.revision;
        anyhow::ensure!(
            batch.from_revision == expected,
            "changes from {} at {expected}",
            batch.from_revision
        );
        batch.changes.into_iter().for_each(|change| put(&mut self.held, change));
        if batch.more {
            return Ok(());
        }
        let epoch = self.cursor.epoch.clone();
        self.confirm(Cursor { epoch, revision: batch.to_revision, digest: batch.digest }).await
    }

    async fn confirm(&mut self, cursor: Cursor) -> Result<()> {
        let revision = cursor.revision;
        if revision > self.cursor.revision {
            self.applied.add(revision);
        }
        self.cursor = cursor.clone();
        let ack = Ack {
            received: Some(cursor),
            applied_revision: revision,
            persisted_revision: revision,
            ..Ack::default()
        };
        Ok(self.outbox.send(say(Said::Ack(ack))).await?)
    }
}

fn put(held: &mut BTreeMap<String, Bytes>, change: Change) {
    match change.op {
        Some(Op::Put(spec)) => drop(held.insert(change.name, spec)),
        Some(Op::Deleted(_)) => drop(held.remove(&change.name)),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_there_with_the_first_that_includes_it() {
        let applied = Applied::default();
        applied.add(3);
        applied.add(7);
        assert_eq!(applied.newest(), 7);
        assert_eq!(applied.time_of(4), applied.time_of(7));
        assert!(applied.time_of(1) < applied.time_of(5));
        assert_eq!(applied.time_of(8), None);
    }
}
