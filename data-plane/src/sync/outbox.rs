//! [`Outbox`]: what is still to be said on one stream. At most one ack waits: it is written when there is
//! room for it, and then tells the newest.

use std::collections::VecDeque;

use omcp_core::{Epoch, Revision};
use omcp_proto::v1::sync_request::Body;
use omcp_proto::v1::{Ack, EndedSessions, Rejection, StatusReport};

use super::session::Session;

/// Rejections told in one ack; the count tells of the rest.
const REJECTIONS_MAX: usize = 256;

/// For one stream: a new one knows nothing of what an older one was told.
#[derive(Default)]
pub struct Outbox {
    ack_due: bool,
    told: Option<Vec<Rejection>>,
    reports: VecDeque<StatusReport>,
    ended: Option<EndedSessions>,
}

/// What an ack is made of, besides the session.
pub struct Facts<'a> {
    pub rejections: &'a [Rejection],
    pub persisted: (Epoch, Revision),
}

impl Outbox {
    pub fn ack(&mut self) {
        self.ack_due = true;
    }

    pub fn report(&mut self, reports: Vec<StatusReport>) {
        self.reports.extend(reports);
    }

    pub fn end(&mut self, ended: EndedSessions) {
        self.ended = Some(ended);
    }

    /// Whether sessions that ended wait to be told.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether the last report has left.
    pub fn has_reported(&self) -> bool {
        self.reports.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        !self.ack_due && self.reports.is_empty() && self.ended.is_none()
    }

    /// The next thing to say; acks first.
    pub fn next(&mut self, session: &Session, facts: &Facts<'_>) -> Option<Body> {
        if std::mem::take(&mut self.ack_due) {
            return Some(Body::Ack(self.write_ack(session, facts)));
        }
        self.ended.take().map(Body::Ended).or_else(|| self.reports.pop_front().map(Body::Status))
    }

    fn write_ack(&mut self, session: &Session, facts: &Facts<'_>) -> Ack {
        let mut rejected = session.held().rejections();
        rejected.extend_from_slice(facts.rejections);
        let count = rejected.len();
        rejected.truncate(REJECTIONS_MAX);
        let changed = self.told.as_ref() != Some(&rejected);
        if changed {
            self.told = Some(rejected.clone());
        }
        let received = session.received();
        let (epoch, persisted) = facts.persisted;
        Ack {
            persisted_revision: if epoch.0[..] == received.epoch[..] { persisted } else { 0 },
            received: Some(received),
            applied_revision: session.applied_revision(),
            rejected_changed: changed,
            rejected: if changed { rejected } else { Vec::new() },
            rejected_count: u32::try_from(count).unwrap_or(u32::MAX),
            held_mass_removal: session.holds_back(),
            drained: session.is_drained(),
            keyring: session.keyring(),
        }
    }
}
