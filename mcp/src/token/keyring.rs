//! [`Keyring`]: the keys that a fleet shares.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Binding;

/// Bytes of a key as it is handed out.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Of the tag behind a ciphertext.
const TAG_LEN: usize = 16;
/// Of the time before a content.
const TIME_LEN: usize = 4;
const PREFIX: &str = "g1.";

/// Names a key. Drawn at random, so that keys of different keyrings are not mistaken for each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// One key, ready for use. It is never shown.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    sealing: Arc<LessSafeKey>,
    marking: [u8; 32],
}

impl Key {
    /// The keys for each use are derived: what is learnt of one tells nothing of the other.
    pub fn new(id: KeyId, secret: &[u8; KEY_LEN]) -> Self {
        let sealing = blake3::derive_key("omcp v1 sealed tokens", secret);
        let sealing = UnboundKey::new(&AES_256_GCM_SIV, &sealing).expect("the key has 32 bytes");
        let marking = blake3::derive_key("omcp v1 marks between nodes", secret);
        Self { id, sealing: Arc::new(LessSafeKey::new(sealing)), marking }
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Proves that somebody with this key has said `bytes`. Nodes mark their requests to each other so.
    pub fn mark(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.marking, bytes).as_bytes()
    }

    /// Whether `mark` is [`Key::mark`] of `bytes`; in constant time.
    pub fn marked(&self, bytes: &[u8], mark: &[u8; 32]) -> bool {
        blake3::keyed_hash(&self.marking, bytes) == *mark
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The first key seals; all of them open. There is always one.
#[derive(Clone, Debug)]
pub struct Keyring {
    active: Key,
    others: Vec<Key>,
}

impl Keyring {
    pub fn new(active: Key, others: Vec<Key>) -> Self {
        Self { active, others }
    }

    pub fn active(&self) -> &Key {
        &self.active
    }

    pub fn key(&self, id: KeyId) -> Option<&Key> {
        std::iter::once(&self.active).chain(&self.others).find(|key| key.id == id)
    }

    /// Seals `content` until `expires_s` (seconds since 1970). `None` if the token would be too long.
    ///
    /// `nonce` is random.
    pub fn seal(
        &self,
        binding: Binding<'_>,
        nonce: [u8; NONCE_LEN],
        expires_s: u64,
        content: &[u8],
    ) -> Option<String> {
        let expires_s = u32::try_from(expires_s).unwrap_or(u32::MAX);
        let mut inside = Vec::with_capacity(TIME_LEN + content.len() + TAG_LEN);
        inside.extend(expires_s.to_le_bytes());
        inside.extend(content);
        let aad = Aad::from(binding.to_bytes());
        let unique = Nonce::assume_unique_for_key(nonce);
        self.active.sealing.seal_in_place_append_tag(unique, aad, &mut inside).ok()?;
        let mut text = format!("{PREFIX}{}.", self.active.id);
        let mut bytes = Vec::with_capacity(NONCE_LEN + inside.len());
        bytes.extend(nonce);
        bytes.extend(inside);
        URL_SAFE_NO_PAD.encode_string(&bytes, &mut text);
        (text.len() <= binding.purpose.len_max()).then_some(text)
    }

    /// The content of a token that is whole, in time, and for just this binding. Everything else is `None`.
    pub fn open(&self, binding: Binding<'_>, now_s: u64, token: &str) -> Option<Vec<u8>> {
        if token.len() > binding.purpose.len_max() {
            return None;
        }
        let (id, text) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let plain = id.len() == 8 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let id = KeyId(u32::from_str_radix(id, 16).ok().filter(|_| plain)?);
        let key = self.key(id)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let nonce = Nonce::assume_unique_for_key(*bytes.first_chunk::<NONCE_LEN>()?);
        let aad = Aad::from(binding.to_bytes());
        let inside = key.sealing.open_in_place(nonce, aad, &mut bytes[NONCE_LEN..]).ok()?;
        let expires_s = u32::from_le_bytes(*inside.first_chunk::<TIME_LEN>()?);
        let content = NONCE_LEN + TIME_LEN..NONCE_LEN + inside.len();
        bytes.truncate(content.end);
        bytes.drain(..content.start);
        (u64::from(expires_s) > now_s).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LONG_TOKEN_LEN_MAX, Purpose, TOKEN_LEN_MAX};
    use super::*;

    const HERE: Binding<'static> =
        Binding { purpose: Purpose::Session, endpoint: "files", principal: "alice" };

    fn key(id: u32) -> Key {
        Key::new(KeyId(id), &[id as u8; KEY_LEN])
    }

    fn sealed(keyring: &Keyring) -> String {
        keyring.seal(HERE, [7; NONCE_LEN], 100, b"content").unwrap()
    }

    #[test]
    fn a_token_opens_where_it_belongs_and_nowhere_else() {
        let keyring = Keyring::new(key(1), vec![]);
        let token = sealed(&keyring);
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
        assert_eq!(keyring.open(HERE, 99, &token).as_deref(), Some(&b"content"[..]));
        for elsewhere in [
            Binding { purpose: Purpose::RequestState, ..HERE },
            Binding { endpoint: "file", ..HERE },
            Binding { principal: "bob", ..HERE },
            Binding { endpoint: "filesa", principal: "lice", ..HERE },
        ] {
            assert_eq!(keyring.open(elsewhere, 99, &token), None, "{elsewhere:?}");
        }
        assert_eq!(keyring.open(HERE, 100, &token), None, "it is too late");
    }

    #[test]
    fn an_older_key_opens_what_it_has_sealed_until_it_goes() {
        let token = sealed(&Keyring::new(key(1), vec![]));
        let rotated = Keyring::new(key(2), vec![key(1)]);
        assert!(rotated.open(HERE, 0, &token).is_some());
        assert_ne!(sealed(&rotated)[..12], token[..12], "the new key seals");
        assert_eq!(Keyring::new(key(2), vec![]).open(HERE, 0, &token), None);
        let impostor = Keyring::new(Key::new(KeyId(1), &[9; KEY_LEN]), vec![]);
        assert_eq!(impostor.open(HERE, 0, &token), None, "the same id, another key");
    }

    #[test]
    fn a_token_too_long_is_not_made() {
        let keyring = Keyring::new(key(1), vec![]);
        let content = vec![0; TOKEN_LEN_MAX];
        assert_eq!(keyring.seal(HERE, [0; NONCE_LEN], 1, &content), None);
        let in_a_body = Binding { purpose: Purpose::RequestState, ..HERE };
        let token = keyring.seal(in_a_body, [0; NONCE_LEN], 1, &content).unwrap();
        assert_eq!(keyring.open(in_a_body, 0, &token), Some(content));
        assert_eq!(keyring.seal(in_a_body, [0; NONCE_LEN], 1, &vec![0; LONG_TOKEN_LEN_MAX]), None);
    }

    #[test]
    fn keys_are_never_shown() {
        let shown = format!("{:?}", Keyring::new(Key::new(KeyId(1), &[0xab; KEY_LEN]), vec![]));
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    }

    #[test]
    fn a_mark_is_of_one_key_and_one_text() {
        let mark = key(1).mark(b"said");
        assert!(key(1).marked(b"said", &mark));
        assert!(!key(1).marked(b"sait", &mark) && !key(2).marked(b"said", &mark));
    }
}
