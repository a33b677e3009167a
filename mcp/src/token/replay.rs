//! Any bytes as an attack on tokens: what fuzzing found is replayed from here.

use std::sync::LazyLock;

use super::content::{Cursor, RequestState, Session, Task};
use super::{Binding, KEY_LEN, Key, KeyId, Keyring, NONCE_LEN, Purpose};

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    Keyring::new(Key::new(KeyId(1), &[1; KEY_LEN]), vec![Key::new(KeyId(2), &[2; KEY_LEN])])
});

const PURPOSES: [Purpose; 4] = [Purpose::Session, Purpose::RequestState, Purpose::Task, Purpose::Cursor];

/// Takes the input for a token, for changes to a good one, and for what to seal.
///
/// # Panics
/// As [`open`], or what was sealed does not come back, or comes back elsewhere.
pub fn run(input: &[u8]) {
    open(input);
    if let Some(([at, bit, hours, place], content)) = input.split_first_chunk() {
        sealed(content, Change { at: *at, bit: *bit }, u64::from(*hours) * 3600, *place);
    }
}

/// Opens `attack` as the text of a token; then as a change to a good one. Tells what came out.
///
/// # Panics
/// Something opened that was not sealed: that is what fuzzing looks for.
pub fn open(attack: &[u8]) -> Option<Vec<u8>> {
    let binding = Binding { purpose: Purpose::Session, endpoint: "e", principal: "p" };
    let good = KEYRING.seal(binding, [0; NONCE_LEN], 2, b"content")?;
    let text = String::from_utf8_lossy(attack);
    let opened = KEYRING.open(binding, 1, &text);
    assert!(opened.is_none() || text == good, "{text} opens");
    let altered = altered(&good, attack);
    let changed = KEYRING.open(binding, 1, &altered);
    assert!(changed.is_none() || altered == good, "{altered} opens");
    read(attack);
    opened.or(changed)
}

/// What is inside was sealed by us, but perhaps by another version.
fn read(content: &[u8]) {
    if let Some(session) = Session::from_bytes(content) {
        assert_eq!(session.to_bytes(), content, "a session changes");
    }
    if let Some(state) = RequestState::from_bytes(content) {
        assert_eq!(state.to_bytes(), content, "a state changes");
    }
    if let Some(task) = Task::from_bytes(content) {
        assert_eq!(task.to_bytes(), content, "a task changes");
    }
    if let Some(cursor) = Cursor::from_bytes(content) {
        assert_eq!(cursor.to_bytes(), content, "a cursor changes");
    }
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

/// One bit of a text.
struct Change {
    at: u8,
    bit: u8,
}

impl Change {
    fn of(&self, token: &str) -> String {
        let mut bytes = token.as_bytes().to_vec();
        let at = usize::from(self.at) * bytes.len() / 256;
        // The eighth bit of ASCII would make other text of it altogether.
        bytes[at] ^= 1 << (self.bit % 7);
        String::from_utf8(bytes).expect("ASCII stays ASCII")
    }
}

/// What is sealed comes back in time, here, and unchanged; and in no other case.
fn sealed(content: &[u8], change: Change, expires_s: u64, place: u8) {
    let names = ["", "e", "p", "ep"];
    let name = |bits: u8| names[usize::from(bits % 4)];
    let purpose = PURPOSES[usize::from(place) % PURPOSES.len()];
    let here = Binding { purpose, endpoint: name(place), principal: name(place >> 2) };
    let (nonce, len_max) = ([place; NONCE_LEN], purpose.len_max());
    let Some(token) = KEYRING.seal(here, nonce, expires_s, content) else {
        return assert!(content.len() > len_max / 2, "a short content cannot be sealed");
    };
    assert!(token.len() <= len_max && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
    let opened = KEYRING.open(here, expires_s.saturating_sub(1), &token);
    assert_eq!(opened.as_deref(), (expires_s > 0).then_some(content), "what was sealed");
    assert_eq!(KEYRING.open(here, expires_s, &token), None, "too late");
    assert_eq!(KEYRING.open(here, 0, &change.of(&token)), None, "a changed token");
    let there = Binding { endpoint: here.principal, principal: here.endpoint, ..here };
    assert!(there == here || KEYRING.open(there, 0, &token).is_none(), "another place");
    for other in PURPOSES.into_iter().filter(|other| *other != purpose) {
        assert_eq!(KEYRING.open(Binding { purpose: other, ..here }, 0, &token), None, "{other:?}");
    }
}
