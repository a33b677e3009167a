//! [`Served`]: one built definition of a backend, from its first probe to the end of its last session.

mod bridges;
mod checking;
mod circles;
mod ending;
mod lanes;
mod listing;
mod other_era;
mod principal_lanes;
mod probing;
mod repeating;
mod resting;
mod sharing;
mod spares;
mod watching;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use omcp_core::redaction::Redaction;
use omcp_core::{
    Backend, BackendConnection, BackendName, EraPin, ErrorKind, GatewayError, Lifecycle, Revision, Runtime,
};
use omcp_mcp::admit::ParamHeader;
use omcp_mcp::revision::Era;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::changes::Changes;
use super::dialogue::Dialogue;
use super::edition::Edition;
use super::eras::Eras;
use super::health::{Failure, Health, Verdict};
use super::lane::{CallCounts, Lane, LaneOptions, again};
use super::life::Life;
use super::limits::BackendLimits;
use super::queue::ProbeQueue;
use super::schemas::Tools;
use super::slots::{Opened, Slot, Slots};
use super::turns::{TURN_MAX, Turns};
use crate::upstream::Upstream;
use bridges::Bridges;
pub use bridges::LANES_MAX as BRIDGED_LANES_MAX;
pub use circles::{CIRCLES_MAX, Circle};
pub use listing::Known;
pub use probing::Findings;
pub use sharing::SharedLegacy;
pub use watching::ListWatch;

/// How long a call waits for a backend to be found alive: a package runner that downloads first takes
/// that long, and clients give up soon after.
pub const START_DEADLINE: Duration = Duration::from_secs(30);
/// Longest `connect`: a runtime has deadlines of its own, unless its author forgot.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);

/// What all backends of a node share.
pub struct Shared {
    pub queue: ProbeQueue<Served>,
    pub changes: Changes,
    pub edition: Arc<Edition>,
    pub connections_opened: AtomicU64,
    /// What became of the calls of all lanes.
    pub calls: Arc<CallCounts>,
    pub limits: BackendLimits,
    pub slots: Arc<Slots>,
    turns: Turns,
}

impl Shared {
    pub fn new(limits: BackendLimits) -> Self {
        Self {
            queue: ProbeQueue::default(),
            changes: Changes::default(),
            edition: Arc::default(),
            connections_opened: AtomicU64::default(),
            calls: Arc::default(),
            slots: Arc::new(Slots::new(limits.processes_max)),
            turns: Turns::new(limits.starts_max),
            limits,
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new(BackendLimits::default())
    }
}

/// What may change without a new runtime.
struct Definition {
    backend: Backend,
    revision: Revision,
}

/// What fronts and sessions hold of a backend.
pub struct Served {
    name: BackendName,
    definition: ArcSwap<Definition>,
    runtime: Arc<dyn Runtime>,
    upstream: Option<Arc<Upstream>>,
    redaction: Redaction,
    health: Health,
    known_tools: ArcSwap<Tools>,
    known: ArcSwapOption<Known>,
    /// Its lists are being asked for.
    listing: AtomicBool,
    list_watch: Mutex<Weak<ListWatch>>,
    modern_lane: ArcSwapOption<Lane>,
    principal_lanes: principal_lanes::PrincipalLanes,
    bridges: Bridges,
    life: Life,
    /// Its connections are processes of this machine.
    starts: AtomicBool,
    /// How the shared lane was found at the last look.
    look: Mutex<resting::Look>,
    plan: Mutex<checking::Plan>,
    check_session: tokio::sync::Mutex<Option<Dialogue>>,
    shared_sessions: sharing::SharedSessions,
    spares: spares::Spares,
    /// A call went through since the last look.
    heard: AtomicBool,
    probing: AtomicBool,
    other_era: other_era::OtherEra,
    /// A worker was asked to hurry.
    wanted: AtomicBool,
    /// Calls that wait for it to be ready.
    waiting: AtomicUsize,
    shared: Arc<Shared>,
    this: Weak<Served>,
}

impl Served {
    pub fn new(
        backend: Backend,
        revision: Revision,
        runtime: Arc<dyn Runtime>,
        upstream: Option<Arc<Upstream>>,
        redaction: Redaction,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            name: backend.name.clone(),
            definition: ArcSwap::from_pointee(Definition { backend, revision }),
            runtime,
            upstream,
            redaction,
            health: Health::new(Instant::now()),
            known_tools: ArcSwap::default(),
            known: ArcSwapOption::empty(),
            listing: AtomicBool::new(false),
            list_watch: Mutex::default(),
            modern_lane: ArcSwapOption::empty(),
            principal_lanes: Default::default(),
            bridges: Bridges::default(),
            life: Life::default(),
            starts: AtomicBool::new(false),
            look: Mutex::default(),
            plan: Mutex::default(),
            check_session: tokio::sync::Mutex::default(),
            shared_sessions: Default::default(),
            spares: spares::Spares::default(),
            heard: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            other_era: other_era::OtherEra::default(),
            wanted: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            shared,
            this: this.clone(),
        })
    }

    pub fn name(&self) -> &BackendName {
        &self.name
    }

    /// Store revision of the definition.
    pub fn revision(&self) -> Revision {
        self.definition.load().revision
    }

    pub fn backend(&self) -> Backend {
        self.definition.load().backend.clone()
    }

    /// Whether its definition is as `wanted`.
    pub fn is_selected(&self, wanted: impl Fn(&Backend) -> bool) -> bool {
        wanted(&self.definition.load().backend)
    }

    pub fn era_pin(&self) -> EraPin {
        self.definition.load().backend.era
    }

    pub fn lifecycle(&self) -> Lifecycle {
        self.definition.load().backend.lifecycle
    }

    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// The fast path to a backend that is an HTTP server.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.upstream.as_ref()
    }

    /// The eras it speaks, if it is known to answer.
    pub fn eras(&self) -> Option<Eras> {
        self.health.ready()
    }

    /// The eras it speaks, if calls are served; its process may rest meanwhile.
    pub fn serves(&self) -> Option<Eras> {
        self.health.serves()
    }

    /// Whether it was tried, and did not answer.
    pub fn is_failing(&self) -> bool {
        matches!(self.health.verdict(), Verdict::Failing(_))
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Which arguments of `tool` travel as headers as well, by the last list of its tools.
    pub fn tool_headers(&self, tool: &str) -> Option<Arc<[ParamHeader]>> {
        self.known_tools.load().headers(tool)
    }

    /// Whether only names and tags changed, so that this definition may go on under a new number.
    pub fn same_runtime(&self, other: &Backend) -> bool {
        self.definition.load().backend.same_runtime(other)
    }

    pub fn redefine(&self, backend: Backend, revision: Revision) {
        self.definition.store(Arc::new(Definition { backend, revision }));
        self.shared.edition.grow();
        self.changed();
    }

    /// Waits until the backend answers, and tells which eras it speaks.
    ///
    /// # Errors
    /// The last error, at once, while the node waits before it tries again; `Timeout` after
    /// [`START_DEADLINE`]; `Closed` if this definition has ended.
    pub async fn ready(&self) -> Result<Eras, GatewayError> {
        match self.health.ready() {
            Some(eras) => Ok(eras),
            None => {
                let _waiting = Waiting::one_more(&self.waiting);
                Box::pin(self.become_ready()).await
            }
        }
    }

    /// The circuit breaker: why a call is not even tried, while the node waits before it looks again.
    pub fn refuses(&self) -> Option<GatewayError> {
        if self.health.ready().is_some() {
            return None;
        }
        match self.health.verdict() {
            Verdict::Failing(failure) if failure.is_closed_to_calls(Instant::now()) => {
                Some(self.failing(&failure))
            }
            _ => None,
        }
    }

    async fn become_ready(&self) -> Result<Eras, GatewayError> {
        let mut verdicts = self.health.watch();
        match verdicts.borrow_and_update().clone() {
            Verdict::Ready(eras) => return Ok(eras),
            Verdict::Failing(failure) if failure.is_closed_to_calls(Instant::now()) => {
                return Err(self.failing(&failure));
            }
            Verdict::Starting | Verdict::Idle(_) | Verdict::Failing(_) => self.probe_now(),
        }
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let changed = async {
                tokio::select! {
                    changed = verdicts.changed() => changed.is_ok(),
                    () = self.life.closed() => false,
                }
            };
            match timeout_at(deadline, changed).await {
                Err(_) => return Err(self.slow()),
                Ok(false) => return Err(self.ended()),
                Ok(true) => {}
            }
            match verdicts.borrow_and_update().clone() {
                Verdict::Ready(eras) => return Ok(eras),
                Verdict::Failing(failure) => return Err(self.failing(&failure)),
                Verdict::Starting => {}
                // It went to rest just now.
                Verdict::Idle(_) => self.probe_now(),
            }
        }
    }

    /// Opens a connection of the caller's own; few are opened at once.
    ///
    /// # Errors
    /// Those of the runtime; `Limit` if too many others are being opened, or if the node runs as many
    /// processes as it may; `Closed` if this definition has ended.
    pub async fn open_connection(&self) -> Result<Opened, GatewayError> {
        if self.life.is_closed() {
            return Err(self.ended());
        }
        let slots = &self.shared.slots;
        if self.starts.load(Ordering::Relaxed) && slots.is_full() {
            return Err(slots.full(&self.name));
        }
        let turn = self.shared.turns.take(&self.name).await?;
        self.shared.connections_opened.fetch_add(1, Ordering::Relaxed);
        let connected = match select(pin!(self.connect()), pin!(sleep(TURN_MAX))).await {
            Either::Left((connected, _)) => connected?,
            Either::Right(((), connecting)) => {
                drop(turn);
                connecting.await?
            }
        };
        self.with_slot(connected).await
    }

    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let connect = AssertUnwindSafe(self.runtime.connect()).catch_unwind();
        match timeout(CONNECT_DEADLINE, connect).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(_)) => {
                let context = format!("the runtime of backend {} panicked while connecting", self.name);
                Err(GatewayError::new(ErrorKind::Internal, context))
            }
            Err(_) => {
                let seconds = CONNECT_DEADLINE.as_secs();
                Err(GatewayError::timeout(format!(
                    "backend {} was not connected within {seconds} s",
                    self.name
                )))
            }
        }
    }

    /// Whether a runtime starts a process shows with its first connection.
    async fn with_slot(&self, mut connection: Box<dyn BackendConnection>) -> Result<Opened, GatewayError> {
        if connection.pid().is_none() {
            return Ok(Opened { connection, slot: None });
        }
        self.starts.store(true, Ordering::Relaxed);
        match self.shared.slots.take() {
            slot @ Some(_) => Ok(Opened { connection, slot }),
            None => {
                drop(connection.close().await);
                Err(self.shared.slots.full(&self.name))
            }
        }
    }

    /// Longest call, however much is heard of it.
    pub fn call_max(&self) -> Duration {
        self.shared.limits.call_max
    }

    /// How a lane to this backend behaves.
    pub fn lane_options(&self, era: Era, slot: Option<Slot>) -> LaneOptions {
        LaneOptions {
            call_max: self.shared.limits.call_max,
            calls_max: self.shared.limits.calls_max,
            counts: self.shared.calls.clone(),
            slot: slot.map(Arc::new),
            ..LaneOptions::new(era, self.runtime.call_timeout())
        }
    }

    /// Counts a session, and the process that serves it, until the guard is dropped.
    pub fn track_session(&self, pid: Option<u32>) -> SessionGuard {
        self.health.session_opened(pid);
        self.changed();
        SessionGuard { served: self.this.clone(), pid }
    }

    /// A call of a client went through.
    pub fn note_success(&self) {
        // Mostly set already: then no other core has to hear of it.
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if self.health.call_succeeded() {
            self.changed();
        }
    }

    /// A call of a client failed. A few in a row that could not reach the backend make it failing.
    pub fn note_failure(&self, error: &GatewayError) {
        if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Closed) {
            self.note_unreached(error);
        }
    }

    fn note_unreached(&self, error: &GatewayError) {
        if self.health.call_failed(error, Instant::now()) && self.health.ready().is_some() {
            self.fail(&Arc::new(again(error)));
        }
        self.changed();
    }

    fn fail(&self, error: &Arc<GatewayError>) {
        let starts = self.starts.load(Ordering::Relaxed);
        let retry_at = self.health.failed(error.clone(), starts, Instant::now());
        self.forget_other_era();
        if self.health.record().failures == 1 {
            tracing::warn!(backend = %self.name, error = %error.chain(), "backend does not answer");
        } else {
            tracing::debug!(backend = %self.name, error = %error.chain(), "backend still does not answer");
        }
        self.shared.queue.push_at(retry_at, self.this.clone());
        self.changed();
    }

    fn changed(&self) {
        self.shared.changes.mark(&self.name);
    }

    fn failing(&self, failure: &Failure) -> GatewayError {
        let (name, why) = (&self.name, failure.error.chain());
        let context = if failure.crash_loop {
            format!("backend {name} ended soon after its start again and again; it is tried rarely: {why}")
        } else {
            format!("backend {name} does not answer: {why}")
        };
        // What ended, or took too long, was a start: the call has not left.
        let kind = match failure.error.kind() {
            ErrorKind::Closed | ErrorKind::Timeout => ErrorKind::Unreachable,
            kind => kind,
        };
        GatewayError::new(kind, context)
    }

    fn slow(&self) -> GatewayError {
        let seconds = START_DEADLINE.as_secs();
        GatewayError::timeout(format!("backend {} did not answer within {seconds} s of its start", self.name))
    }

    fn ended(&self) -> GatewayError {
        GatewayError::closed(format!("the connection to backend {} has ended", self.name))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("name", &self.name)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

/// Counts a waiting call, also one whose client goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one session for as long as it lives.
#[derive(Debug)]
pub struct SessionGuard {
    served: Weak<Served>,
    pid: Option<u32>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        if let Some(served) = self.served.upgrade() {
            served.health.session_closed(self.pid);
            served.changed();
        }
    }
}
