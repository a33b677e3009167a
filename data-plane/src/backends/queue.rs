//! [`ProbeQueue`]: what is to be probed next. Calls that wait come first, then what is due again, then
//! what nobody has asked for yet.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::Instant;

/// What a worker is to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Whether the backend answers, and in which era.
    Verdict,
    /// Whether a modern backend speaks the legacy era as well.
    OtherEra,
    /// A new shared connection instead of an old one.
    Renewal,
    /// Whether a ready backend is still there.
    Check,
    /// What a ready backend lists.
    Listing,
}

/// One thing to do. The subject may be gone by the time it is taken.
pub struct Job<T> {
    pub subject: Weak<T>,
    pub errand: Errand,
}

/// A queue for a few workers. Holds at most a few jobs per subject.
pub struct ProbeQueue<T> {
    lines: Mutex<Lines<T>>,
    bell: Notify,
}

struct Lines<T> {
    urgent: VecDeque<Job<T>>,
    delayed: BinaryHeap<Reverse<Delayed<T>>>,
    waiting: VecDeque<Job<T>>,
    idle: VecDeque<Job<T>>,
}

struct Delayed<T> {
    due: Instant,
    subject: Weak<T>,
}

impl<T> PartialEq for Delayed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<T> Eq for Delayed<T> {}

impl<T> PartialOrd for Delayed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Delayed<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl<T> Default for ProbeQueue<T> {
    fn default() -> Self {
        let lines = Lines {
            urgent: VecDeque::new(),
            delayed: BinaryHeap::new(),
            waiting: VecDeque::new(),
            idle: VecDeque::new(),
        };
        Self { lines: Mutex::new(lines), bell: Notify::new() }
    }
}

impl<T> ProbeQueue<T> {
    /// A call waits for this.
    pub fn push_urgent(&self, subject: Weak<T>, errand: Errand) {
        self.lock().urgent.push_back(Job { subject, errand });
        self.bell.notify_one();
    }

    /// Nobody waits for this yet.
    pub fn push(&self, subject: Weak<T>) {
        self.lock().waiting.push_back(Job { subject, errand: Errand::Verdict });
        self.bell.notify_one();
    }

    /// When there is nothing else to do.
    pub fn push_idle(&self, subject: Weak<T>, errand: Errand) {
        self.lock().idle.push_back(Job { subject, errand });
        self.bell.notify_one();
    }

    /// Not before `due`.
    pub fn push_at(&self, due: Instant, subject: Weak<T>) {
        self.lock().delayed.push(Reverse(Delayed { due, subject }));
        self.bell.notify_one();
    }

    /// Waits for the next job. Cancel safe.
    pub async fn next(&self) -> Job<T> {
        loop {
            let mut bell = std::pin::pin!(self.bell.notified());
            // From here on no ring is missed.
            bell.as_mut().enable();
            match self.pop(Instant::now()) {
                Ok(job) => return job,
                Err(None) => bell.await,
                Err(Some(due)) => {
                    tokio::select! {
                        () = bell => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
            }
        }
    }

    /// The next job, or when the next delayed one is due.
    fn pop(&self, now: Instant) -> Result<Job<T>, Option<Instant>> {
        let mut lines = self.lock();
        if let Some(job) = lines.urgent.pop_front() {
            return Ok(job);
        }
        let due = lines.delayed.peek().map(|Reverse(next)| next.due);
        if due.is_some_and(|due| due <= now)
            && let Some(Reverse(next)) = lines.delayed.pop()
        {
            return Ok(Job { subject: next.subject, errand: Errand::Verdict });
        }
        lines.waiting.pop_front().or_else(|| lines.idle.pop_front()).ok_or(due)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines<T>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_first_then_due_then_new_then_idle() {
        let queue = ProbeQueue::default();
        let items: Vec<_> = (0..5).map(Arc::new).collect();
        let weak = |n: usize| Arc::downgrade(&items[n]);
        queue.push_idle(weak(4), Errand::OtherEra);
        queue.push(weak(2));
        queue.push(weak(3));
        queue.push_at(Instant::now(), weak(1));
        queue.push_urgent(weak(0), Errand::Verdict);
        for want in 0..5 {
            let job = queue.next().await;
            assert_eq!(job.subject.upgrade().map(|item| *item), Some(want));
            assert_eq!(job.errand == Errand::OtherEra, want == 4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_jobs_come_when_due_and_pushes_wake() {
        let queue = Arc::new(ProbeQueue::default());
        let (late, new) = (Arc::new("late"), Arc::new("new"));
        let start = Instant::now();
        queue.push_at(start + Duration::from_secs(5), Arc::downgrade(&late));
        let worker = tokio::spawn({
            let queue = queue.clone();
            async move { (queue.next().await.subject.upgrade(), queue.next().await.subject.upgrade()) }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        queue.push(Arc::downgrade(&new));
        assert_eq!(worker.await.unwrap(), (Some(new.clone()), Some(late.clone())));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
