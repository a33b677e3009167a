//! [`BackendSet`]: one task owns every backend's entry and alone writes the table; others send it
//! messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use omcp_core::reference::Resolve;
use omcp_core::{BackendName, NodeIdentity, Revision, RuntimeRegistry};
use omcp_proto::v1::{BackendStatus, Rejection, RejectionCode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::build::{Builder, Refusal};
use super::changes::Changes;
use super::entry::{Entry, Outcome};
use super::lane::CallCounts;
use super::limits::BackendLimits;
use super::prober;
use super::served::{Served, Shared};
use super::stderr::StderrRing;
use super::table::Table;

/// Backends that one node serves: well above any fleet seen, well below what exhausts its memory.
pub const BACKENDS_MAX: usize = 20_000;
/// How often backends are looked after: their idle times and checks are at least a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Messages waiting for the owner; senders wait for room.
const MAILBOX_MAX: usize = 64;
/// Definitions built before other tasks get their turn.
const BUILD_SLICE: usize = 128;

/// What is wanted of one name: its definition, or that it goes away.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: BackendName,
    /// Revision of the last change, and the encoded spec; `None` removes it.
    pub spec: Option<(Revision, Bytes)>,
}

/// What the set says of its backends.
#[derive(Debug, Default)]
pub struct Statuses {
    pub present: Vec<BackendStatus>,
    /// Names that were asked for and do not exist.
    pub gone: Vec<String>,
}

/// A handle on the set.
#[derive(Clone)]
pub struct BackendSet {
    mailbox: mpsc::Sender<Command>,
    rejections: watch::Receiver<Arc<Vec<Rejection>>>,
    table: Arc<Table>,
    shared: Arc<Shared>,
}

enum Command {
    Apply(Vec<Wanted>, oneshot::Sender<()>),
    Statuses(Option<BTreeSet<BackendName>>, oneshot::Sender<Statuses>),
    Stderr(BackendName, oneshot::Sender<Option<Arc<StderrRing>>>),
    Close(oneshot::Sender<()>),
}

impl BackendSet {
    /// Starts the owner and the probe workers.
    pub fn start(
        registry: RuntimeRegistry,
        resolve: impl Resolve + 'static,
        node: NodeIdentity,
        limits: BackendLimits,
    ) -> Self {
        let shared = Arc::new(Shared::new(limits));
        let table = Arc::new(Table::new(shared.edition.clone()));
        let (mailbox, commands) = mpsc::channel(MAILBOX_MAX);
        let (probed_sender, probed) = mpsc::channel(MAILBOX_MAX);
        let (rejections_sender, rejections) = watch::channel(Arc::default());
        let owner = Owner {
            builder: Builder::new(registry, resolve, node, shared.clone()),
            entries: BTreeMap::new(),
            refused: BTreeSet::new(),
            retry_at: None,
            table: table.clone(),
            shared: shared.clone(),
            rejections: rejections_sender,
            retired: Vec::new(),
            draining: JoinSet::new(),
        };
        let probers = prober::start(&shared, &probed_sender);
        tokio::spawn(owner.run(commands, probed, probers));
        Self { mailbox, rejections, table, shared }
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The names of which the status changed.
    pub fn changes(&self) -> &Changes {
        &self.shared.changes
    }

    /// Connections opened since the start.
    pub fn connections_opened(&self) -> u64 {
        self.shared.connections_opened.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What became of the calls since the start.
    pub fn calls(&self) -> &CallCounts {
        &self.shared.calls
    }

    /// Processes of backends that live now.
    pub fn processes(&self) -> usize {
        self.shared.slots.taken()
    }

    pub fn limits(&self) -> BackendLimits {
        self.shared.limits
    }

    /// The backends that this node refuses to build, by name.
    pub fn rejections(&self) -> watch::Receiver<Arc<Vec<Rejection>>> {
        self.rejections.clone()
    }

    /// Makes the set as wanted. New requests use it when this returns; backends that are not named are
    /// not touched. False if the owner has ended: then nothing more is ever applied.
    pub async fn apply(&self, wanted: Vec<Wanted>) -> bool {
        self.ask(|reply| Command::Apply(wanted, reply)).await.is_some()
    }

    /// How the backends do: the named ones, or all.
    pub async fn statuses(&self, only: Option<BTreeSet<BackendName>>) -> Statuses {
        self.ask(|reply| Command::Statuses(only, reply)).await.unwrap_or_default()
    }

    /// The standard error of a backend, if there is one of this name.
    pub async fn stderr(&self, name: BackendName) -> Option<Arc<StderrRing>> {
        self.ask(|reply| Command::Stderr(name, reply)).await.flatten()
    }

    /// Ends every backend and returns when their processes are gone.
    pub async fn close(&self) {
        self.ask(Command::Close).await;
    }

    /// `None` if the owner has ended.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

struct Owner {
    builder: Builder,
    entries: BTreeMap<BackendName, Entry>,
    refused: BTreeSet<BackendName>,
    /// When the first of them is to be tried again.
    retry_at: Option<Instant>,
    table: Arc<Table>,
    shared: Arc<Shared>,
    rejections: watch::Sender<Arc<Vec<Rejection>>>,
    retired: Vec<Weak<Served>>,
    draining: JoinSet<()>,
}

impl Owner {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut probed: mpsc::Receiver<Weak<Served>>,
        mut probers: JoinSet<()>,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let retry = OptionFuture::from(self.retry_at.map(tokio::time::sleep_until));
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Close(reply)) => {
                        probers.shutdown().await;
                        self.close().await;
                        let _ = reply.send(());
                        return;
                    }
                    Some(command) => self.obey(command).await,
                    None => return self.close().await,
                },
                Some(served) = probed.recv() => self.probed(&served),
                Some(()) = retry => self.retry(),
                now = look.tick() => self.look_after(now),
                Some(_) = self.draining.join_next() => self.retired.retain(|served| served.strong_count() > 0),
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Apply(wanted, reply) => {
                self.apply(wanted).await;
                let _ = reply.send(());
            }
            Command::Statuses(only, reply) => drop(reply.send(self.statuses(only))),
            Command::Stderr(name, reply) => {
                drop(reply.send(self.entries.get(&name).map(|entry| entry.stderr.clone())));
            }
            Command::Close(_) => unreachable!("the loop ends on it"),
        }
    }

    async fn apply(&mut self, wanted: Vec<Wanted>) {
        let mut outcomes = Vec::with_capacity(wanted.len());
        for (index, Wanted { name, spec }) in wanted.into_iter().enumerate() {
            let outcome = match spec {
                Some((revision, spec)) => self.define(&name, revision, spec),
                None => self.remove(&name),
            };
            outcomes.push((name, outcome));
            if index % BUILD_SLICE == BUILD_SLICE - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.commit(outcomes);
    }

    fn define(&mut self, name: &BackendName, revision: Revision, spec: Bytes) -> Outcome {
        let full = self.entries.len() >= BACKENDS_MAX && !self.entries.contains_key(name);
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry::new(name.clone()));
        if full {
            let reason = format!("the node serves {BACKENDS_MAX} backends already, which is its limit");
            return entry.refuse_as(revision, spec, Refusal::new(RejectionCode::Limit, "", reason));
        }
        entry.define(revision, spec, &self.builder)
    }

    fn remove(&mut self, name: &BackendName) -> Outcome {
        self.entries.remove(name).map(|mut entry| entry.leave()).unwrap_or_default()
    }

    /// One swap of the table for everything that belongs together.
    fn commit(&mut self, outcomes: Vec<(BackendName, Outcome)>) {
        let mut edits = Vec::new();
        let mut retired = Vec::new();
        let mut probes = Vec::new();
        let mut judged = false;
        for (name, outcome) in outcomes {
            judged |= self.note(&name);
            edits.extend(outcome.serving.map(|serving| (name, serving)));
            retired.extend(outcome.retired);
            probes.extend(outcome.probe);
        }
        self.table.edit(edits);
        probes.iter().for_each(|served| served.probe_later());
        retired.into_iter().for_each(|served| self.retire(served));
        if judged {
            self.retry_at = self.refused.iter().filter_map(|name| self.entries.get(name)?.retry_at()).min();
            self.tell_rejections();
        }
    }

    /// Remembers whether `name` is refused; true if that is to be told.
    fn note(&mut self, name: &BackendName) -> bool {
        self.shared.changes.mark(name);
        let refused = self.entries.get(name).is_some_and(|entry| entry.retry_at().is_some());
        let was = if refused { !self.refused.insert(name.clone()) } else { self.refused.remove(name) };
        refused || was
    }

    fn tell_rejections(&self) {
        let all: Vec<_> =
            self.refused.iter().filter_map(|name| self.entries.get(name)?.rejection()).collect();
        self.rejections.send_if_modified(|told| {
            let differs = **told != all;
            if differs {
                *told = Arc::new(all);
            }
            differs
        });
    }

    fn retire(&mut self, served: Arc<Served>) {
        served.retire(Instant::now() + self.shared.limits.drain_timeout);
        self.retired.push(Arc::downgrade(&served));
        self.draining.spawn(async move { served.drain().await });
    }

    fn look_after(&self, now: Instant) {
        for served in self.entries.values().flat_map(Entry::built) {
            served.look_after_lane(now);
            served.look_after_principal_lanes(now);
            served.look_after_spares(now);
            served.look_after_health(now);
            served.look_after_lists(now);
        }
    }

    fn probed(&mut self, served: &Weak<Served>) {
        let Some(served) = served.upgrade() else { return };
        let name = served.name().clone();
        if let Some(entry) = self.entries.get_mut(&name) {
            let outcome = entry.probed(&served);
            if outcome.serving.is_some() {
                self.commit(vec![(name, outcome)]);
            }
        }
    }

    fn retry(&mut self) {
        let now = Instant::now();
        let full = self.entries.len() > BACKENDS_MAX;
        let mut outcomes = Vec::new();
        for name in &self.refused {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            if entry.retry_at().is_some_and(|retry_at| retry_at <= now) {
                outcomes.push((name.clone(), entry.retry(&self.builder, full)));
            }
        }
        self.commit(outcomes);
    }

    fn statuses(&self, only: Option<BTreeSet<BackendName>>) -> Statuses {
        let now = Instant::now();
        let Some(names) = only else {
            return Statuses {
                present: self.entries.values().map(|entry| entry.status(now)).collect(),
                gone: vec![],
            };
        };
        let mut statuses = Statuses::default();
        for name in names {
            match self.entries.get(&name) {
                Some(entry) => statuses.present.push(entry.status(now)),
                None => statuses.gone.push(name.to_string()),
            }
        }
        statuses
    }

    async fn close(mut self) {
        let last: Vec<_> = self.entries.values_mut().flat_map(|entry| entry.leave().retired).collect();
        self.table.edit(self.entries.keys().map(|name| (name.clone(), None)).collect());
        last.into_iter().for_each(|served| self.retire(served));
        let now = Instant::now();
        self.retired.iter().filter_map(Weak::upgrade).for_each(|served| served.retire(now));
        while self.draining.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
