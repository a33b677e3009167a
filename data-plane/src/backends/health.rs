//! [`Health`]: what is known of whether a backend answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_runtimes::backoff;
use tokio::sync::watch;
use tokio::time::Instant;

use super::eras::Eras;

/// First wait after a failed probe: most failures are a server that is just starting.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait: a backend that came back is found within a minute, or by the first call after it.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A backend that was ready for this long has earned a quick restart; one that dies sooner is looping.
const STABLE: Duration = Duration::from_secs(30);
/// Failed calls in a row that make a ready backend a failing one: one may be bad luck.
const FAILED_CALLS_MAX: u32 = 3;
/// Longest error kept, bytes: the limit of `BackendStatus.last_error`.
pub const ERROR_LEN_MAX: usize = 1024;

/// Whether a backend answers.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Not known yet.
    Starting,
    Ready(Eras),
    Failing(Failure),
}

/// Why it does not, and until when nobody should try again.
#[derive(Clone, Debug)]
pub struct Failure {
    pub error: Arc<GatewayError>,
    pub retry_at: Instant,
}

/// What status reports tell beyond the verdict.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the present state began.
    pub since: Instant,
    /// Failed attempts in a row.
    pub failures: u32,
    pub last_error: String,
    pub tools: Option<u32>,
    /// Processes of sessions, and how many sessions each serves.
    pub pids: BTreeMap<u32, usize>,
}

/// The state of one served definition. Reading whether it is ready is one atomic load.
pub struct Health {
    verdict: watch::Sender<Verdict>,
    ready: AtomicU8,
    failed_calls: AtomicU32,
    sessions: AtomicUsize,
    record: Mutex<Record>,
    /// Failures that count for the backoff: they outlive a short spell of readiness.
    strikes: AtomicU32,
}

impl Health {
    pub fn new(now: Instant) -> Self {
        let record =
            Record { since: now, failures: 0, last_error: String::new(), tools: None, pids: BTreeMap::new() };
        Self {
            verdict: watch::Sender::new(Verdict::Starting),
            ready: AtomicU8::new(0),
            failed_calls: AtomicU32::new(0),
            sessions: AtomicUsize::new(0),
            record: Mutex::new(record),
            strikes: AtomicU32::new(0),
        }
    }

    /// The eras, if the backend is ready.
    pub fn ready(&self) -> Option<Eras> {
        unpack(self.ready.load(Ordering::Acquire))
    }

    /// The present verdict.
    pub fn verdict(&self) -> Verdict {
        self.verdict.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Verdict> {
        self.verdict.subscribe()
    }

    pub fn record(&self) -> Record {
        self.lock().clone()
    }

    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// It answers, and speaks `eras`. `tools` of `None` leaves the count as it was.
    pub fn succeeded(&self, eras: Eras, tools: Option<u32>, now: Instant) {
        let mut record = self.lock();
        if self.ready().is_none() {
            record.since = now;
        }
        record.failures = 0;
        record.last_error.clear();
        record.tools = tools.or(record.tools);
        self.failed_calls.store(0, Ordering::Relaxed);
        self.ready.store(pack(eras), Ordering::Release);
        self.verdict.send_replace(Verdict::Ready(eras));
    }

    /// It does not answer. Returns when to try again.
    pub fn failed(&self, error: Arc<GatewayError>, now: Instant) -> Instant {
        let mut record = self.lock();
        let was_ready = self.ready().is_some();
        if was_ready && now.duration_since(record.since) >= STABLE {
            self.strikes.store(0, Ordering::Relaxed);
        }
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !matches!(*self.verdict.borrow(), Verdict::Failing(_)) {
            record.since = now;
        }
        record.failures = record.failures.saturating_add(1);
        record.last_error = bounded(error.chain(), ERROR_LEN_MAX);
        let retry_at = now + backoff::full_jitter(strikes, BACKOFF_FIRST, BACKOFF_MAX);
        self.ready.store(0, Ordering::Release);
        self.verdict.send_replace(Verdict::Failing(Failure { error, retry_at }));
        retry_at
    }

    /// A call went through.
    pub fn call_succeeded(&self) {
        if self.failed_calls.load(Ordering::Relaxed) != 0 {
            self.failed_calls.store(0, Ordering::Relaxed);
        }
    }

    /// A call could not reach the backend. True if that was one too many.
    pub fn call_failed(&self) -> bool {
        self.failed_calls.fetch_add(1, Ordering::Relaxed) + 1 == FAILED_CALLS_MAX
    }

    pub fn session_opened(&self, pid: Option<u32>) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        if let Some(pid) = pid {
            *self.lock().pids.entry(pid).or_default() += 1;
        }
    }

    pub fn session_closed(&self, pid: Option<u32>) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        let Some(pid) = pid else { return };
        let mut record = self.lock();
        if let Some(count) = record.pids.get_mut(&pid) {
            *count -= 1;
            if *count == 0 {
                record.pids.remove(&pid);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pack(eras: Eras) -> u8 {
    u8::from(eras.legacy) | u8::from(eras.modern) << 1
}

fn unpack(bits: u8) -> Option<Eras> {
    (bits != 0).then_some(Eras { legacy: bits & 1 != 0, modern: bits & 2 != 0 })
}

/// At most `len_max` bytes of `text`, cut between characters.
pub fn bounded(mut text: String, len_max: usize) -> String {
    text.truncate(text.floor_char_boundary(len_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> Arc<GatewayError> {
        Arc::new(GatewayError::unreachable("x".repeat(2000)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_spell_of_readiness_does_not_reset_the_backoff() {
        let start = Instant::now();
        let health = Health::new(start);
        for _ in 0..9 {
            health.failed(error(), start);
            health.succeeded(Eras::MODERN, Some(2), start);
        }
        assert_eq!(health.strikes.load(Ordering::Relaxed), 9);
        assert_eq!(health.record().failures, 0);
        let retry_at = health.failed(error(), start + STABLE);
        assert!(retry_at <= start + STABLE + BACKOFF_FIRST, "a stable backend restarts quickly");
    }

    #[tokio::test]
    async fn readiness_is_packed_and_errors_are_bounded() {
        let now = Instant::now();
        let health = Health::new(now);
        assert_eq!(health.ready(), None);
        let both = Eras { legacy: true, modern: true };
        health.succeeded(both, Some(3), now);
        assert_eq!(health.ready(), Some(both));
        health.succeeded(both, None, now);
        assert_eq!(health.record().tools, Some(3));
        health.failed(error(), now);
        assert_eq!((health.ready(), health.record().last_error.len()), (None, ERROR_LEN_MAX));
        assert_eq!(bounded("äö".into(), 3), "ä");
    }

    #[tokio::test]
    async fn three_failed_calls_in_a_row_are_too_many() {
        let health = Health::new(Instant::now());
        assert!(!health.call_failed() && !health.call_failed());
        health.call_succeeded();
        assert!(!health.call_failed() && !health.call_failed());
        assert!(health.call_failed());
        assert!(!health.call_failed(), "told once");
    }

    #[tokio::test]
    async fn processes_are_counted_once() {
        let health = Health::new(Instant::now());
        health.session_opened(Some(7));
        health.session_opened(Some(7));
        health.session_opened(None);
        health.session_closed(Some(7));
        assert_eq!((health.sessions(), health.record().pids.len()), (2, 1));
        health.session_closed(Some(7));
        assert!(health.record().pids.is_empty());
    }
}
