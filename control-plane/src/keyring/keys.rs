//! [`Keys`]: which key comes, seals, and leaves. Pure: no I/O, no clock.
//!
//! A key is known to the nodes before it seals, and goes on opening as long as something lives that it has
//! sealed. So no node ever meets a token that it cannot open because of a rotation.

use omcp_proto::v1;

use crate::store::keyring::{KeyState, StoredKey};

/// Longest wait for nodes that do not say that they have a key: they are gone, or about to be.
pub const HOLD_MS: i64 = 30_000;
/// How long a key opens after it has sealed for the last time: sessions, the longest-lived tokens, live 24 h.
pub const LEAVING_MS: i64 = 25 * 60 * 60 * 1000;
/// Age at which a key is replaced unasked.
pub const ACTIVE_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// All keys there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(pub Vec<StoredKey>);

impl Keys {
    /// Brings a new key, unless one is coming already. The very first one seals at once. Returns the id of
    /// the key that is coming.
    pub fn rotate(&mut self, id: u32, secret: [u8; 32], now_ms: i64) -> u32 {
        if let Some(coming) = self.find(KeyState::Coming) {
            return coming.id;
        }
        let state = if self.find(KeyState::Active).is_some() { KeyState::Coming } else { KeyState::Active };
        self.0.push(StoredKey { id, secret, state, since_ms: now_ms });
        id
    }

    /// Takes the steps that are due. `known` says that every node has the present keys. True if something
    /// has changed.
    pub fn step(&mut self, known: bool, now_ms: i64) -> bool {
        let before = self.clone();
        self.0.retain(|key| key.state != KeyState::Leaving || now_ms < key.since_ms + LEAVING_MS);
        let due = |coming: &StoredKey| known || now_ms >= coming.since_ms + HOLD_MS;
        if self.find(KeyState::Coming).is_some_and(due) {
            for key in &mut self.0 {
                match key.state {
                    KeyState::Coming => (key.state, key.since_ms) = (KeyState::Active, now_ms),
                    KeyState::Active => (key.state, key.since_ms) = (KeyState::Leaving, now_ms),
                    KeyState::Leaving => {}
                }
            }
        }
        *self != before
    }

    /// Whether it is time for another key.
    pub fn is_old(&self, now_ms: i64) -> bool {
        self.find(KeyState::Coming).is_none()
            && self.find(KeyState::Active).is_none_or(|key| now_ms >= key.since_ms + ACTIVE_MS)
    }

    /// As nodes receive it.
    pub fn to_wire(&self) -> v1::Keyring {
        let active = self.find(KeyState::Active).map_or(0, |key| key.id);
        let keys = self.0.iter().map(|key| v1::Key { id: key.id, secret: key.secret.to_vec() });
        v1::Keyring { fingerprint: self.fingerprint(), active, keys: keys.collect() }
    }

    /// Tells two keyrings apart, and nothing of the keys.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("omcp v1 fingerprint of a keyring");
        for key in &self.0 {
            hasher
                .update(&key.id.to_le_bytes())
                .update(&key.secret)
                .update(&[u8::from(key.state == KeyState::Active)]);
        }
        let bytes = hasher.finalize();
        let first = bytes.as_bytes().first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*first).max(1)
    }

    fn find(&self, state: KeyState) -> Option<&StoredKey> {
        self.0.iter().find(|key| key.state == state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(keys: &Keys) -> Vec<(u32, KeyState)> {
        keys.0.iter().map(|key| (key.id, key.state)).collect()
    }

    #[test]
    fn a_key_comes_seals_and_leaves() {
        let mut keys = Keys::default();
        assert!(keys.is_old(0));
        assert_eq!(keys.rotate(1, [1; 32], 0), 1);
        assert_eq!(states(&keys), [(1, KeyState::Active)]);
        assert_eq!(keys.rotate(2, [2; 32], 10), 2);
        assert_eq!(keys.rotate(3, [3; 32], 11), 2, "one rotation at a time");
        let first = keys.fingerprint();
        assert!(!keys.step(false, 11), "a node does not have it yet");
        assert!(keys.step(true, 12));
        assert_eq!(states(&keys), [(1, KeyState::Leaving), (2, KeyState::Active)]);
        assert_ne!(keys.fingerprint(), first);
        assert!(!keys.step(true, 12 + LEAVING_MS - 1));
        assert!(keys.step(true, 12 + LEAVING_MS));
        assert_eq!(states(&keys), [(2, KeyState::Active)]);
    }

    #[test]
    fn who_says_nothing_is_not_waited_for_for_ever() {
        let mut keys = Keys::default();
        keys.rotate(1, [1; 32], 0);
        keys.rotate(2, [2; 32], 0);
        assert!(!keys.step(false, HOLD_MS - 1));
        assert!(keys.step(false, HOLD_MS));
        assert_eq!(keys.to_wire().active, 2);
    }

    #[test]
    fn an_old_key_is_replaced() {
        let mut keys = Keys::default();
        keys.rotate(1, [1; 32], 0);
        assert!(!keys.is_old(ACTIVE_MS - 1) && keys.is_old(ACTIVE_MS));
        keys.rotate(2, [2; 32], ACTIVE_MS);
        assert!(!keys.is_old(ACTIVE_MS), "one is coming");
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut keys = Keys::default();
        keys.rotate(1, [0xab; 32], 0);
        let shown = format!("{keys:?}");
        assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
    }
}
