//! Any bytes as an attack on tokens: what fuzzing found is replayed from here.

use super::content::{RequestState, Session};
use super::{Binding, KEY_LEN, Key, KeyId, Keyring, NONCE_LEN, Purpose};

/// Opens `attack` as the text of a token; then as a change to a good one. Tells what came out.
///
/// # Panics
/// Something opened that was not sealed: that is what fuzzing looks for.
pub fn open(attack: &[u8]) -> Option<Vec<u8>> {
    let keyring = Keyring::new(Key::new(KeyId(1), &[1; KEY_LEN]), vec![Key::new(KeyId(2), &[2; KEY_LEN])]);
    let binding = Binding { purpose: Purpose::Session, endpoint: "e", principal: "p" };
    let good = keyring.seal(binding, [0; NONCE_LEN], 2, b"content")?;
    let text = String::from_utf8_lossy(attack);
    let opened = keyring.open(binding, 1, &text);
    assert!(opened.is_none() || text == good, "{text} opens");
    let altered = altered(&good, attack);
    let changed = keyring.open(binding, 1, &altered);
    assert!(changed.is_none() || altered == good, "{altered} opens");
    // What is inside was sealed by us, but perhaps by another version.
    drop((Session::from_bytes(attack), RequestState::from_bytes(attack)));
    opened.or(changed)
}

/// Each pair of bytes is a place and what stands there instead.
fn altered(good: &str, attack: &[u8]) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for pair in attack.chunks_exact(2) {
        let at = usize::from(pair[0]) % bytes.len();
        bytes[at] = pair[1];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
