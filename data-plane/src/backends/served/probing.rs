//! A definition's part in its probes: when it is due, and what becomes of the outcome.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use omcp_core::GatewayError;
use tokio::time::Instant;

use super::Served;
use crate::backends::eras::Eras;
use crate::backends::health::Verdict;
use crate::backends::listing::Listed;
use crate::backends::queue::Errand;
use crate::backends::slots::Opened;

/// What a probe brings home.
pub struct Findings {
    pub eras: Eras,
    pub listed: Listed,
    /// The connection of a modern backend that is not HTTP: it becomes the shared lane.
    pub connection: Option<Opened>,
}

impl Served {
    /// Asks for a probe when a worker has time.
    pub fn probe_later(&self) {
        self.shared.queue.push(self.this.clone());
    }

    /// Asks for a probe at once: somebody waits.
    pub(super) fn probe_now(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.shared.queue.push_urgent(self.this.clone(), Errand::Verdict);
        }
    }

    /// Whether the caller is the one to probe it now.
    pub fn begin_probe(&self, now: Instant) -> bool {
        let due = match self.health.verdict() {
            Verdict::Starting => true,
            Verdict::Ready(_) => false,
            Verdict::Idle(_) => self.wanted.load(Ordering::Acquire),
            Verdict::Failing(failure) => failure.retry_at <= now,
        };
        let of_use = !self.retired() || (self.wanted.load(Ordering::Acquire) && !self.life.is_closed());
        let begin = due && of_use && !self.probing.swap(true, Ordering::AcqRel);
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
        let tools = findings.listed.tools();
        self.known_tools.store(Arc::new(findings.listed.known_tools()));
        self.listed(findings.listed);
        let eras = self.with_other_era(findings.eras);
        self.health.succeeded(eras, tools, Instant::now());
        self.changed();
        self.other_era_later(eras);
    }
}
