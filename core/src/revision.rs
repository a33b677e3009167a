//! Numbers and proofs: [`Revision`], [`Epoch`], [`Digest`], [`Snapshot`].

use std::collections::BTreeMap;
use std::fmt;

use crate::backend::BackendName;

/// The number of one committed change of the store. Grows by one per commit within an epoch.
pub type Revision = u64;

/// A store's identity: random, made with the database and again when it is restored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epoch(pub [u8; 16]);

impl Epoch {
    /// Reads the wire form; anything but 16 bytes is no epoch.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// First 16 bytes of the BLAKE3 hash of a backend's encoded spec.
pub type SpecHash = [u8; 16];

/// Hashes the encoded spec of a backend.
pub fn spec_hash(spec: &[u8]) -> SpecHash {
    let full = blake3::hash(spec);
    let mut short = SpecHash::default();
    short.copy_from_slice(&full.as_bytes()[..16]);
    short
}

/// The sum (modulo 2^256) of `blake3(len(name) | name | hash)` over all backends held: free of
/// order, and updated by one addition per change on both sides of the sync stream.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest([u64; 4]);

impl Digest {
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Some(Self(words))
    }

    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    pub fn add(&mut self, name: &str, hash: &SpecHash) {
        let mut carry = false;
        for (word, term) in self.0.iter_mut().zip(term(name, hash).0) {
            let (sum, over) = word.overflowing_add(term);
            let (sum, over_carry) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, over || over_carry);
        }
    }

    pub fn remove(&mut self, name: &str, hash: &SpecHash) {
        let mut borrow = false;
        for (word, term) in self.0.iter_mut().zip(term(name, hash).0) {
            let (rest, under) = word.overflowing_sub(term);
            let (rest, under_borrow) = rest.overflowing_sub(u64::from(borrow));
            (*word, borrow) = (rest, under || under_borrow);
        }
    }
}

fn term(name: &str, hash: &SpecHash) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(hash);
    Digest::from_slice(hasher.finalize().as_bytes()).expect("a BLAKE3 hash has 32 bytes")
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.to_bytes())
    }
}

/// Everything at one revision: encoded specs by backend name.
#[derive(Clone, Debug, Default)]
pub struct Snapshot<Spec> {
    pub epoch: Epoch,
    pub revision: Revision,
    pub backends: BTreeMap<BackendName, Spec>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_free_of_order_and_reversible() {
        let items: Vec<_> = (0..100u8).map(|n| (format!("b{n}"), spec_hash(&[n]))).collect();
        let mut forward = Digest::default();
        items.iter().for_each(|(name, hash)| forward.add(name, hash));
        let mut backward = Digest::default();
        items.iter().rev().for_each(|(name, hash)| backward.add(name, hash));
        assert_eq!(forward, backward);
        assert_eq!(Digest::from_slice(&forward.to_bytes()), Some(forward));
        items.iter().for_each(|(name, hash)| forward.remove(name, hash));
        assert_eq!(forward, Digest::default());
    }

    #[test]
    fn digest_tells_name_from_content() {
        let mut one = Digest::default();
        one.add("ab", &spec_hash(b"c"));
        let mut other = Digest::default();
        other.add("a", &spec_hash(b"bc"));
        assert_ne!(one, other);
    }
}
