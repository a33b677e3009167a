//! [`Session`]: what each message of a control plane does to what a node holds. Pure: no I/O, no clock.
//!
//! The rules: a batch applies only where it was cut; pieces of one range apply together; a snapshot
//! replaces what is held only at its verified end; within an epoch nothing goes backwards; and a new
//! epoch that would remove most of what runs is held back until a person agrees.

use bytes::Bytes;
use omcp_core::{Digest, Epoch, Revision};
use omcp_proto::v1::directive::Directive;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{
    Change, ChangeBatch, Cursor, EndedSessions, Keyring, Members, Progress, ResumeSource, SnapshotBegin,
    SnapshotEnd, Welcome,
};
use omcp_proto::{MESSAGE_LEN_MAX, SYNC_PROTOCOL};

use super::held::{Held, Mismatch, read_piece};
use crate::backends::Wanted;
use crate::members::keys;

/// Changes of one range that are held until its last piece: the largest transaction of a store, with room.
const PENDING_MAX: usize = 100_000;

/// What the owner of the stream has to do.
#[derive(Debug)]
pub enum Action {
    /// Make the backends so, then tell the new cursor.
    Apply(Vec<Wanted>),
    /// Nothing to apply; tell where the node stands.
    Ack,
    /// Take the keys of the fleet, then tell that they are known.
    Keyring(Keyring),
    /// Take the list of nodes.
    Members(Members),
    /// No longer open these anew.
    Ended(EndedSessions),
    /// Hang up, and come back after a random wait of up to so many milliseconds.
    Reconnect(u32),
    /// Hang up, and ask for a snapshot.
    Resync,
}

/// Why a stream is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(
        "the control plane speaks sync protocol {0}, this node {SYNC_PROTOCOL}: update the older of them"
    )]
    Protocol(u32),
    #[error("the control plane sent {0} out of turn")]
    OutOfTurn(&'static str),
    #[error("the control plane sent {0} that cannot be read")]
    Unreadable(&'static str),
    #[error("a batch starts at revision {from}, but this node stands at {at}")]
    Gap { from: Revision, at: Revision },
    #[error("the control plane stands at revision {head}, behind this node at {at}")]
    Behind { head: Revision, at: Revision },
    #[error("what was received does not have the digest that was announced for revision {0}")]
    Digest(Revision),
    #[error("the snapshot holds {got} backends instead of {want}")]
    Count { got: usize, want: usize },
}

impl Fault {
    /// Whether only a whole snapshot heals it.
    fn needs_snapshot(&self) -> bool {
        matches!(self, Self::Digest(_))
    }
}

/// A snapshot on its way.
struct Staging {
    held: Held,
    count: usize,
    digest: Digest,
}

/// Everything a node knows of the store, over all its streams.
pub struct Session {
    held: Held,
    source: ResumeSource,
    /// The other epoch's content that waits for a person's consent.
    withheld: Option<Held>,
    resync: bool,
    /// Somebody took the node out of service.
    drained: bool,
    /// Fingerprint of the keyring.
    keyring: u64,
    // Of the present stream only:
    epoch: Option<Epoch>,
    staging: Option<Staging>,
    pending: Vec<ChangeBatch>,
}

impl Session {
    /// Starts from what a file held, or from nothing.
    pub fn new(held: Option<Held>) -> Self {
        let source = if held.is_some() { ResumeSource::Disk } else { ResumeSource::None };
        Self {
            held: held.unwrap_or_default(),
            source,
            withheld: None,
            resync: false,
            drained: false,
            keyring: 0,
            epoch: None,
            staging: None,
            pending: Vec::new(),
        }
    }

    pub fn held(&self) -> &Held {
        &self.held
    }

    pub fn source(&self) -> ResumeSource {
        self.source
    }

    /// Whether somebody took the node out of service.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Fingerprint of the keyring that was received; 0 is none.
    pub fn keyring(&self) -> u64 {
        self.keyring
    }

    /// Whether a removal is held back.
    pub fn holds_back(&self) -> bool {
        self.withheld.is_some()
    }

    /// What has been received: what is held back counts.
    pub fn received(&self) -> Cursor {
        self.withheld.as_ref().unwrap_or(&self.held).cursor()
    }

    /// What is applied, as a revision of the epoch that [`Session::received`] names.
    pub fn applied_revision(&self) -> Revision {
        if self.holds_back() { 0 } else { self.held.revision }
    }

    /// A new stream begins. Returns the cursor to resume from.
    pub fn open(&mut self) -> Option<Cursor> {
        // What was held back is not resumed from, so it comes again if it still stands.
        (self.epoch, self.staging, self.withheld) = (None, None, None);
        self.pending.clear();
        let resume = self.held.epoch != Epoch::default() && !self.resync;
        resume.then(|| self.held.cursor())
    }

    /// Takes one message.
    ///
    /// # Errors
    /// The stream has to be closed. What is held is as it was.
    pub fn on(&mut self, body: Body) -> Result<Option<Action>, Fault> {
        let outcome = match body {
            Body::Welcome(welcome) => self.welcome(&welcome).map(Some),
            Body::SnapshotBegin(begin) => self.begin(&begin).map(|()| None),
            Body::SnapshotChunk(chunk) => self.stage(&chunk.zstd).map(|()| None),
            Body::SnapshotEnd(end) => self.end(&end).map(Some),
            Body::Changes(batch) => self.batch(batch),
            Body::Progress(progress) => self.progress(&progress).map(Some),
            // About what runs, not about what is held.
            Body::Listings(_) => Ok(None),
            Body::Keyring(keyring) => self.keys(keyring).map(Some),
            Body::Members(members) => Ok(Some(Action::Members(members))),
            Body::Ended(ended) => Ok(Some(Action::Ended(ended))),
            Body::Directive(directive) => Ok(directive.directive.and_then(|directive| self.obey(directive))),
        };
        if outcome.as_ref().is_err_and(Fault::needs_snapshot) {
            self.resync = true;
        }
        outcome
    }

    fn welcome(&mut self, welcome: &Welcome) -> Result<Action, Fault> {
        if self.epoch.is_some() {
            return Err(Fault::OutOfTurn("a second welcome"));
        }
        if welcome.protocol != SYNC_PROTOCOL {
            return Err(Fault::Protocol(welcome.protocol));
        }
        let epoch = Epoch::from_slice(&welcome.epoch).ok_or(Fault::Unreadable("an epoch"))?;
        self.epoch = Some(epoch);
        Ok(Action::Ack)
    }

    fn begin(&mut self, begin: &SnapshotBegin) -> Result<(), Fault> {
        let (epoch, revision, digest) = read_cursor(begin.cursor.as_ref())?;
        self.check_epoch(epoch, "a snapshot of another epoch")?;
        if epoch == self.held.epoch && revision < self.held.revision {
            return Err(Fault::Behind { head: revision, at: self.held.revision });
        }
        if self.staging.is_some() || !self.pending.is_empty() {
            return Err(Fault::OutOfTurn("a snapshot within another message"));
        }
        self.staging =
            Some(Staging { held: Held::empty(epoch, revision), count: begin.count as usize, digest });
        Ok(())
    }

    fn stage(&mut self, zstd: &Bytes) -> Result<(), Fault> {
        let staging = self.staging.as_mut().ok_or(Fault::OutOfTurn("a piece of no snapshot"))?;
        let piece = read_piece(zstd, MESSAGE_LEN_MAX).map_err(|_| Fault::Unreadable("a snapshot piece"))?;
        for change in piece.changes {
            staging.held.put(change).map_err(|_| Fault::Unreadable("a change"))?;
        }
        let got = staging.held.len();
        if got > staging.count { Err(Fault::Count { got, want: staging.count }) } else { Ok(()) }
    }

    fn end(&mut self, end: &SnapshotEnd) -> Result<Action, Fault> {
        let staging = self.staging.take().ok_or(Fault::OutOfTurn("the end of no snapshot"))?;
        let (epoch, revision, digest) = read_cursor(end.cursor.as_ref())?;
        let Staging { held, count, digest: announced } = staging;
        if held.len() != count {
            return Err(Fault::Count { got: held.len(), want: count });
        }
        if (epoch, revision) != (held.epoch, held.revision) || digest != announced || digest != held.digest {
            return Err(Fault::Digest(held.revision));
        }
        self.resync = false;
        Ok(self.adopt(held))
    }

    /// Makes `next` what is held, unless it is another epoch that would remove most of what runs.
    fn adopt(&mut self, next: Held) -> Action {
        if next.epoch != self.held.epoch && removes_most(&self.held, &next) {
            self.withheld = Some(next);
            return Action::Ack;
        }
        self.replace(next)
    }

    fn replace(&mut self, next: Held) -> Action {
        let steps = self.held.steps_to(&next);
        (self.held, self.withheld, self.source) = (next, None, ResumeSource::Memory);
        Action::Apply(steps)
    }

    fn batch(&mut self, batch: ChangeBatch) -> Result<Option<Action>, Fault> {
        let at = self.withheld.as_ref().unwrap_or(&self.held);
        let (epoch, at) = (at.epoch, at.revision);
        self.check_epoch(epoch, "changes without a snapshot of their epoch")?;
        if self.staging.is_some() {
            return Err(Fault::OutOfTurn("changes within a snapshot"));
        }
        if batch.from_revision != at || batch.to_revision < at {
            return Err(Fault::Gap { from: batch.from_revision, at });
        }
        let more = batch.more;
        self.pending.push(batch);
        let held_back: usize = self.pending.iter().map(|piece| piece.changes.len()).sum();
        if held_back > PENDING_MAX {
            return Err(Fault::OutOfTurn("more changes at once than a store may hold"));
        }
        if more { Ok(None) } else { self.complete().map(Some) }
    }

    /// All pieces of a range have come.
    fn complete(&mut self) -> Result<Action, Fault> {
        let pieces = std::mem::take(&mut self.pending);
        let to_revision = pieces.last().map_or(0, |piece| piece.to_revision);
        if pieces.iter().any(|piece| piece.to_revision != to_revision) {
            return Err(Fault::OutOfTurn("pieces of different ranges"));
        }
        let digest = pieces.last().and_then(|piece| Digest::from_slice(&piece.digest));
        let digest = digest.ok_or(Fault::Unreadable("a digest"))?;
        let changes: Vec<_> = pieces.into_iter().flat_map(|piece| piece.changes).collect();
        match self.withheld.take() {
            Some(withheld) => self.advance_withheld(withheld, changes, to_revision, digest),
            None => self.advance(changes, to_revision, digest),
        }
    }

    fn advance(&mut self, changes: Vec<Change>, to: Revision, digest: Digest) -> Result<Action, Fault> {
        let names: Vec<_> = changes.iter().map(|change| change.name.clone()).collect();
        self.held.advance(changes, to, digest).map_err(|mismatch| mismatched(mismatch, to))?;
        self.source = ResumeSource::Memory;
        Ok(Action::Apply(self.held.wanted(names.iter().map(String::as_str))))
    }

    /// What is held back follows the stream too; it may become harmless by that.
    fn advance_withheld(
        &mut self,
        mut withheld: Held,
        changes: Vec<Change>,
        to: Revision,
        digest: Digest,
    ) -> Result<Action, Fault> {
        match withheld.advance(changes, to, digest) {
            Ok(()) => Ok(self.adopt(withheld)),
            Err(mismatch) => {
                self.withheld = Some(withheld);
                Err(mismatched(mismatch, to))
            }
        }
    }

    fn progress(&mut self, progress: &Progress) -> Result<Action, Fault> {
        let (epoch, head, digest) = read_cursor(progress.head.as_ref())?;
        self.check_epoch(epoch, "the progress of another epoch")?;
        let at = self.withheld.as_ref().unwrap_or(&self.held);
        if at.epoch != epoch || head > at.revision {
            return Ok(Action::Ack);
        }
        if head < at.revision {
            return Err(Fault::Behind { head, at: at.revision });
        }
        if digest == at.digest { Ok(Action::Ack) } else { Err(Fault::Digest(head)) }
    }

    fn keys(&mut self, keyring: Keyring) -> Result<Action, Fault> {
        if !keys::is_readable(&keyring) {
            return Err(Fault::Unreadable("a keyring"));
        }
        self.keyring = keyring.fingerprint;
        Ok(Action::Keyring(keyring))
    }

    fn obey(&mut self, directive: Directive) -> Option<Action> {
        match directive {
            Directive::ReconnectWithinMs(spread_ms) => Some(Action::Reconnect(spread_ms)),
            Directive::AcceptMassRemoval(_) => self.withheld.take().map(|withheld| self.replace(withheld)),
            Directive::Drain(drain) => {
                tracing::info!(drain, "the node is taken out of service, or back");
                self.drained = drain;
                Some(Action::Ack)
            }
            Directive::Resync(_) => {
                self.resync = true;
                Some(Action::Resync)
            }
        }
    }

    fn check_epoch(&self, epoch: Epoch, what: &'static str) -> Result<(), Fault> {
        if self.epoch == Some(epoch) { Ok(()) } else { Err(Fault::OutOfTurn(what)) }
    }
}

fn removes_most(have: &Held, want: &Held) -> bool {
    have.removals_to(want) * 2 > have.len()
}

fn mismatched(mismatch: Mismatch, revision: Revision) -> Fault {
    match mismatch {
        Mismatch::UnknownChange => Fault::Unreadable("a change"),
        Mismatch::Digest => Fault::Digest(revision),
    }
}

fn read_cursor(cursor: Option<&Cursor>) -> Result<(Epoch, Revision, Digest), Fault> {
    let read = |cursor: &Cursor| {
        Some((Epoch::from_slice(&cursor.epoch)?, cursor.revision, Digest::from_slice(&cursor.digest)?))
    };
    cursor.and_then(read).ok_or(Fault::Unreadable("a cursor"))
}

#[cfg(test)]
pub(crate) mod tests;
