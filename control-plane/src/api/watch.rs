//! The stream of WatchBackends: the nodes' contract, for programs. In order, none left out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use omcp_core::Epoch;
use omcp_proto::v1::backend_change::Change;
use omcp_proto::v1::{BackendChange, WatchBackendsRequest, WatchBackendsResponse};
use tokio::sync::watch;
use tonic::Status;

use crate::error::Error;
use crate::publish::{Cursor, Hub, Table};
use crate::record::Record;

/// Where an answer is cut, bytes of specs: below the 4 MiB that gRPC peers accept unasked.
const PIECE_LEN: usize = 1024 * 1024;

/// The stream.
pub type Changes = Pin<Box<dyn Stream<Item = Result<WatchBackendsResponse, Status>> + Send>>;

/// What every watch needs.
#[derive(Clone)]
pub struct WatchContext {
    pub hub: Arc<Hub>,
    /// Time after which an idle stream says that nothing happened.
    pub heartbeat: Duration,
    /// Turns true when the control plane stops.
    pub stopping: watch::Receiver<bool>,
}

struct Watch {
    context: WatchContext,
    published: watch::Receiver<Cursor>,
    cursor: Cursor,
    /// The first answer comes at once, even if it says that nothing happened.
    greeted: bool,
    pieces: VecDeque<WatchBackendsResponse>,
}

impl WatchContext {
    /// Begins a watch.
    ///
    /// # Errors
    /// The revision is compacted, in the future or of another epoch.
    pub fn changes(&self, request: &WatchBackendsRequest) -> Result<Changes, Error> {
        let published = self.hub.subscribe();
        let head = self.hub.head();
        let cursor = Cursor { epoch: head.epoch, revision: request.from_revision, ..Cursor::default() };
        if request.from_revision > 0 && request.epoch.is_empty() {
            return Err(Error::invalid("epoch", "is missing: send the one that came with the revision"));
        }
        if !request.epoch.is_empty() && Epoch::from_slice(&request.epoch).is_none() {
            return Err(Error::invalid("epoch", "must have 16 bytes"));
        }
        if !request.epoch.is_empty() && request.epoch != head.epoch.0 {
            return Err(Error::EpochChanged);
        }
        reachable(&cursor, &self.hub.table())?;
        let (context, pieces) = (self.clone(), VecDeque::new());
        let watch = Watch { context, published, cursor, greeted: false, pieces };
        Ok(Box::pin(stream::unfold(Some(watch), Watch::step)))
    }
}

fn reachable(cursor: &Cursor, table: &Table) -> Result<(), Error> {
    let from = cursor.revision;
    if cursor.epoch != table.epoch {
        Err(Error::EpochChanged)
    } else if from > table.revision {
        Err(Error::FutureRevision { from, head: table.revision })
    } else if from != 0 && from < table.compacted {
        Err(Error::Compacted { from, compacted: table.compacted })
    } else {
        Ok(())
    }
}

impl Watch {
    async fn step(watch: Option<Self>) -> Option<(Result<WatchBackendsResponse, Status>, Option<Self>)> {
        let mut watch = watch?;
        match watch.next().await {
            Ok(response) => Some((Ok(response), Some(watch))),
            Err(error) => Some((Err(error.into()), None)),
        }
    }

    async fn next(&mut self) -> Result<WatchBackendsResponse, Error> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(piece);
            }
            self.collect()?;
            if self.pieces.is_empty() {
                if !std::mem::replace(&mut self.greeted, true) || !self.news().await? {
                    return Ok(self.bookmark());
                }
            } else {
                self.greeted = true;
            }
        }
    }

    /// Waits for news. False if there were none for the time of a heartbeat.
    async fn news(&mut self) -> Result<bool, Error> {
        let mut stopping = self.context.stopping.clone();
        tokio::select! {
            changed = self.published.changed() => changed.map(|()| true).map_err(|_| Error::Stopping),
            _ = stopping.wait_for(|stopping| *stopping) => Err(Error::Stopping),
            () = tokio::time::sleep(self.context.heartbeat) => Ok(false),
        }
    }

    fn bookmark(&self) -> WatchBackendsResponse {
        let (revision, epoch) = (self.cursor.revision, self.cursor.epoch.0.to_vec());
        WatchBackendsResponse { changes: Vec::new(), revision, epoch }
    }

    /// Turns everything after the cursor into answers. A piece ends with a whole revision, so that
    /// one can go on after any of them.
    fn collect(&mut self) -> Result<(), Error> {
        let hub = self.context.hub.clone();
        let table = hub.table();
        reachable(&self.cursor, &table)?;
        if table.revision == self.cursor.revision {
            return Ok(());
        }
        let from_nothing = self.cursor.revision == 0;
        let (mut piece, mut len) = (self.bookmark(), 0);
        for (revision, name, record) in table.since(self.cursor.revision) {
            if len > PIECE_LEN && revision > piece.revision {
                self.pieces.push_back(std::mem::replace(&mut piece, self.bookmark()));
                len = 0;
            }
            piece.revision = revision;
            len += record.map_or(0, |record| record.spec.len()) + name.len();
            if record.is_some() || !from_nothing {
                piece.changes.push(change(name, record));
            }
        }
        piece.revision = table.revision;
        self.pieces.push_back(piece);
        self.cursor.revision = table.revision;
        Ok(())
    }
}

fn change(name: &str, record: Option<&Record>) -> BackendChange {
    let change = match record {
        Some(record) => Change::Put(record.to_wire(name)),
        None => Change::Deleted(name.to_owned()),
    };
    BackendChange { change: Some(change) }
}
