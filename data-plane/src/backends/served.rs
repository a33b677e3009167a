//! [`Served`]: one built definition of a backend, from its first probe to the end of its last session.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt;
use omcp_core::{Backend, BackendConnection, BackendName, EraPin, ErrorKind, GatewayError, Revision, Runtime};
use omcp_mcp::admit::ParamHeader;
use omcp_mcp::revision::Era;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::changes::Changes;
use super::eras::Eras;
use super::health::{Health, Verdict};
use super::lane::{Lane, LaneOptions, again};
use super::queue::ProbeQueue;
use super::schemas::ToolHeaders;
use crate::upstream::Upstream;

/// How long a call waits for a backend to be found alive: a package runner that downloads first takes
/// that long, and clients give up soon after.
pub const START_DEADLINE: Duration = Duration::from_secs(30);
/// Connections being opened at once on a node: each may be a process that burns a core while it starts.
pub const STARTS_MAX: usize = 8;
/// How long a connection waits for its turn to be opened; as long as one start may take.
const STARTS_WAIT: Duration = START_DEADLINE;
/// Longest `connect`: a runtime has deadlines of its own, unless its author forgot.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// How often a retired definition looks whether its last call has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(100);
/// How long a lane may take to end its process: as a process runtime's own patience, with room.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// What all backends of a node share.
pub struct Shared {
    pub queue: ProbeQueue<Served>,
    pub changes: Changes,
    pub connections_opened: AtomicU64,
    starts: Semaphore,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            queue: ProbeQueue::default(),
            changes: Changes::default(),
            connections_opened: AtomicU64::new(0),
            starts: Semaphore::new(STARTS_MAX),
        }
    }
}

/// What may change without a new runtime.
struct Definition {
    backend: Backend,
    revision: Revision,
}

/// How far a definition is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Current,
    /// Replaced or removed: what it began may go on until then.
    Retired(Instant),
    Closed,
}

/// What fronts and sessions hold of a backend.
pub struct Served {
    name: BackendName,
    definition: ArcSwap<Definition>,
    runtime: Arc<dyn Runtime>,
    upstream: Option<Arc<Upstream>>,
    health: Health,
    tool_headers: ArcSwap<ToolHeaders>,
    modern_lane: ArcSwapOption<Lane>,
    life: watch::Sender<Life>,
    probing: AtomicBool,
    wanted: AtomicBool,
    shared: Arc<Shared>,
    this: Weak<Served>,
}

/// What a probe brings home.
pub struct Findings {
    pub eras: Eras,
    /// Number of tools, if it lists any.
    pub tools: Option<u32>,
    pub tool_headers: ToolHeaders,
    /// The connection of a modern backend that is not HTTP: it becomes the shared lane.
    pub connection: Option<Box<dyn BackendConnection>>,
}

impl Served {
    pub fn new(
        backend: Backend,
        revision: Revision,
        runtime: Arc<dyn Runtime>,
        upstream: Option<Arc<Upstream>>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            name: backend.name.clone(),
            definition: ArcSwap::from_pointee(Definition { backend, revision }),
            runtime,
            upstream,
            health: Health::new(Instant::now()),
            tool_headers: ArcSwap::default(),
            modern_lane: ArcSwapOption::empty(),
            life: watch::Sender::new(Life::Current),
            probing: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
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

    pub fn era_pin(&self) -> EraPin {
        self.definition.load().backend.era
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

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Which arguments of `tool` travel as headers as well, by the last list of its tools.
    pub fn tool_headers(&self, tool: &str) -> Option<Arc<[ParamHeader]>> {
        self.tool_headers.load().get(tool)
    }

    /// Whether only names and tags changed, so that this definition may go on under a new number.
    pub fn same_runtime(&self, other: &Backend) -> bool {
        self.definition.load().backend.same_runtime(other)
    }

    pub fn redefine(&self, backend: Backend, revision: Revision) {
        self.definition.store(Arc::new(Definition { backend, revision }));
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
            None => Box::pin(self.become_ready()).await,
        }
    }

    async fn become_ready(&self) -> Result<Eras, GatewayError> {
        let mut verdicts = self.health.watch();
        match verdicts.borrow_and_update().clone() {
            Verdict::Ready(eras) => return Ok(eras),
            Verdict::Failing(failure) if Instant::now() < failure.retry_at => return Err(self.failing(&failure.error)),
            Verdict::Starting | Verdict::Failing(_) => self.probe_now(),
        }
        let deadline = Instant::now() + START_DEADLINE;
        let mut life = self.life.subscribe();
        loop {
            let changed = async {
                tokio::select! {
                    changed = verdicts.changed() => changed.is_ok(),
                    _ = life.wait_for(|life| *life == Life::Closed) => false,
                }
            };
            match timeout_at(deadline, changed).await {
                Err(_) => return Err(self.slow()),
                Ok(false) => return Err(self.ended()),
                Ok(true) => {}
            }
            match verdicts.borrow_and_update().clone() {
                Verdict::Ready(eras) => return Ok(eras),
                Verdict::Failing(failure) => return Err(self.failing(&failure.error)),
                Verdict::Starting => {}
            }
        }
    }

    /// The one lane that all modern clients of a backend share that is not HTTP.
    ///
    /// # Errors
    /// As [`Served::ready`]; `Unsupported` if the backend does not speak the modern era.
    pub async fn modern_lane(&self) -> Result<Lane, GatewayError> {
        if let Some(lane) = self.open_lane() {
            return Ok(lane);
        }
        if self.health.ready().is_some_and(|eras| eras.modern) {
            // It died, and its watcher has not got around to saying so.
            self.fail(&Arc::new(self.ended()));
        }
        let eras = self.ready().await?;
        self.open_lane().ok_or_else(|| {
            let context = format!("backend {} speaks {eras}: there is no modern lane to it", self.name);
            GatewayError::new(ErrorKind::Unsupported, context)
        })
    }

    fn open_lane(&self) -> Option<Lane> {
        self.modern_lane.load().as_deref().filter(|lane| lane.is_open()).cloned()
    }

    /// Opens a connection of the caller's own; few are opened at once.
    ///
    /// # Errors
    /// Those of the runtime; `Limit` if too many others are being opened; `Closed` if this definition
    /// has ended.
    pub async fn open_connection(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        if *self.life.borrow() == Life::Closed {
            return Err(self.ended());
        }
        let _turn = self.turn().await?;
        self.shared.connections_opened.fetch_add(1, Ordering::Relaxed);
        let connect = AssertUnwindSafe(self.runtime.connect()).catch_unwind();
        match timeout(CONNECT_DEADLINE, connect).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(_)) => {
                let context = format!("the runtime of backend {} panicked while connecting", self.name);
                Err(GatewayError::new(ErrorKind::Internal, context))
            }
            Err(_) => {
                let seconds = CONNECT_DEADLINE.as_secs();
                Err(GatewayError::timeout(format!("backend {} was not connected within {seconds} s", self.name)))
            }
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, GatewayError> {
        let turn = timeout(STARTS_WAIT, self.shared.starts.acquire()).await.ok().and_then(Result::ok);
        turn.ok_or_else(|| {
            let context =
                format!("backend {} could not be started: {STARTS_MAX} others are starting; try again", self.name);
            GatewayError::new(ErrorKind::Limit, context)
        })
    }

    /// Counts a session, and the process that serves it, until the guard is dropped.
    pub fn track_session(&self, pid: Option<u32>) -> SessionGuard {
        self.health.session_opened(pid);
        self.changed();
        SessionGuard { served: self.this.clone(), pid }
    }

    /// A call of a client went through.
    pub fn note_success(&self) {
        self.health.call_succeeded();
    }

    /// A call of a client failed. A few in a row that could not reach the backend make it failing.
    pub fn note_failure(&self, error: &GatewayError) {
        let unreached = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Closed);
        if unreached && self.health.call_failed() {
            self.fail(&Arc::new(again(error)));
        }
    }

    /// Asks for a probe when a worker has time.
    pub fn probe_later(&self) {
        self.shared.queue.push(self.this.clone());
    }

    /// Asks for a probe at once: somebody waits.
    fn probe_now(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.shared.queue.push_urgent(self.this.clone());
        }
    }

    /// Whether the caller is the one to probe it now.
    pub fn begin_probe(&self, now: Instant) -> bool {
        let due = match self.health.verdict() {
            Verdict::Starting => true,
            Verdict::Ready(_) => false,
            Verdict::Failing(failure) => failure.retry_at <= now,
        };
        let begin = due && !self.is_closed() && !self.probing.swap(true, Ordering::AcqRel);
        if begin || !due {
            self.wanted.store(false, Ordering::Release);
        }
        begin
    }

    /// Takes what a probe brought home.
    pub fn end_probe(&self, outcome: Result<Findings, GatewayError>) {
        match outcome {
            Ok(findings) => self.found(findings),
            Err(error) => self.fail(&Arc::new(error)),
        }
        self.probing.store(false, Ordering::Release);
        self.wanted.store(false, Ordering::Release);
    }

    fn found(&self, findings: Findings) {
        if let Some(connection) = findings.connection {
            self.keep_lane(connection);
        }
        self.tool_headers.store(Arc::new(findings.tool_headers));
        self.health.succeeded(findings.eras, findings.tools, Instant::now());
        self.changed();
        let unknown = findings.eras == Eras::MODERN && self.era_pin() == EraPin::Auto;
        if unknown {
            self.shared.queue.push_idle(self.this.clone());
        }
    }

    /// A modern backend turned out to speak the legacy era as well.
    pub fn found_legacy(&self) {
        if let Some(eras) = self.health.ready() {
            self.health.succeeded(Eras { legacy: true, ..eras }, None, Instant::now());
            self.changed();
        }
    }

    fn keep_lane(&self, connection: Box<dyn BackendConnection>) {
        let options = LaneOptions::new(Era::Modern, self.runtime.call_timeout());
        let lane = Arc::new(Lane::start(connection, options));
        self.modern_lane.store(Some(lane.clone()));
        let this = self.this.clone();
        tokio::spawn(async move {
            let why = lane.closed().await;
            if let Some(served) = this.upgrade() {
                served.lane_ended(&lane, &why);
            }
        });
        if self.is_closed() {
            self.close_lane();
        }
    }

    fn lane_ended(&self, lane: &Arc<Lane>, why: &Arc<GatewayError>) {
        let current = self.modern_lane.load();
        let mine = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, lane));
        if mine && !self.is_closed() && self.health.ready().is_some() {
            self.fail(why);
        }
        self.changed();
    }

    fn fail(&self, error: &Arc<GatewayError>) {
        let retry_at = self.health.failed(error.clone(), Instant::now());
        tracing::info!(backend = %self.name, error = %error.chain(), "backend is failing");
        self.shared.queue.push_at(retry_at, self.this.clone());
        self.changed();
    }

    fn changed(&self) {
        self.shared.changes.mark(&self.name);
    }

    /// Every process that serves it, and how many sessions are open.
    pub fn pids(&self) -> Vec<u32> {
        let shared = self.open_lane().and_then(|lane| lane.pid());
        shared.into_iter().chain(self.health.record().pids.into_keys()).collect()
    }

    /// Replaced or removed: new requests go elsewhere, what began may go on until `deadline`.
    pub fn retire(&self, deadline: Instant) {
        self.life.send_if_modified(|life| {
            let sooner = match *life {
                Life::Current => true,
                Life::Retired(until) => deadline < until,
                Life::Closed => false,
            };
            if sooner {
                *life = Life::Retired(deadline);
            }
            sooner
        });
    }

    /// Whether another definition has taken its place.
    pub fn retired(&self) -> bool {
        *self.life.borrow() != Life::Current
    }

    /// Resolves when another definition has taken its place.
    pub async fn wait_retired(&self) {
        // The sender lives in `self`: waiting cannot fail.
        drop(self.life.subscribe().wait_for(|life| *life != Life::Current).await);
    }

    /// Resolves when the drain deadline has passed: whatever still uses this definition ends now.
    pub async fn wait_closed(&self) {
        drop(self.life.subscribe().wait_for(|life| *life == Life::Closed).await);
    }

    pub fn is_closed(&self) -> bool {
        *self.life.borrow() == Life::Closed
    }

    /// Lets what began come to its end, at most until the drain deadline, then ends the rest and the
    /// shared process.
    pub async fn drain(&self) {
        loop {
            let Life::Retired(deadline) = *self.life.borrow() else { break };
            let busy = self.health.sessions() > 0 || self.open_lane().is_some_and(|lane| lane.in_flight() > 0);
            if !busy || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + DRAIN_LOOK)).await;
        }
        self.life.send_replace(Life::Closed);
        if let Some(lane) = self.close_lane()
            && timeout(CLOSE_DEADLINE, lane.closed()).await.is_err()
        {
            tracing::warn!(backend = %self.name, "backend did not end in time");
        }
    }

    fn close_lane(&self) -> Option<Arc<Lane>> {
        let lane = self.modern_lane.swap(None);
        if let Some(lane) = &lane {
            lane.close();
        }
        lane
    }

    fn failing(&self, error: &GatewayError) -> GatewayError {
        GatewayError::new(error.kind(), format!("backend {} does not answer: {}", self.name, error.chain()))
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
        f.debug_struct("Served").field("name", &self.name).field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.close_lane();
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
