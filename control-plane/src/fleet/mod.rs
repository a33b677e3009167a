//! [`Fleet`]: what the nodes say about themselves. Memory only: nothing here is ever written, so a
//! thousand heartbeats cost no transaction.
//!
//! - [`node`]: one node
//! - [`members`]: which of them can be reached, as they are told themselves
//! - [`ended`]: sessions that were deleted
//! - [`listings`]: what backends list, handed from node to node
//! - [`offers`]: which of them offer which runtime types
//! - [`report`]: the answers of FleetService

pub mod ended;
pub mod listings;
pub mod members;
pub mod node;
pub mod offers;
pub mod report;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omcp_proto::v1::{self, Ack, Member, StatusReport};
use tokio::sync::{mpsc, watch};

use crate::error::Error;
use crate::publish::Hub;
use ended::EndedSessions;
use listings::Listings;
use node::{Introduction, NodeRecord, SessionOrder};
use offers::Offers;

/// How long a node that hung up is still listed.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Nodes in all, connected or not: what memory allows, with room.
const NODES_MAX: usize = 20_000;
/// Orders that wait for one session: a handful by one person in the time of a heartbeat.
const ORDERS: usize = 8;

/// Names a stream of a node: an older stream can no longer speak for it.
#[derive(Clone, Debug)]
pub struct Seat {
    node: Arc<str>,
    session: u64,
}

impl Seat {
    pub fn node(&self) -> &str {
        &self.node
    }
}

/// The nodes.
#[derive(Debug)]
pub struct Fleet {
    hub: Arc<Hub>,
    nodes: Mutex<BTreeMap<Arc<str>, NodeRecord>>,
    /// Gathered when it is asked for, and dropped when a node comes or goes.
    offers: Mutex<Option<Arc<Offers>>>,
    sessions: AtomicU64,
    listings: Listings,
    ended: EndedSessions,
    changed: watch::Sender<()>,
}

impl Fleet {
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            nodes: Mutex::default(),
            offers: Mutex::default(),
            sessions: AtomicU64::default(),
            listings: Listings::default(),
            ended: EndedSessions::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// A node has introduced itself. An older stream of the same name is told to end.
    ///
    /// # Errors
    /// There are too many nodes.
    pub fn join(
        &self,
        name: &str,
        introduction: Introduction,
    ) -> Result<(Seat, mpsc::Receiver<SessionOrder>), Error> {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (orders, receiver) = mpsc::channel(ORDERS);
        let mut nodes = self.nodes();
        nodes.retain(|_, node| node.connected() || node.silent() < FORGET_AFTER);
        let name: Arc<str> = match nodes.get_key_value(name) {
            Some((known, _)) => known.clone(),
            None if nodes.len() >= NODES_MAX => return Err(Error::Overloaded),
            None => name.into(),
        };
        match nodes.get_mut(&name) {
            Some(node) => node.rejoin(session, introduction, orders),
            None => drop(nodes.insert(name.clone(), NodeRecord::new(session, introduction, orders))),
        }
        drop(nodes);
        self.forget_offers();
        self.tell();
        Ok((Seat { node: name, session }, receiver))
    }

    /// Its stream has ended.
    pub fn leave(&self, seat: &Seat) {
        self.with(seat, NodeRecord::leave);
        self.forget_offers();
        self.tell();
    }

    /// It has said something.
    pub fn heard(&self, seat: &Seat) {
        self.with(seat, NodeRecord::heard);
    }

    /// It has confirmed something.
    pub fn ack(&self, seat: &Seat, ack: Ack) {
        if self.with(seat, |node| node.ack(ack)) == Some(true) {
            self.tell();
        }
    }

    /// It has told what became of the backends.
    pub fn report(&self, seat: &Seat, report: StatusReport) {
        let hub = &self.hub;
        if self.with(seat, |node| node.report(report, |name| hub.table().get(name).is_some())).is_some() {
            self.tell();
        }
    }

    /// It has told what backends list.
    pub fn listed(&self, seat: &Seat, listings: v1::Listings) {
        if self.with(seat, NodeRecord::heard).is_some() {
            let backends = self.hub.table().len();
            self.listings.take(listings, backends, |name| self.hub.table().get(name).is_some());
        }
    }

    /// What nodes have told of what backends list.
    pub fn listings(&self) -> &Listings {
        &self.listings
    }

    /// Sessions that were deleted through any node.
    pub fn ended(&self) -> &EndedSessions {
        &self.ended
    }

    /// It was sent a snapshot of so many bytes.
    pub fn sent_snapshot(&self, seat: &Seat, len: u64) {
        self.with(seat, |node| node.snapshot_bytes += len);
    }

    /// Tells when anything changed.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Number of connected nodes.
    pub fn connected(&self) -> usize {
        self.nodes().values().filter(|node| node.connected()).count()
    }

    /// The nodes that can be reached, those included that hung up less than `kept` ago.
    pub fn members(&self, kept: Duration) -> Vec<Member> {
        let nodes = self.nodes();
        let there = nodes.iter().filter(|(_, node)| node.connected() || node.silent() < kept);
        let told = there.filter_map(|(name, node)| {
            members::member(name, &node.introduction.boot_id, &node.introduction.mcp_url)
        });
        told.collect()
    }

    /// Whether every node that is there has the keyring of this fingerprint.
    pub fn know_keyring(&self, fingerprint: u64) -> bool {
        let nodes = self.nodes();
        nodes.values().filter(|node| node.silent() < members::KEPT).all(|node| node.keyring == fingerprint)
    }

    /// Which connected nodes offer which runtime types.
    pub fn offers(&self) -> Arc<Offers> {
        // Held while it is gathered: a node that comes or goes meanwhile makes it forgotten afterwards.
        let mut kept = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| Arc::new(self.gather_offers())).clone()
    }

    fn gather_offers(&self) -> Offers {
        let mut offers = Offers::default();
        for (name, node) in self.nodes().iter().filter(|(_, node)| node.connected()) {
            offers.add(name, &node.introduction.types);
        }
        offers
    }

    fn forget_offers(&self) {
        *self.offers.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells nodes to go on with the removal they hold back; returns their names.
    ///
    /// # Errors
    /// There is no node of that name.
    pub fn accept_mass_removal(&self, node: &str) -> Result<Vec<String>, Error> {
        let nodes = self.nodes();
        if !node.is_empty() && !nodes.contains_key(node) {
            return Err(Error::NoSuchNode(node.to_owned()));
        }
        let asked = nodes.iter().filter(|(name, _)| node.is_empty() || &***name == node);
        let told = asked.filter(|(_, node)| node.held && node.order(SessionOrder::AcceptMassRemoval));
        Ok(told.map(|(name, _)| name.to_string()).collect())
    }

    /// Tells a node to be drained, or to take part again.
    ///
    /// # Errors
    /// There is no node of that name, or it cannot be told.
    pub fn drain(&self, node: &str, drain: bool) -> Result<(), Error> {
        let nodes = self.nodes();
        let record = nodes.get(node).ok_or_else(|| Error::NoSuchNode(node.to_owned()))?;
        if record.order(SessionOrder::Drain(drain)) {
            Ok(())
        } else {
            Err(Error::NotConnected(node.to_owned()))
        }
    }

    fn with<T>(&self, seat: &Seat, act: impl FnOnce(&mut NodeRecord) -> T) -> Option<T> {
        self.nodes().get_mut(&seat.node).filter(|node| node.session == seat.session).map(act)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, NodeRecord>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }
}
