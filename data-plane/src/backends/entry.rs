//! [`Entry`]: one backend through all its definitions: the one that serves, the one that is to replace
//! it, the one that is refused.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use omcp_core::{Backend, BackendName, Revision};
use omcp_proto::v1::{BackendState, BackendStatus, Rejection, RejectionCode};
use tokio::time::Instant;

use super::build::{Builder, Refusal};
use super::health::Verdict;
use super::served::Served;
use super::stderr::StderrRing;

/// First wait before a refused definition is tried again: a secret or a program may have appeared.
const RETRY_FIRST: Duration = Duration::from_secs(60);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// Bytes of standard error in a status: enough for a stack trace's end.
const STDERR_TAIL_LEN: usize = 2 * 1024;

/// What is wanted of a name, what serves it, and what stands between.
pub struct Entry {
    name: BackendName,
    revision: Revision,
    spec: Bytes,
    disabled: bool,
    since: Instant,
    serving: Option<Arc<Served>>,
    next: Option<Arc<Served>>,
    refused: Option<Refused>,
    pub stderr: Arc<StderrRing>,
}

struct Refused {
    refusal: Refusal,
    attempts: u32,
    retry_at: Instant,
}

/// What a step did to what serves a name.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The table's new content for the name, if it changed.
    pub serving: Option<Option<Arc<Served>>>,
    /// Definitions that nothing new reaches from now on.
    pub retired: Vec<Arc<Served>>,
    /// A definition to be probed.
    pub probe: Option<Arc<Served>>,
}

impl Entry {
    pub fn new(name: BackendName) -> Self {
        Self {
            name,
            revision: 0,
            spec: Bytes::new(),
            disabled: false,
            since: Instant::now(),
            serving: None,
            next: None,
            refused: None,
            stderr: Arc::default(),
        }
    }

    /// Takes a new definition.
    pub fn define(&mut self, revision: Revision, spec: Bytes, builder: &Builder) -> Outcome {
        (self.revision, self.spec) = (revision, spec);
        if let Some(refused) = &mut self.refused {
            refused.attempts = 0;
        }
        self.settle(builder)
    }

    /// Tries a refused definition once more; on a full node, only what was not refused for that.
    pub fn retry(&mut self, builder: &Builder, full: bool) -> Outcome {
        let limited = |refused: &&Refused| full && refused.refusal.code == RejectionCode::Limit;
        match self.refused.as_ref().filter(limited).map(|refused| refused.refusal.clone()) {
            Some(refusal) => self.refuse(refusal),
            None => self.settle(builder),
        }
    }

    fn settle(&mut self, builder: &Builder) -> Outcome {
        match Builder::read(&self.name, &self.spec) {
            Ok(backend) if backend.disabled => self.stop(),
            Ok(backend) => self.run(backend, builder),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Refused for a reason that lies outside the definition.
    pub fn refuse_as(&mut self, revision: Revision, spec: Bytes, refusal: Refusal) -> Outcome {
        (self.revision, self.spec) = (revision, spec);
        self.refuse(refusal)
    }

    fn refuse(&mut self, refusal: Refusal) -> Outcome {
        let attempts = self.refused.as_ref().map_or(0, |refused| refused.attempts) + 1;
        let wait = RETRY_FIRST.saturating_mul(1 << (attempts - 1).min(10)).min(RETRY_MAX);
        if self.refused.is_none() {
            self.since = Instant::now();
        }
        tracing::warn!(backend = %self.name, reason = %refusal.message, "backend is rejected");
        self.disabled = false;
        self.refused = Some(Refused { refusal, attempts, retry_at: Instant::now() + wait });
        // What should have replaced the serving one is older than what was refused.
        Outcome { retired: self.next.take().into_iter().collect(), ..Outcome::default() }
    }

    fn stop(&mut self) -> Outcome {
        if !self.disabled {
            self.since = Instant::now();
        }
        (self.disabled, self.refused) = (true, None);
        self.leave()
    }

    /// The name is gone, or nothing serves it any more.
    pub fn leave(&mut self) -> Outcome {
        let gone = self.serving.take();
        let serving = gone.is_some().then_some(None);
        Outcome { serving, retired: gone.into_iter().chain(self.next.take()).collect(), probe: None }
    }

    fn run(&mut self, backend: Backend, builder: &Builder) -> Outcome {
        if let Some(outcome) = self.keep(&backend) {
            return outcome;
        }
        match builder.build(backend, self.revision, &self.stderr) {
            Ok(built) => self.replace(built),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// A definition that needs no new runtime goes on under a new number.
    fn keep(&mut self, backend: &Backend) -> Option<Outcome> {
        if self.next.as_ref().is_some_and(|next| next.same_runtime(backend)) {
            self.next.as_ref()?.redefine(backend.clone(), self.revision);
            self.accepted();
            return Some(Outcome::default());
        }
        let serving = self.serving.as_ref().filter(|serving| serving.same_runtime(backend))?;
        serving.redefine(backend.clone(), self.revision);
        self.accepted();
        Some(Outcome { retired: self.next.take().into_iter().collect(), ..Outcome::default() })
    }

    /// Make before break: what is ready goes on serving until its successor is.
    fn replace(&mut self, built: Arc<Served>) -> Outcome {
        self.accepted();
        if let Some(older) = &self.serving {
            built.inherit(older);
        }
        let mut retired: Vec<_> = self.next.take().into_iter().collect();
        let probe = Some(built.clone());
        if self.serving.as_ref().is_some_and(|serving| serving.serves().is_some()) {
            self.next = Some(built);
            return Outcome { serving: None, retired, probe };
        }
        retired.extend(self.serving.replace(built.clone()));
        Outcome { serving: Some(Some(built)), retired, probe }
    }

    fn accepted(&mut self) {
        (self.disabled, self.refused) = (false, None);
    }

    /// A definition was probed: its turn to serve may have come.
    pub fn probed(&mut self, served: &Arc<Served>) -> Outcome {
        let is_next = self.next.as_ref().is_some_and(|next| Arc::ptr_eq(next, served));
        let loses_nothing = self.serving.as_ref().is_none_or(|serving| serving.serves().is_none());
        if !is_next || !(served.eras().is_some() || loses_nothing) {
            return Outcome::default();
        }
        self.next = None;
        let retired = self.serving.replace(served.clone()).into_iter().collect();
        Outcome { serving: Some(Some(served.clone())), retired, probe: None }
    }

    /// When to try a refused definition again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.refused.as_ref().map(|refused| refused.retry_at)
    }

    pub fn rejection(&self) -> Option<Rejection> {
        let Refused { refusal, .. } = self.refused.as_ref()?;
        Some(Rejection {
            backend: self.name.to_string(),
            revision: self.revision,
            code: refusal.code.into(),
            field: refusal.field.clone(),
            message: refusal.message.clone(),
            serving_revision: self.serving_revision(),
        })
    }

    fn serving_revision(&self) -> Revision {
        self.serving.as_ref().map_or(0, |serving| serving.revision())
    }

    /// The definitions that may hold connections.
    pub fn built(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.serving.iter().chain(&self.next)
    }

    pub fn status(&self, now: Instant) -> BackendStatus {
        let mut status = BackendStatus {
            backend: self.name.to_string(),
            revision: self.revision,
            serving_revision: self.serving_revision(),
            last_exit: self.stderr.last_exit(),
            ..BackendStatus::default()
        };
        if let Some(newest) = self.next.as_ref().or(self.serving.as_ref()) {
            describe(newest, now, &mut status);
        }
        for served in self.serving.iter().chain(&self.next) {
            status.pids.extend(served.pids());
            status.sessions += u32::try_from(served.health().sessions()).unwrap_or(u32::MAX);
        }
        self.overrule(now, &mut status);
        if !matches!(status.state(), BackendState::Ready | BackendState::Idle) {
            status.stderr_tail = self.stderr.tail(STDERR_TAIL_LEN);
        }
        status
    }

    /// What was refused or stopped is told before how its predecessor does.
    fn overrule(&self, now: Instant, status: &mut BackendStatus) {
        if let Some(refused) = &self.refused {
            status.set_state(BackendState::Rejected);
            status.last_error.clone_from(&refused.refusal.message);
            status.failures = refused.attempts;
        } else if self.disabled {
            status.set_state(BackendState::Stopped);
        } else {
            return;
        }
        status.since_ms = milliseconds(self.since, now);
    }
}

fn describe(served: &Served, now: Instant, status: &mut BackendStatus) {
    let record = served.health().record();
    let verdict = served.health().verdict();
    let (state, since) = match (&verdict, record.degraded) {
        (Verdict::Starting, _) => (BackendState::Starting, record.since),
        (Verdict::Ready(_), Some(since)) => (BackendState::Degraded, since),
        (Verdict::Ready(_), None) => (BackendState::Ready, record.since),
        (Verdict::Idle(_), _) => (BackendState::Idle, record.since),
        (Verdict::Failing(failure), _) if failure.crash_loop => (BackendState::CrashLoop, record.since),
        (Verdict::Failing(_), _) => (BackendState::Failing, record.since),
    };
    status.set_state(state);
    if let Verdict::Ready(eras) | Verdict::Idle(eras) = verdict {
        status.eras = eras.names();
    }
    status.since_ms = milliseconds(since, now);
    status.last_error = record.last_error;
    status.failures = record.failures;
    status.tools = record.tools;
}

fn milliseconds(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
