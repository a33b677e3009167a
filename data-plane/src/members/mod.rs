//! The other nodes, and what this one shares with them: any node takes any request, and hands those over
//! that only another one can answer.
//!
//! - [`keys`]: the keyring: tokens that clients carry are sealed with it
//! - [`task_seals`]: tasks of sessions, sealed with it
//! - [`list`]: who is there, and how they are reached
//! - [`ended`]: sessions that no node may open anew
//! - [`hop`]: how a node proves to another that it speaks for a client
//! - [`forward`]: handing a request over
//! - [`files`]: what a node starts with when there is no control plane

pub mod ended;
pub mod files;
pub mod forward;
pub mod hop;
pub mod keys;
pub mod list;
pub mod task_seals;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use omcp_core::GatewayError;
use omcp_mcp::token::content::{HandleId, NodeTag};
use omcp_proto::v1;

use ended::Ended;
use files::Files;
use keys::Keys;
use list::List;

/// What a node knows of its fleet. The sync stream keeps it up to date.
pub struct Members {
    me: NodeTag,
    keys: Keys,
    list: List,
    ended: Ended,
    files: Option<Files>,
    counts: Counts,
}

/// Requests handed over, since the start.
#[derive(Default)]
pub struct Counts {
    /// To others.
    pub forwarded: AtomicU64,
    /// From others.
    pub received: AtomicU64,
    /// Not handed over: the other node was not there.
    pub unreachable: AtomicU64,
}

impl Members {
    /// A node that knows nobody, and seals with a key of its own.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn alone(name: &str) -> Result<Self, GatewayError> {
        let (keys, list, ended) = (Keys::own()?, List::default(), Ended::default());
        Ok(Self { me: NodeTag::of(name), keys, list, ended, files: None, counts: Counts::default() })
    }

    /// What this node knew when it last ran, from a state directory that is locked already.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn load(name: &str, state_dir: &Path) -> Result<Self, GatewayError> {
        let files = Files::new(state_dir);
        let members = Self { files: Some(files.clone()), ..Self::alone(name)? };
        if let Some(keyring) = files.keyring() {
            members.keys.take(&keyring);
        }
        if let Some(list) = files.members() {
            members.list.take(list, members.me);
        }
        Ok(members)
    }

    pub fn me(&self) -> NodeTag {
        self.me
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    /// The nodes that take over what `gone` kept under this id, the first that is there; this one is among them.
    pub fn heirs(&self, id: &HandleId, gone: NodeTag) -> Vec<NodeTag> {
        let mut heirs = self.list.tags();
        heirs.retain(|tag| *tag != gone);
        heirs.push(self.me);
        heirs.sort_by_cached_key(|tag| *blake3::hash(&[&id[..], tag.as_bytes()].concat()).as_bytes());
        heirs
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Nodes known, this one aside.
    pub fn count_known(&self) -> usize {
        self.list.count()
    }

    /// Takes the keys of the fleet, and keeps them for the next start.
    pub async fn take_keyring(&self, keyring: v1::Keyring) {
        if self.keys.take(&keyring)
            && let Some(files) = &self.files
        {
            files.keep_keyring(keyring).await;
        }
    }

    /// Takes the list of nodes, and keeps it for the next start.
    pub async fn take_members(&self, members: v1::Members) {
        let whole = self.list.take(members, self.me);
        if let Some(files) = &self.files {
            files.keep_members(whole).await;
        }
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
