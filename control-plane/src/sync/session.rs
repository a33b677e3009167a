//! [`Session`]: the task that owns one node's stream.
//!
//! It holds a cursor and a window, never a queue of changes: a node that lags costs nothing, and
//! gets what it missed as one batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use omcp_core::{Epoch, Revision};
use omcp_proto::SYNC_PROTOCOL;
use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{Ack, Directive, Hello, SyncRequest, Welcome, directive};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::MissedTickBehavior;
use tonic::Streaming;

use crate::catalog::Catalog;
use crate::error::Error;
use crate::fleet::members::MemberList;
use crate::fleet::node::{Introduction, SessionOrder};
use crate::fleet::{Fleet, Seat};
use crate::keyring::Keyring;
use crate::publish::{CatchUp, Cursor, Hub, frame};
use crate::store::Store;
use crate::sync::end::StreamEnd;
use crate::sync::hello;

/// Frames a node may leave unacknowledged. Measured: one is slow, four are as fast as no limit.
const WINDOW: usize = 4;
/// How long the first message may take.
const HELLO_WAIT: Duration = Duration::from_secs(5);
/// Heartbeats of silence after which a node is dropped.
const SILENT_HEARTBEATS: u32 = 3;
/// A node whose digest stays wrong gets no more than one snapshot per so long.
const RESYNC_EVERY: Duration = Duration::from_secs(30);
/// On a planned restart nodes come back spread over so long per node, and at most over so long.
const SPREAD_MS_PER_NODE: u32 = 5;
const SPREAD_MS_MAX: u32 = 15_000;

/// What every session needs.
#[derive(Clone, Debug)]
pub struct SessionContext {
    pub hub: Arc<Hub>,
    pub store: Store,
    pub fleet: Arc<Fleet>,
    pub catalog: Arc<Catalog>,
    pub keyring: Keyring,
    pub members: MemberList,
    pub heartbeat: Duration,
    /// Turns true when the control plane stops.
    pub stopping: watch::Receiver<bool>,
}

/// One node's stream.
pub struct Session {
    context: SessionContext,
    /// The epoch that the node was welcomed to.
    epoch: Epoch,
    seat: Seat,
    frames: mpsc::Sender<Bytes>,
    /// Encoded messages on their way out: those of one snapshot at most, and they are shared.
    outgoing: VecDeque<Bytes>,
    /// Where the node stands once it has read everything.
    cursor: Cursor,
    /// The least revision of a snapshot: the node holds something of this revision.
    snapshot_floor: Revision,
    unacknowledged: VecDeque<Revision>,
    last_heard: Instant,
    last_resync: Option<Instant>,
}

/// What a node is told beside the revisions. What it has not read yet is overtaken by what is newer.
struct Beside {
    fleet: Arc<Fleet>,
    keyring: watch::Receiver<Bytes>,
    members: watch::Receiver<Bytes>,
    ended: broadcast::Receiver<Bytes>,
}

impl Beside {
    fn of(context: &SessionContext) -> Self {
        let (fleet, ended) = (context.fleet.clone(), context.fleet.ended().subscribe());
        Self { fleet, keyring: context.keyring.frames(), members: context.members.frames(), ended }
    }

    fn newest(&mut self) -> Bytes {
        let (keyring, members) = (self.keyring.borrow_and_update(), self.members.borrow_and_update());
        [&keyring[..], &members, &self.fleet.ended().all()].concat().into()
    }

    async fn changed(&mut self) -> Result<Bytes, Error> {
        let changed = tokio::select! {
            changed = self.keyring.changed() => changed.map(|()| &mut self.keyring),
            changed = self.members.changed() => changed.map(|()| &mut self.members),
            ended = self.ended.recv() => return match ended {
                Ok(ended) => Ok(ended),
                Err(RecvError::Lagged(_)) => Ok(self.fleet.ended().all()),
                Err(RecvError::Closed) => Err(Error::Stopping),
            },
        };
        changed.map(|frames| frames.borrow_and_update().clone()).map_err(|_| Error::Stopping)
    }
}

/// However the task ends, its node is no longer connected.
impl Drop for Session {
    fn drop(&mut self) {
        self.context.fleet.leave(&self.seat);
    }
}

impl Session {
    /// Runs a stream to its end; says why it ended.
    pub async fn run(
        context: SessionContext,
        mut inbound: Streaming<SyncRequest>,
        frames: mpsc::Sender<Bytes>,
    ) -> StreamEnd {
        let (mut session, orders, beside) = match Self::greet(context, &mut inbound, frames).await {
            Ok(greeted) => greeted,
            Err(end) => return end,
        };
        let end = session.converse(&mut inbound, orders, beside).await.err().unwrap_or(StreamEnd::NodeLeft);
        tracing::info!(node = session.seat.node(), reason = %end, "node disconnected");
        end
    }

    /// From Hello to Welcome.
    async fn greet(
        context: SessionContext,
        inbound: &mut Streaming<SyncRequest>,
        frames: mpsc::Sender<Bytes>,
    ) -> Result<(Self, mpsc::Receiver<SessionOrder>, Beside), StreamEnd> {
        let hello = first(inbound).await?;
        hello::check(&hello)?;
        let start = hello::resume(&hello, &context.hub, &context.store).await?;
        let (name, introduction) = introduce(hello, &context.catalog);
        let (seat, orders) = context.fleet.join(&name, introduction)?;
        tracing::info!(node = seat.node(), revision = start.cursor.revision, "node connected");
        let head = context.hub.head();
        let mut beside = Beside::of(&context);
        let greeting = [welcome(head, context.heartbeat), beside.newest()].concat();
        let session = Self {
            context,
            epoch: head.epoch,
            seat,
            frames,
            outgoing: VecDeque::from([greeting.into()]),
            cursor: start.cursor,
            snapshot_floor: start.drifted_at.unwrap_or_default(),
            unacknowledged: VecDeque::new(),
            last_heard: Instant::now(),
            // The node confirms what it holds once more before the snapshot reaches it.
            last_resync: start.drifted_at.map(|_| Instant::now()),
        };
        Ok((session, orders, beside))
    }

    async fn converse(
        &mut self,
        inbound: &mut Streaming<SyncRequest>,
        mut orders: mpsc::Receiver<SessionOrder>,
        mut beside: Beside,
    ) -> Result<(), StreamEnd> {
        let mut published = self.context.hub.subscribe();
        let mut stopping = self.context.stopping.clone();
        let fleet = self.context.fleet.clone();
        let mut listed = fleet.listings().subscribe();
        // What was told before this node came is news to it.
        let mut seen = 0;
        listed.mark_changed();
        let mut heartbeat = tokio::time::interval(self.context.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        self.fill().await?;
        // A node that has everything confirms it at once, and not with the first heartbeat.
        if self.outgoing.len() == 1 {
            self.outgoing.push_back(frame::progress(self.cursor));
        }
        loop {
            let frames = self.frames.clone();
            tokio::select! {
                message = inbound.message() => match message.map_err(unreadable)? {
                    Some(message) => self.on(message)?,
                    None => return Ok(()),
                },
                permit = frames.reserve(), if !self.outgoing.is_empty() => {
                    let (Ok(permit), Some(message)) = (permit, self.outgoing.pop_front()) else { return Ok(()) };
                    permit.send(message);
                }
                changed = published.changed() => {
                    changed.map_err(|_| Error::Stopping)?;
                    self.check_epoch(self.context.hub.head().epoch)?;
                }
                // Behind what it is about, and never more of it than one time's news.
                Ok(()) = listed.changed(), if self.outgoing.is_empty() => {
                    let newest = *listed.borrow_and_update();
                    self.outgoing.extend(fleet.listings().since(seen));
                    seen = newest;
                }
                news = beside.changed(), if self.outgoing.is_empty() => self.outgoing.push_back(news?),
                order = orders.recv() => self.obey(order)?,
                _ = heartbeat.tick() => self.beat()?,
                _ = stopping.wait_for(|stopping| *stopping) => return Err(self.part()),
            }
            self.fill().await?;
        }
    }

    fn on(&mut self, message: SyncRequest) -> Result<(), StreamEnd> {
        self.last_heard = Instant::now();
        match message.body {
            Some(Said::Ack(ack)) => self.acknowledge(ack)?,
            Some(Said::Status(report)) => self.context.fleet.report(&self.seat, report),
            Some(Said::Listings(listings)) => self.context.fleet.listed(&self.seat, listings),
            Some(Said::Ended(ended)) => {
                self.context.fleet.heard(&self.seat);
                self.context.fleet.ended().tell(ended);
            }
            Some(Said::Goodbye(_)) => return Err(StreamEnd::NodeLeft),
            Some(Said::Hello(_)) => {
                return Err(StreamEnd::Protocol("a second Hello came: it is said once".into()));
            }
            // Something newer than this program: hearing it is all there is to do.
            None => self.context.fleet.heard(&self.seat),
        }
        Ok(())
    }

    fn acknowledge(&mut self, ack: Ack) -> Result<(), StreamEnd> {
        let received = ack.received.as_ref().map(hello::parse).transpose()?;
        if let Some(received) = received.filter(|received| received.epoch == self.cursor.epoch) {
            if received.revision > self.cursor.revision {
                return Err(StreamEnd::Protocol(format!(
                    "revision {} was acknowledged, but only {} was sent",
                    received.revision, self.cursor.revision
                )));
            }
            while self.unacknowledged.front().is_some_and(|sent| *sent <= received.revision) {
                self.unacknowledged.pop_front();
            }
            self.compare(&received);
        }
        self.context.fleet.ack(&self.seat, ack);
        Ok(())
    }

    /// A node whose digest is not the store's has lost or doubled a change: it gets everything anew.
    fn compare(&mut self, received: &Cursor) {
        let kept = self.context.hub.table().digest_at(received.revision);
        let due = self.last_resync.is_none_or(|last| last.elapsed() > RESYNC_EVERY);
        if due && kept.is_some_and(|digest| digest != received.digest) {
            let (node, revision) = (self.seat.node(), received.revision);
            tracing::warn!(node, revision, "the node's state has drifted: sending a snapshot");
            self.last_resync = Some(Instant::now());
            self.snapshot_floor = self.cursor.revision;
            self.cursor = Cursor::default();
            self.unacknowledged.clear();
        }
    }

    /// Puts out what brings the node to the present, as far as its window allows.
    async fn fill(&mut self) -> Result<(), StreamEnd> {
        while self.outgoing.len() <= 1 && self.unacknowledged.len() < WINDOW {
            match self.context.hub.catch_up(&self.cursor) {
                CatchUp::Level => break,
                CatchUp::Batch(frame) => {
                    self.outgoing.push_back(frame.bytes);
                    self.sent(frame.to);
                }
                CatchUp::Snapshot => self.put_snapshot().await?,
            }
        }
        Ok(())
    }

    async fn put_snapshot(&mut self) -> Result<(), StreamEnd> {
        let at_least = self.snapshot_floor.max(self.cursor.revision);
        let snapshot = self.context.hub.snapshot(at_least).await.map_err(|error| {
            Error::Store(crate::error::StoreFault::Other(format!("cannot encode a snapshot: {error}")))
        })?;
        self.check_epoch(snapshot.cursor.epoch)?;
        self.outgoing.extend(snapshot.messages.iter().cloned());
        self.unacknowledged.clear();
        self.context.fleet.sent_snapshot(&self.seat, snapshot.len);
        self.sent(snapshot.cursor);
        Ok(())
    }

    /// A welcome names the one epoch of its stream: for another one the node comes again.
    fn check_epoch(&self, epoch: Epoch) -> Result<(), StreamEnd> {
        if epoch == self.epoch { Ok(()) } else { Err(Error::EpochChanged.into()) }
    }

    fn sent(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        self.unacknowledged.push_back(cursor.revision);
    }

    fn beat(&mut self) -> Result<(), StreamEnd> {
        let silent = self.last_heard.elapsed();
        if silent > self.context.heartbeat * SILENT_HEARTBEATS {
            let node = self.seat.node().to_owned();
            return Err(StreamEnd::Silent { node, silent_ms: silent.as_millis() });
        }
        // Before the snapshot is through there is nothing the node could compare.
        if self.outgoing.is_empty() {
            self.outgoing.push_back(frame::progress(self.cursor));
        }
        Ok(())
    }

    fn obey(&mut self, order: Option<SessionOrder>) -> Result<(), StreamEnd> {
        match order {
            Some(SessionOrder::AcceptMassRemoval) => {
                self.outgoing.push_back(direct(directive::Directive::AcceptMassRemoval(true)));
                Ok(())
            }
            Some(SessionOrder::Drain(drain)) => {
                self.outgoing.push_back(direct(directive::Directive::Drain(drain)));
                Ok(())
            }
            Some(SessionOrder::Replaced) | None => Err(StreamEnd::Replaced(self.seat.node().to_owned())),
        }
    }

    /// Asks the node to come back later, as far as it still listens.
    fn part(&mut self) -> StreamEnd {
        let nodes = u32::try_from(self.context.fleet.connected()).unwrap_or(u32::MAX);
        let spread_ms = nodes.saturating_mul(SPREAD_MS_PER_NODE).min(SPREAD_MS_MAX);
        // A full body means a node that does not read: it will notice the end of the stream.
        let _ = self.frames.try_send(direct(directive::Directive::ReconnectWithinMs(spread_ms)));
        Error::Stopping.into()
    }
}

async fn first(inbound: &mut Streaming<SyncRequest>) -> Result<Hello, StreamEnd> {
    let message = tokio::time::timeout(HELLO_WAIT, inbound.message())
        .await
        .map_err(|_| StreamEnd::NoHello(HELLO_WAIT.as_millis()))?
        .map_err(unreadable)?;
    match message.and_then(|message| message.body) {
        Some(Said::Hello(hello)) => Ok(hello),
        _ => Err(StreamEnd::Protocol("the first message must be Hello".into())),
    }
}

fn unreadable(status: tonic::Status) -> StreamEnd {
    match status.code() {
        // What tonic says of a connection that broke.
        tonic::Code::Cancelled | tonic::Code::Unknown | tonic::Code::Unavailable => StreamEnd::NodeLeft,
        _ => StreamEnd::Unreadable(status),
    }
}

fn introduce(hello: Hello, catalog: &Catalog) -> (String, Introduction) {
    let resume_source = hello.resume_source();
    let Hello { node, boot_id, build, mcp_url, admin_url, runtime_types, .. } = hello;
    let types = catalog.advertise(runtime_types);
    (node, Introduction { boot_id, build, mcp_url, admin_url, resume_source, types })
}

fn welcome(head: Cursor, heartbeat: Duration) -> Bytes {
    frame::message(Body::Welcome(Welcome {
        protocol: SYNC_PROTOCOL,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: head.epoch.0.to_vec(),
        head_revision: head.revision,
        heartbeat_ms: u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX),
    }))
}

fn direct(directive: directive::Directive) -> Bytes {
    frame::message(Body::Directive(Directive { directive: Some(directive) }))
}
