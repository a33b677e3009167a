//! [`Keys`]: the keyring of the fleet in this node's hands, with a clock and randomness.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use omcp_core::{ErrorKind, GatewayError};
use omcp_mcp::token::{Binding, KEY_LEN, Key, KeyId, Keyring, NONCE_LEN};
use omcp_proto::v1;

/// For a client to ask for the next page of a list.
pub const CURSOR_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Keys of one keyring: a rotation adds one, and they leave after a day.
pub const KEYS_MAX: usize = 64;

/// Seals and opens what clients carry.
pub struct Keys {
    ring: ArcSwap<Keyring>,
    /// What seals before there is a keyring, and opens that for as long as the node lives.
    own: Key,
    fingerprint: AtomicU64,
}

impl Keys {
    /// A key that no other node has.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn own() -> Result<Self, GatewayError> {
        let (id, secret) = (u32::from_le_bytes(random()?), random::<KEY_LEN>()?);
        let own = Key::new(KeyId(id), &secret);
        let ring = ArcSwap::from_pointee(Keyring::new(own.clone(), Vec::new()));
        Ok(Self { ring, own, fingerprint: AtomicU64::new(0) })
    }

    /// Takes the keys of the fleet, if they can be read. True if they are others than before.
    pub fn take(&self, keyring: &v1::Keyring) -> bool {
        let Some((active, mut others)) = read(keyring) else { return false };
        others.push(self.own.clone());
        self.ring.store(Arc::new(Keyring::new(active, others)));
        self.fingerprint.swap(keyring.fingerprint, Ordering::Relaxed) != keyring.fingerprint
    }

    /// Seals `content` for as long as `lifetime`.
    ///
    /// # Errors
    /// It is too long for a token, or there is no randomness.
    pub fn seal(
        &self,
        binding: Binding<'_>,
        lifetime: Duration,
        content: &[u8],
    ) -> Result<String, GatewayError> {
        let nonce = random::<NONCE_LEN>()?;
        let expires_s = now_s().saturating_add(lifetime.as_secs());
        self.ring.load().seal(binding, nonce, expires_s, content).ok_or_else(|| {
            let (len, most) = (content.len(), binding.purpose.len_max());
            let text = format!("{len} bytes do not fit into a token of {most} bytes");
            GatewayError::new(ErrorKind::Limit, text)
        })
    }

    /// What is sealed in a token of this fleet, for just this binding, and in time.
    pub fn open(&self, binding: Binding<'_>, token: &str) -> Option<Vec<u8>> {
        self.ring.load().open(binding, now_s(), token)
    }

    /// The keys of this moment.
    pub fn ring(&self) -> Arc<Keyring> {
        self.ring.load_full()
    }
}

/// Whether a keyring can be used.
pub fn is_readable(keyring: &v1::Keyring) -> bool {
    read(keyring).is_some()
}

fn read(keyring: &v1::Keyring) -> Option<(Key, Vec<Key>)> {
    if keyring.keys.len() > KEYS_MAX {
        return None;
    }
    let read = |key: &v1::Key| Some(Key::new(KeyId(key.id), key.secret.as_slice().try_into().ok()?));
    let keys: Option<Vec<Key>> = keyring.keys.iter().map(read).collect();
    let (mut active, others): (Vec<_>, Vec<_>) =
        keys?.into_iter().partition(|key| key.id() == KeyId(keyring.active));
    Some((active.pop()?, others))
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Random bytes.
///
/// # Errors
/// The operating system has none.
pub fn random<const LEN: usize>() -> Result<[u8; LEN], GatewayError> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes)
        .map_err(|_| GatewayError::new(ErrorKind::Internal, "the operating system provides no randomness"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use omcp_mcp::token::Purpose;

    use super::*;

    const HERE: Binding<'static> = Binding { purpose: Purpose::Session, endpoint: "e", principal: "p" };
    const HOUR: Duration = Duration::from_secs(3600);

    fn keyring(active: u32, ids: &[u32]) -> v1::Keyring {
        let key = |id: &u32| v1::Key { id: *id, secret: vec![*id as u8; KEY_LEN] };
        v1::Keyring { fingerprint: active.into(), active, keys: ids.iter().map(key).collect() }
    }

    #[test]
    fn what_was_sealed_before_the_keyring_came_opens_here_and_only_here() {
        let (keys, other) = (Keys::own().unwrap(), Keys::own().unwrap());
        let early = keys.seal(HERE, HOUR, b"x").unwrap();
        assert!(keys.take(&keyring(1, &[1])) && !keys.take(&keyring(1, &[1])));
        other.take(&keyring(1, &[1]));
        assert!(keys.open(HERE, &early).is_some() && other.open(HERE, &early).is_none());
        let shared = keys.seal(HERE, HOUR, b"x").unwrap();
        assert_eq!(other.open(HERE, &shared).as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn a_keyring_that_cannot_be_read_changes_nothing() {
        let keys = Keys::own().unwrap();
        keys.take(&keyring(1, &[1]));
        let token = keys.seal(HERE, HOUR, b"x").unwrap();
        let mut short = keyring(2, &[2]);
        short.keys[0].secret.pop();
        let many: Vec<u32> = (0..=KEYS_MAX as u32).collect();
        for bad in [keyring(3, &[2]), keyring(0, &[]), keyring(0, &many), short] {
            assert!(!keys.take(&bad) && !is_readable(&bad));
            assert!(keys.open(HERE, &token).is_some());
        }
    }
}
