//! What is inside tokens, as compact bytes. Who opens one has sealed it, but perhaps as another version of
//! this program: what cannot be read is as good as no token.

use crate::bridge::state::Fingerprint;
use crate::revision::Revision;

/// Tells the nodes of a fleet apart: the start of a hash of the name. A restarted node has the same one, and
/// knows none of the handles of its life before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeTag([u8; 8]);

impl NodeTag {
    pub fn of(name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        Self(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Names one thing on the node that keeps it.
pub type HandleId = [u8; 16];

/// What a session id stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Session {
    /// A session of an HTTP server, by the id it gave. No node keeps anything of it.
    Upstream { id: String },
    /// A session that lives on a node.
    Kept(Kept),
}

/// A session that lives on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    pub owner: NodeTag,
    pub id: HandleId,
    pub revision: Revision,
    /// The parameters of its client's `initialize`, if any node may open it anew; else empty.
    pub seed: Vec<u8>,
}

/// What a `requestState` stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestState {
    /// A call that waits on a node.
    Kept { owner: NodeTag, id: HandleId },
    /// Nobody remembers the call: it is sent again, by any node.
    Resend { request: Fingerprint },
    /// A state of a modern server, by the text it gave, and the request that it is for.
    Upstream { request: Fingerprint, state: String },
}

/// What a `cursor` into a list of a legacy server stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Tells the list and the kind of lane apart: another one may list something else.
    pub scope: [u8; 16],
    /// The server's own.
    pub text: String,
}

/// What a `taskId` stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// A task of a legacy server, on a lane that lives on a node.
    Kept { owner: NodeTag, id: HandleId },
    /// A task of a modern server, by the id it gave. Any node can ask for it.
    Upstream { id: String },
    /// The result of a call that needed no task, kept in the session that asked for one.
    Own { session: HandleId, number: u64, created_ms: u64 },
}

impl Session {
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Upstream { id } => [b"u", id.as_bytes()].concat(),
            Self::Kept(Kept { owner, id, revision, seed }) => {
                let revision = Revision::ALL.iter().position(|other| other == revision).unwrap_or_default();
                [&b"k"[..], owner.as_bytes(), id, &[revision as u8], seed].concat()
            }
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            b'u' => Some(Self::Upstream { id: std::str::from_utf8(rest).ok()?.to_owned() }),
            b'k' => {
                let (owner, id, rest) = kept(rest)?;
                let (revision, seed) = rest.split_first()?;
                let revision = *Revision::ALL.get(usize::from(*revision))?;
                Some(Self::Kept(Kept { owner, id, revision, seed: seed.to_vec() }))
            }
            _ => None,
        }
    }
}

impl RequestState {
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Kept { owner, id } => [&b"k"[..], owner.as_bytes(), id].concat(),
            Self::Resend { request } => [&b"r"[..], request.as_bytes()].concat(),
            Self::Upstream { request, state } => [&b"u"[..], request.as_bytes(), state.as_bytes()].concat(),
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            b'k' => {
                kept(rest).filter(|(.., rest)| rest.is_empty()).map(|(owner, id, _)| Self::Kept { owner, id })
            }
            b'r' => Some(Self::Resend { request: Fingerprint::from_bytes(rest.try_into().ok()?) }),
            b'u' => {
                let (request, state) = rest.split_first_chunk()?;
                let state = std::str::from_utf8(state).ok()?.to_owned();
                Some(Self::Upstream { request: Fingerprint::from_bytes(*request), state })
            }
            _ => None,
        }
    }
}

impl Cursor {
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.scope, self.text.as_bytes()].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (scope, text) = bytes.split_first_chunk()?;
        Some(Self { scope: *scope, text: std::str::from_utf8(text).ok()?.to_owned() })
    }
}

impl Task {
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Kept { owner, id } => [&b"k"[..], owner.as_bytes(), id].concat(),
            Self::Upstream { id } => [b"u", id.as_bytes()].concat(),
            Self::Own { session, number, created_ms } => {
                [&b"o"[..], session, &number.to_le_bytes(), &created_ms.to_le_bytes()].concat()
            }
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            b'k' => {
                kept(rest).filter(|(.., rest)| rest.is_empty()).map(|(owner, id, _)| Self::Kept { owner, id })
            }
            b'u' => Some(Self::Upstream { id: std::str::from_utf8(rest).ok()?.to_owned() }),
            b'o' => {
                let (session, rest) = rest.split_first_chunk()?;
                let (number, rest) = rest.split_first_chunk()?;
                let created = rest.try_into().ok()?;
                Some(Self::Own {
                    session: *session,
                    number: u64::from_le_bytes(*number),
                    created_ms: u64::from_le_bytes(created),
                })
            }
            _ => None,
        }
    }
}

fn kept(bytes: &[u8]) -> Option<(NodeTag, HandleId, &[u8])> {
    let (owner, rest) = bytes.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    Some((NodeTag(*owner), *id, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_survive_their_travel() {
        let (owner, id) = (NodeTag::of("n"), [2; 16]);
        for session in [
            Session::Upstream { id: "an id of theirs".to_owned() },
            Session::Kept(Kept { owner, id, revision: Revision::V2025_06_18, seed: vec![] }),
            Session::Kept(Kept { owner, id, revision: Revision::LATEST, seed: b"{}".to_vec() }),
        ] {
            assert_eq!(Session::from_bytes(&session.to_bytes()), Some(session));
        }
        let request = Fingerprint::from_bytes([3; 32]);
        let theirs = RequestState::Upstream { request, state: "theirs".to_owned() };
        for state in [RequestState::Kept { owner, id }, RequestState::Resend { request }, theirs] {
            assert_eq!(RequestState::from_bytes(&state.to_bytes()), Some(state));
        }
        for task in [
            Task::Kept { owner, id },
            Task::Upstream { id: "an id of theirs".to_owned() },
            Task::Own { session: id, number: 7, created_ms: 1 << 50 },
        ] {
            assert_eq!(Task::from_bytes(&task.to_bytes()), Some(task));
        }
    }

    #[test]
    fn a_cursor_survives_its_travel() {
        let cursor = Cursor { scope: [4; 16], text: "theirs".to_owned() };
        assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), Some(cursor));
        assert_eq!(Cursor::from_bytes(&[4; 15]), None);
        assert_eq!(Cursor::from_bytes(&[0xff; 17]), None);
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let kept = Kept { owner: NodeTag::of("n"), id: [2; 16], revision: Revision::LATEST, seed: vec![] };
        let kept = Session::Kept(kept).to_bytes();
        for bytes in [&b""[..], b"x", b"k", b"u\xff", &kept[..20], &[&kept[..25], b"\x09"].concat()] {
            assert_eq!(Session::from_bytes(bytes), None, "{bytes:?}");
        }
        for bytes in [&b""[..], b"k1", b"r", b"u", &kept] {
            assert_eq!(RequestState::from_bytes(bytes), None, "{bytes:?}");
        }
        for bytes in [&b""[..], b"x", b"k1", b"u\xff", b"o", &[b'o'; 34]] {
            assert_eq!(Task::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
