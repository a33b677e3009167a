//! [`Health`]: what is known of whether a backend answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_runtimes::backoff;
use tokio::sync::watch;
use tokio::time::Instant;

use super::eras::Eras;

/// First wait after a failed start: most failures are a server that is just starting.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait: a backend that came back is found within half a minute, or by the first call after it.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A backend that was ready for this long started well: its end is an accident, it is started again at once, and
/// has a clean slate.
const STARTED_WELL: Duration = Duration::from_secs(5);
/// So many bad starts within [`LOOP_WINDOW`] are a crash loop.
const LOOP_STARTS: usize = 5;
const LOOP_WINDOW: Duration = Duration::from_secs(60);
/// Between two starts in a crash loop, at least; at most twice that. One attempt may start two processes.
const LOOP_PAUSE: Duration = Duration::from_secs(30);
/// A pause of at most this is waited out by calls: they would rather be slow than fail.
const WAITED_OUT: Duration = Duration::from_secs(1);
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
    /// Nobody used it, so its process was ended; this is what it spoke.
    Idle(Eras),
    Failing(Failure),
}

/// Why it does not, and until when nobody should try again.
#[derive(Clone, Debug)]
pub struct Failure {
    pub error: Arc<GatewayError>,
    pub retry_at: Instant,
    /// Its process ended soon after its start, again and again.
    pub crash_loop: bool,
}

impl Failure {
    /// Whether a call need not be tried: the pause is longer than one would wait.
    pub fn is_closed_to_calls(&self, now: Instant) -> bool {
        self.retry_at > now + WAITED_OUT
    }
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
    /// Since when calls or checks fail although it serves.
    pub degraded: Option<Instant>,
    /// Processes of sessions, and how many sessions each serves.
    pub pids: BTreeMap<u32, usize>,
    /// Bad starts that count for the crash loop, the newest last.
    bad_starts: VecDeque<Instant>,
    crash_loop: bool,
}

/// The state of one served definition. Reading whether it is ready is one atomic load.
pub struct Health {
    verdict: watch::Sender<Verdict>,
    ready: AtomicU8,
    failed_calls: AtomicU32,
    sessions: AtomicUsize,
    record: Mutex<Record>,
    /// Failures in a row that count for the backoff: they outlive a short spell of readiness.
    strikes: AtomicU32,
}

impl Health {
    pub fn new(now: Instant) -> Self {
        let record = Record {
            since: now,
            failures: 0,
            last_error: String::new(),
            tools: None,
            degraded: None,
            pids: BTreeMap::new(),
            bad_starts: VecDeque::new(),
            crash_loop: false,
        };
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

    /// The eras, if calls are served: by what is ready, or by what the first call starts.
    pub fn serves(&self) -> Option<Eras> {
        match *self.verdict.borrow() {
            Verdict::Ready(eras) | Verdict::Idle(eras) => Some(eras),
            Verdict::Starting | Verdict::Failing(_) => None,
        }
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
        (record.failures, record.degraded) = (0, None);
        record.last_error.clear();
        record.tools = tools.or(record.tools);
        self.failed_calls.store(0, Ordering::Relaxed);
        self.ready.store(pack(eras), Ordering::Release);
        self.verdict.send_replace(Verdict::Ready(eras));
    }

    /// Its process is ended, as nobody uses it. False if it was not ready.
    pub fn rest(&self, now: Instant) -> bool {
        let mut record = self.lock();
        let Some(eras) = self.ready() else { return false };
        if now.duration_since(record.since) >= STARTED_WELL {
            self.forgive(&mut record);
        }
        (record.since, record.degraded) = (now, None);
        self.ready.store(0, Ordering::Release);
        self.verdict.send_replace(Verdict::Idle(eras));
        true
    }

    /// It does not answer. Returns when to try again. Only a backend that `starts` something can be in a
    /// crash loop: one that is elsewhere is away.
    pub fn failed(&self, error: Arc<GatewayError>, starts: bool, now: Instant) -> Instant {
        let mut record = self.lock();
        let uptime = self.ready().map(|_| now.duration_since(record.since));
        let accident = uptime.is_some_and(|uptime| uptime >= STARTED_WELL);
        if accident {
            self.forgive(&mut record);
        } else if starts {
            record.bad_start(now);
        }
        let retry_at = if accident {
            now
        } else if record.crash_loop {
            now + LOOP_PAUSE + backoff::random_below(LOOP_PAUSE)
        } else {
            let strikes = self.strikes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            now + backoff::full_jitter(strikes, BACKOFF_FIRST, BACKOFF_MAX)
        };
        let crash_loop = record.crash_loop;
        let goes_on =
            matches!(&*self.verdict.borrow(), Verdict::Failing(was) if was.crash_loop == crash_loop);
        if !goes_on {
            record.since = now;
        }
        record.failures = record.failures.saturating_add(1);
        record.degraded = None;
        record.last_error = bounded(error.chain(), ERROR_LEN_MAX);
        self.ready.store(0, Ordering::Release);
        self.verdict.send_replace(Verdict::Failing(Failure { error, retry_at, crash_loop }));
        retry_at
    }

    /// It had started well, so that what came before is no part of a row of failures any more.
    fn forgive(&self, record: &mut Record) {
        self.strikes.store(0, Ordering::Relaxed);
        record.bad_starts.clear();
        record.crash_loop = false;
    }

    /// A call or a check went through. True if that is news.
    pub fn call_succeeded(&self) -> bool {
        if self.failed_calls.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.failed_calls.store(0, Ordering::Relaxed);
        let mut record = self.lock();
        let news = record.degraded.take().is_some();
        if news && self.ready().is_some() {
            record.last_error.clear();
        }
        news
    }

    /// A call or a check could not reach the backend. True if that was one too many.
    pub fn call_failed(&self, error: &GatewayError, now: Instant) -> bool {
        let mut record = self.lock();
        if self.ready().is_some() {
            record.degraded.get_or_insert(now);
            record.last_error = bounded(error.chain(), ERROR_LEN_MAX);
        }
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

impl Record {
    fn bad_start(&mut self, now: Instant) {
        self.bad_starts.push_back(now);
        if self.bad_starts.len() > LOOP_STARTS {
            self.bad_starts.pop_front();
        }
        let full = self.bad_starts.len() == LOOP_STARTS;
        self.crash_loop |=
            full && self.bad_starts.front().is_some_and(|first| now.duration_since(*first) < LOOP_WINDOW);
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

    const SECOND: Duration = Duration::from_secs(1);

    fn error() -> Arc<GatewayError> {
        Arc::new(GatewayError::unreachable("x".repeat(2000)))
    }

    fn loops(health: &Health) -> bool {
        matches!(health.verdict(), Verdict::Failing(failure) if failure.crash_loop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_spell_of_readiness_does_not_reset_the_backoff() {
        let start = Instant::now();
        let health = Health::new(start);
        for _ in 0..9 {
            health.failed(error(), false, start);
            health.succeeded(Eras::MODERN, Some(2), start);
        }
        assert_eq!(health.strikes.load(Ordering::Relaxed), 9);
        assert_eq!(health.record().failures, 0);
        let retry_at = health.failed(error(), false, start + STARTED_WELL);
        assert_eq!(retry_at, start + STARTED_WELL, "a stable backend restarts at once");
    }

    #[tokio::test(start_paused = true)]
    async fn bad_starts_between_good_ones_do_not_add_up() {
        let mut now = Instant::now();
        let health = Health::new(now);
        for _ in 0..20 {
            health.succeeded(Eras::MODERN, None, now);
            let retry_at = health.failed(error(), true, now + SECOND);
            assert!(retry_at <= now + SECOND + BACKOFF_FIRST, "waited {:?}", retry_at - now - SECOND);
            health.succeeded(Eras::MODERN, None, retry_at);
            now = retry_at + 4 * STARTED_WELL;
            assert_eq!(health.failed(error(), true, now), now, "it had started well");
            assert!(!loops(&health));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_came_to_rest_had_started_well() {
        let mut now = Instant::now();
        let health = Health::new(now);
        for _ in 0..20 {
            health.succeeded(Eras::MODERN, None, now);
            health.failed(error(), true, now + SECOND);
            assert!(!loops(&health));
            health.succeeded(Eras::MODERN, None, now + SECOND);
            now += SECOND + STARTED_WELL;
            assert!(health.rest(now));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_bad_starts_within_a_minute_are_a_crash_loop() {
        let start = Instant::now();
        let health = Health::new(start);
        for second in 1..LOOP_STARTS as u32 {
            health.failed(error(), true, start + SECOND * second);
            assert!(!loops(&health), "{second}");
        }
        let now = start + LOOP_WINDOW;
        let retry_at = health.failed(error(), true, now);
        assert!(loops(&health));
        assert!(retry_at >= now + LOOP_PAUSE && retry_at <= now + 2 * LOOP_PAUSE);
        assert_eq!(health.record().since, now, "the loop is a state of its own");
        health.succeeded(Eras::MODERN, None, retry_at);
        health.failed(error(), true, retry_at + SECOND);
        assert!(loops(&health), "one success is no cure");
        health.succeeded(Eras::MODERN, None, retry_at);
        health.failed(error(), true, retry_at + 2 * STARTED_WELL);
        assert!(!loops(&health), "a good start is");
    }

    #[tokio::test(start_paused = true)]
    async fn accidents_and_remote_outages_are_no_crash_loop() {
        let start = Instant::now();
        let (killed, remote) = (Health::new(start), Health::new(start));
        for n in 1..20 {
            let now = start + STARTED_WELL * n;
            let retry_at = killed.failed(error(), true, now);
            assert!(n == 1 || retry_at == now, "started again at once");
            killed.succeeded(Eras::MODERN, None, now);
            remote.failed(error(), false, now);
            assert!(!loops(&killed) && !loops(&remote));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_failures_are_no_crash_loop() {
        let start = Instant::now();
        let health = Health::new(start);
        for n in 0..20 {
            health.failed(error(), true, start + LOOP_WINDOW / 4 * n);
        }
        assert!(!loops(&health));
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
        health.failed(error(), false, now);
        assert_eq!((health.ready(), health.record().last_error.len()), (None, ERROR_LEN_MAX));
        assert_eq!(bounded("äö".into(), 3), "ä");
    }

    #[tokio::test]
    async fn what_rests_serves_and_is_not_ready() {
        let now = Instant::now();
        let health = Health::new(now);
        assert!(!health.rest(now));
        health.succeeded(Eras::MODERN, None, now);
        assert!(health.rest(now));
        assert_eq!((health.ready(), health.serves()), (None, Some(Eras::MODERN)));
    }

    #[tokio::test]
    async fn three_failed_calls_in_a_row_are_too_many() {
        let now = Instant::now();
        let health = Health::new(now);
        health.succeeded(Eras::MODERN, None, now);
        let failed = || health.call_failed(&error(), now);
        assert!(!failed() && !failed());
        assert_eq!(health.record().degraded, Some(now));
        assert!(health.call_succeeded(), "it is news that calls go through again");
        assert!(!health.call_succeeded());
        assert_eq!((health.record().degraded, health.record().last_error.as_str()), (None, ""));
        assert!(!failed() && !failed());
        assert!(failed());
        assert!(!failed(), "told once");
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
