//! [`NodeRecord`]: what one node has said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use omcp_core::{Epoch, Revision};
use omcp_proto::v1::{Ack, BackendState, BackendStatus, NodeState, Rejection, ResumeSource, StatusReport};
use prost::Message;
use tokio::sync::mpsc;

use crate::catalog::TypeKey;
use crate::publish::Cursor;

/// Rejections kept per node, as in `sync.proto`.
const REJECTIONS_MAX: usize = 256;
/// Longest text of one status or rejection that is kept, bytes.
const TEXT_LEN_MAX: usize = 1024;
/// Most lines of standard error that are kept, and their bytes in all.
const STDERR_LINES_MAX: usize = 64;
const STDERR_LEN_MAX: usize = 2048;

/// What a session is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOrder {
    /// A newer stream of the same node has come.
    Replaced,
    /// Tell the node to go on with the removal it holds back.
    AcceptMassRemoval,
    /// Tell the node to be drained, or to take part again.
    Drain(bool),
}

/// What a node says in its Hello.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    pub boot_id: Vec<u8>,
    pub build: String,
    pub mcp_url: String,
    pub admin_url: String,
    pub resume_source: ResumeSource,
    pub types: Vec<TypeKey>,
}

/// A status as it is kept: encoded, since a node has thousands of them.
#[derive(Clone, Debug)]
pub struct KeptStatus {
    state: BackendState,
    encoded: Arc<[u8]>,
    at: Instant,
}

/// What one node has said.
#[derive(Debug)]
pub struct NodeRecord {
    pub session: u64,
    pub introduction: Introduction,
    pub snapshot_bytes: u64,
    pub held: bool,
    pub drained: bool,
    pub persisted_revision: Revision,
    pub rejected_count: u32,
    /// Fingerprint of the keyring it has.
    pub keyring: u64,
    epoch: Epoch,
    applied_revision: Revision,
    rejections: BTreeMap<String, Rejection>,
    statuses: BTreeMap<Box<str>, KeptStatus>,
    orders: Option<mpsc::Sender<SessionOrder>>,
    last_heard: Instant,
}

impl NodeRecord {
    pub fn new(session: u64, introduction: Introduction, orders: mpsc::Sender<SessionOrder>) -> Self {
        Self {
            session,
            introduction,
            snapshot_bytes: 0,
            held: false,
            drained: false,
            persisted_revision: 0,
            rejected_count: 0,
            keyring: 0,
            epoch: Epoch::default(),
            applied_revision: 0,
            rejections: BTreeMap::new(),
            statuses: BTreeMap::new(),
            orders: Some(orders),
            last_heard: Instant::now(),
        }
    }

    /// A newer stream. What the same process said before still stands; a new process starts over.
    pub fn rejoin(&mut self, session: u64, introduction: Introduction, orders: mpsc::Sender<SessionOrder>) {
        self.order(SessionOrder::Replaced);
        if self.introduction.boot_id == introduction.boot_id {
            (self.session, self.introduction, self.orders) = (session, introduction, Some(orders));
            self.snapshot_bytes = 0;
            self.heard();
        } else {
            *self = Self::new(session, introduction, orders);
        }
    }

    pub fn leave(&mut self) {
        self.orders = None;
    }

    pub fn connected(&self) -> bool {
        self.orders.is_some()
    }

    /// Hands an order to its session. False if there is none.
    pub fn order(&self, order: SessionOrder) -> bool {
        // A full queue holds the same order already, or the session is about to end anyway.
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    pub fn heard(&mut self) {
        self.last_heard = Instant::now();
    }

    /// How long nothing was heard of it.
    pub fn silent(&self) -> Duration {
        self.last_heard.elapsed()
    }

    /// Takes an ack. True if it changed anything.
    pub fn ack(&mut self, ack: Ack) -> bool {
        self.heard();
        let epoch =
            ack.received.as_ref().and_then(|cursor| Epoch::from_slice(&cursor.epoch)).unwrap_or_default();
        let stands = |node: &Self| {
            (node.epoch, node.applied_revision, node.persisted_revision, node.held, node.drained)
        };
        let before = stands(self);
        self.epoch = epoch;
        self.applied_revision = ack.applied_revision;
        self.persisted_revision = ack.persisted_revision;
        (self.held, self.drained) = (ack.held_mass_removal, ack.drained);
        self.keyring = ack.keyring;
        if ack.rejected_changed {
            let kept = ack.rejected.into_iter().take(REJECTIONS_MAX).map(|mut rejection| {
                shorten(&mut rejection.message, TEXT_LEN_MAX);
                (rejection.backend.clone(), rejection)
            });
            self.rejections = kept.collect();
        }
        let rejected = std::mem::replace(&mut self.rejected_count, ack.rejected_count) != ack.rejected_count;
        rejected || ack.rejected_changed || before != stands(self)
    }

    /// Takes a report; backends that are not stored are left out.
    pub fn report(&mut self, report: StatusReport, exists: impl Fn(&str) -> bool) {
        self.heard();
        if report.full {
            self.statuses.clear();
        }
        for name in &report.gone {
            self.statuses.remove(name.as_str());
        }
        for status in report.statuses.into_iter().filter(|status| exists(&status.backend)) {
            let name = status.backend.as_str().into();
            self.statuses.insert(name, KeptStatus::of(status));
        }
    }

    /// Newest revision of `head`'s epoch that it has applied.
    pub fn applied(&self, head: &Cursor) -> Revision {
        if self.epoch == head.epoch { self.applied_revision } else { 0 }
    }

    pub fn state(&self, head: &Cursor) -> NodeState {
        if !self.connected() {
            NodeState::Disconnected
        } else if self.held {
            NodeState::HeldMassRemoval
        } else if self.epoch == head.epoch && self.applied_revision >= head.revision {
            NodeState::InSync
        } else {
            NodeState::Lagging
        }
    }

    /// Number of backends that serve calls.
    pub fn ready(&self) -> usize {
        let serves =
            |state| matches!(state, BackendState::Ready | BackendState::Degraded | BackendState::Idle);
        self.statuses.values().filter(|status| serves(status.state)).count()
    }

    /// What it says about a backend, if it has spoken of it. Cheap: to be decoded elsewhere.
    pub fn status(&self, backend: &str) -> Option<KeptStatus> {
        self.statuses.get(backend).cloned()
    }

    pub fn rejection(&self, backend: &str) -> Option<Rejection> {
        self.rejections.get(backend).cloned()
    }
}

impl KeptStatus {
    fn of(mut status: BackendStatus) -> Self {
        shorten(&mut status.last_error, TEXT_LEN_MAX);
        shorten(&mut status.last_exit, TEXT_LEN_MAX);
        status.stderr_tail.truncate(STDERR_LINES_MAX);
        let mut left = STDERR_LEN_MAX;
        status.stderr_tail.retain(|line| {
            left = left.saturating_sub(line.len());
            left > 0
        });
        Self { state: status.state(), encoded: status.encode_to_vec().into(), at: Instant::now() }
    }

    /// The status, aged by the time since it came.
    pub fn decoded(&self) -> BackendStatus {
        let mut status = BackendStatus::decode(&self.encoded[..]).unwrap_or_default();
        let age_ms = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        status.since_ms = status.since_ms.saturating_add(age_ms);
        status
    }
}

fn shorten(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
    }
}
