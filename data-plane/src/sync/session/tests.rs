use std::collections::BTreeMap;

use omcp_core::revision::spec_hash;
use omcp_proto::v1::change::Op;
use omcp_proto::v1::{self, SnapshotChunk, SnapshotPiece};
use prost::Message;

use super::*;

/// A store, and what it would send.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub epoch: Epoch,
    pub revision: Revision,
    pub specs: BTreeMap<String, (Revision, Bytes)>,
}

impl Store {
    pub fn new(epoch: u8) -> Self {
        Self { epoch: Epoch([epoch; 16]), ..Self::default() }
    }

    pub fn with(mut self, revision: Revision, names: &[&str]) -> Self {
        self.revision = revision;
        for name in names {
            let spec = Bytes::from(format!("spec of {name} at {revision}"));
            self.specs.insert((*name).to_owned(), (revision, spec));
        }
        self
    }

    pub fn without(mut self, revision: Revision, names: &[&str]) -> Self {
        self.revision = revision;
        names.iter().for_each(|name| drop(self.specs.remove(*name)));
        self
    }

    pub fn cursor(&self) -> Cursor {
        let mut digest = Digest::default();
        self.specs.iter().for_each(|(name, (_, spec))| digest.add(name, &spec_hash(spec)));
        let digest = digest.to_bytes().to_vec();
        Cursor { epoch: self.epoch.0.to_vec(), revision: self.revision, digest }
    }

    pub fn welcome(&self) -> Body {
        Body::Welcome(Welcome {
            protocol: SYNC_PROTOCOL,
            epoch: self.epoch.0.to_vec(),
            head_revision: self.revision,
            ..Welcome::default()
        })
    }

    pub fn progress(&self) -> Body {
        Body::Progress(Progress { head: Some(self.cursor()) })
    }

    fn puts(&self) -> Vec<Change> {
        let put = |(name, (revision, spec)): (&String, &(Revision, Bytes))| Change {
            revision: *revision,
            name: name.clone(),
            op: Some(Op::Put(spec.clone())),
        };
        self.specs.iter().map(put).collect()
    }

    /// In pieces of two backends.
    pub fn snapshot(&self) -> Vec<Body> {
        let begin = SnapshotBegin { cursor: Some(self.cursor()), count: self.specs.len() as u32 };
        let mut bodies = vec![Body::SnapshotBegin(begin)];
        for piece in self.puts().chunks(2) {
            let piece = SnapshotPiece { changes: piece.to_vec() }.encode_to_vec();
            let zstd = zstd::bulk::compress(&piece, 3).unwrap().into();
            bodies.push(Body::SnapshotChunk(SnapshotChunk { zstd }));
        }
        bodies.push(Body::SnapshotEnd(SnapshotEnd { cursor: Some(self.cursor()) }));
        bodies
    }

    /// What changed since `before`.
    pub fn batch(&self, before: &Self) -> ChangeBatch {
        let mut changes = self.puts();
        changes.retain(|change| change.revision > before.revision);
        for name in before.specs.keys().filter(|name| !self.specs.contains_key(*name)) {
            changes.push(Change { revision: self.revision, name: name.clone(), op: Some(Op::Deleted(true)) });
        }
        ChangeBatch {
            from_revision: before.revision,
            to_revision: self.revision,
            more: false,
            changes,
            digest: self.cursor().digest,
        }
    }
}

fn feed(session: &mut Session, bodies: Vec<Body>) -> Result<Vec<Action>, Fault> {
    bodies.into_iter().filter_map(|body| session.on(body).transpose()).collect()
}

/// A session that holds the store.
fn level(store: &Store) -> Session {
    let mut session = Session::new(None);
    assert_eq!(session.open(), None);
    connect(&mut session, store);
    feed(&mut session, store.snapshot()).unwrap();
    assert_eq!(session.received(), store.cursor());
    session
}

fn connect(session: &mut Session, store: &Store) {
    session.open();
    assert!(matches!(session.on(store.welcome()), Ok(Some(Action::Ack))));
}

fn changes(batch: ChangeBatch) -> Body {
    Body::Changes(batch)
}

fn names(action: &Action) -> Vec<(String, bool)> {
    let Action::Apply(wanted) = action else { panic!("not applied: {action:?}") };
    wanted.iter().map(|wanted| (wanted.name.to_string(), wanted.spec.is_some())).collect()
}

fn fault(session: &mut Session, body: Body) -> Fault {
    let before = session.received();
    let fault = session.on(body).unwrap_err();
    assert_eq!(session.received(), before, "a fault changes nothing that is held");
    fault
}

#[test]
fn a_snapshot_applies_at_its_end_and_a_batch_after_it() {
    let first = Store::new(1).with(5, &["a", "b", "c"]);
    let mut session = Session::new(None);
    connect(&mut session, &first);
    let mut bodies = first.snapshot();
    let end = bodies.pop().unwrap();
    assert!(feed(&mut session, bodies).unwrap().is_empty());
    assert!(session.held().is_empty());
    let action = session.on(end).unwrap().unwrap();
    assert_eq!(names(&action), [("a".into(), true), ("b".into(), true), ("c".into(), true)]);
    let second = first.clone().with(6, &["b", "d"]).without(7, &["a"]);
    let action = session.on(changes(second.batch(&first))).unwrap().unwrap();
    assert_eq!(names(&action), [("b".into(), true), ("d".into(), true), ("a".into(), false)]);
    assert_eq!((session.received(), session.applied_revision()), (second.cursor(), 7));
    assert!(matches!(session.on(second.progress()), Ok(Some(Action::Ack))));
    assert_eq!(session.source(), ResumeSource::Memory);
}

#[test]
fn a_snapshot_is_applied_as_a_difference() {
    let first = Store::new(1).with(5, &["a", "b", "c"]);
    let mut session = level(&first);
    let second = first.clone().with(8, &["c", "d"]).without(9, &["a"]);
    connect(&mut session, &second);
    let actions = feed(&mut session, second.snapshot()).unwrap();
    assert_eq!(names(&actions[0]), [("c".into(), true), ("d".into(), true), ("a".into(), false)]);
}

#[test]
fn a_gap_closes_the_stream() {
    let (one, two, three) = {
        let one = Store::new(1).with(1, &["a"]);
        let two = one.clone().with(2, &["b"]);
        let three = two.clone().with(3, &["c"]);
        (one, two, three)
    };
    let mut session = level(&one);
    assert_eq!(fault(&mut session, changes(three.batch(&two))), Fault::Gap { from: 2, at: 1 });
    connect(&mut session, &three);
    session.on(changes(three.batch(&one))).unwrap();
    assert_eq!(fault(&mut session, changes(two.batch(&one))), Fault::Gap { from: 1, at: 3 });
    assert_eq!(session.open(), Some(three.cursor()), "the cursor is still good");
}

#[test]
fn pieces_of_one_range_apply_together_or_not_at_all() {
    let one = Store::new(1).with(1, &["a"]);
    let two = one.clone().with(2, &["b", "c"]);
    let whole = two.batch(&one);
    let mut first = whole.clone();
    first.more = true;
    let last = ChangeBatch { changes: first.changes.split_off(1), digest: whole.digest.clone(), ..whole };
    first.digest.clear();
    let mut session = level(&one);
    assert!(session.on(changes(first.clone())).unwrap().is_none());
    assert_eq!(session.received(), one.cursor());
    connect(&mut session, &two);
    assert!(session.on(changes(first)).unwrap().is_none(), "a lost stream throws its pieces away");
    let action = session.on(changes(last)).unwrap().unwrap();
    assert_eq!(names(&action), [("b".into(), true), ("c".into(), true)]);
    assert_eq!(session.received(), two.cursor());
}

#[test]
fn a_wrong_digest_asks_for_a_snapshot() {
    let one = Store::new(1).with(1, &["a"]);
    let two = one.clone().with(2, &["b"]);
    let mut session = level(&one);
    let mut batch = two.batch(&one);
    batch.changes.clear();
    assert_eq!(fault(&mut session, changes(batch)), Fault::Digest(2));
    assert_eq!(session.open(), None, "resuming would repeat it");
    connect(&mut session, &two);
    let actions = feed(&mut session, two.snapshot()).unwrap();
    assert_eq!(names(&actions[0]), [("b".into(), true)], "what runs is compared with, not dropped");
    assert_eq!(session.open(), Some(two.cursor()));
    let mut lying = two.clone();
    lying.specs.clear();
    connect(&mut session, &two);
    assert_eq!(fault(&mut session, lying.progress()), Fault::Digest(2));
}

#[test]
fn a_snapshot_that_does_not_prove_itself_changes_nothing() {
    let one = Store::new(1).with(1, &["a"]);
    let two = one.clone().with(2, &["b", "c", "d"]);
    let mut session = level(&one);
    let broken: [fn(&mut Vec<Body>); 3] = [
        |bodies| drop(bodies.remove(1)),
        |bodies| {
            let again = bodies[1].clone();
            bodies[2] = again;
        },
        |bodies| bodies[1] = Body::SnapshotChunk(SnapshotChunk { zstd: Bytes::from_static(b"noise") }),
    ];
    for broken in broken {
        connect(&mut session, &two);
        let mut bodies = two.snapshot();
        broken(&mut bodies);
        feed(&mut session, bodies).unwrap_err();
        assert_eq!(session.received(), one.cursor());
    }
}

#[test]
fn nothing_goes_backwards_within_an_epoch() {
    let one = Store::new(1).with(1, &["a"]);
    let two = one.clone().with(2, &["b"]);
    let mut session = level(&two);
    assert_eq!(fault(&mut session, one.progress()), Fault::Behind { head: 1, at: 2 });
    connect(&mut session, &one);
    assert_eq!(fault(&mut session, one.snapshot().remove(0)), Fault::Behind { head: 1, at: 2 });
}

#[test]
fn another_epoch_needs_a_snapshot_of_it() {
    let one = Store::new(1).with(7, &["a"]);
    let other = Store::new(2).with(7, &["a"]);
    let mut session = level(&one);
    connect(&mut session, &other);
    let next = one.clone().with(8, &["b"]);
    assert!(matches!(fault(&mut session, changes(next.batch(&one))), Fault::OutOfTurn(_)));
    assert!(matches!(fault(&mut session, one.snapshot().remove(0)), Fault::OutOfTurn(_)));
    // A smaller revision of another epoch is no step back.
    let restored = Store::new(2).with(3, &["a", "b"]);
    connect(&mut session, &restored);
    let actions = feed(&mut session, restored.snapshot()).unwrap();
    assert_eq!(names(&actions[0]), [("a".into(), true), ("b".into(), true)]);
}

#[test]
fn an_empty_store_of_another_epoch_is_held_back_until_a_person_agrees() {
    let one = Store::new(1).with(5, &["a", "b", "c"]);
    let empty = Store::new(2).with(1, &[]);
    let mut session = level(&one);
    connect(&mut session, &empty);
    let actions = feed(&mut session, empty.snapshot()).unwrap();
    assert!(matches!(actions[..], [Action::Ack]));
    assert!(session.holds_back());
    assert_eq!((session.received(), session.applied_revision()), (empty.cursor(), 0));
    assert_eq!(session.held().cursor(), one.cursor(), "what is served stays");
    assert!(matches!(session.on(empty.progress()), Ok(Some(Action::Ack))));
    // A new stream resumes from what is served, says no more than that, and brings it again.
    assert_eq!(session.open(), Some(one.cursor()));
    connect(&mut session, &empty);
    assert_eq!((session.received(), session.holds_back()), (one.cursor(), false));
    feed(&mut session, empty.snapshot()).unwrap();
    assert!(session.holds_back());
    let next = empty.clone().with(2, &["z"]);
    assert!(matches!(session.on(changes(next.batch(&empty))), Ok(Some(Action::Ack))));
    let accept = v1::Directive { directive: Some(Directive::AcceptMassRemoval(true)) };
    let action = session.on(Body::Directive(accept)).unwrap().unwrap();
    let removed = ["a", "b", "c"].map(|name| (name.to_owned(), false));
    assert_eq!(names(&action), [[("z".to_owned(), true)].as_slice(), &removed].concat());
    assert_eq!(
        (session.received(), session.applied_revision(), session.holds_back()),
        (next.cursor(), 2, false)
    );
    assert!(session.on(Body::Directive(accept)).unwrap().is_none(), "nothing is held back any more");
}

#[test]
fn a_held_removal_that_becomes_harmless_goes_on_by_itself() {
    let one = Store::new(1).with(5, &["a", "b"]);
    let empty = Store::new(2).with(1, &[]);
    let mut session = level(&one);
    connect(&mut session, &empty);
    feed(&mut session, empty.snapshot()).unwrap();
    let refilled = empty.clone().with(2, &["a", "b"]);
    let action = session.on(changes(refilled.batch(&empty))).unwrap().unwrap();
    assert_eq!(names(&action), [("a".into(), true), ("b".into(), true)]);
    assert!(!session.holds_back());
}

#[test]
fn half_may_go_and_a_deletion_within_an_epoch_is_never_held_back() {
    let one = Store::new(1).with(5, &["a", "b"]);
    let half = Store::new(2).with(1, &["a"]);
    let mut session = level(&one);
    connect(&mut session, &half);
    feed(&mut session, half.snapshot()).unwrap();
    assert!(!session.holds_back());
    let none = half.clone().without(2, &["a"]);
    session.on(changes(none.batch(&half))).unwrap();
    assert!(session.held().is_empty() && !session.holds_back());
}

#[test]
fn names_that_this_build_does_not_know_are_held_proven_and_rejected() {
    let one = Store::new(1).with(1, &["a", "Not A Name"]);
    let mut session = level(&one);
    assert_eq!(session.held().len(), 2);
    let rejected = session.held().rejections();
    assert_eq!((rejected.len(), rejected[0].backend.as_str()), (1, "Not A Name"));
    let two = one.clone().without(2, &["Not A Name"]);
    let action = session.on(changes(two.batch(&one))).unwrap().unwrap();
    assert!(names(&action).is_empty());
    assert!(session.held().rejections().is_empty());
}

#[test]
fn everything_out_of_turn_is_refused() {
    let one = Store::new(1).with(1, &["a", "b"]);
    let mut fresh = Session::new(None);
    fresh.open();
    for body in one.snapshot().into_iter().chain([one.progress()]) {
        fault(&mut fresh, body);
    }
    fresh.on(one.welcome()).unwrap();
    assert!(matches!(fault(&mut fresh, one.welcome()), Fault::OutOfTurn(_)));
    assert!(matches!(fault(&mut fresh, changes(one.batch(&Store::new(1)))), Fault::OutOfTurn(_)));
    let foreign = Welcome { protocol: 2, epoch: vec![1; 16], ..Welcome::default() };
    fresh.open();
    assert_eq!(fault(&mut fresh, Body::Welcome(foreign)), Fault::Protocol(2));
    let mut session = level(&one);
    session.on(one.snapshot().remove(0)).unwrap();
    let next = one.clone().with(2, &["c"]);
    assert!(matches!(fault(&mut session, changes(next.batch(&one))), Fault::OutOfTurn(_)));
}

#[test]
fn directives_hang_up() {
    let mut session = level(&Store::new(1).with(1, &["a"]));
    let reconnect = v1::Directive { directive: Some(Directive::ReconnectWithinMs(250)) };
    assert!(matches!(session.on(Body::Directive(reconnect)), Ok(Some(Action::Reconnect(250)))));
    let resync = v1::Directive { directive: Some(Directive::Resync(true)) };
    assert!(matches!(session.on(Body::Directive(resync)), Ok(Some(Action::Resync))));
    assert_eq!(session.open(), None);
}

#[test]
fn a_drain_is_remembered_over_streams_and_taken_back() {
    let mut session = level(&Store::new(1).with(1, &["a"]));
    let drain = |drain| Body::Directive(v1::Directive { directive: Some(Directive::Drain(drain)) });
    assert!(matches!(session.on(drain(true)), Ok(Some(Action::Ack))));
    session.open();
    assert!(session.is_drained(), "another stream changes nothing");
    session.on(drain(false)).unwrap();
    assert!(!session.is_drained());
}

#[test]
fn what_a_file_held_is_resumed_from() {
    let one = Store::new(1).with(4, &["a"]);
    let mut session = Session::new(Some(level(&one).held().clone()));
    assert_eq!((session.source(), session.open()), (ResumeSource::Disk, Some(one.cursor())));
}
