//! Tokens under random attacks: none opens but those that were sealed, and nothing panics.

use omcp_mcp::token::content::{RequestState, Session};
use omcp_mcp::token::{Binding, KEY_LEN, Key, KeyId, Keyring, NONCE_LEN, Purpose, replay};
use proptest::prelude::*;

const PURPOSES: [Purpose; 4] = [Purpose::Session, Purpose::RequestState, Purpose::Task, Purpose::Cursor];

fn keyring(secret: u8) -> Keyring {
    Keyring::new(Key::new(KeyId(secret.into()), &[secret; KEY_LEN]), vec![])
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,80}",
        "g1\\.[0-9a-f]{8}\\.[A-Za-z0-9_-]{0,80}",
        "g1\\.0000000[12]\\.[A-Za-z0-9_=+/-]{0,80}",
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_an_attack_and_none_succeeds(attack in prop::collection::vec(any::<u8>(), 0..64)) {
        replay::open(&attack);
    }

    #[test]
    fn any_text_is_refused(text in text()) {
        let here = Binding { purpose: Purpose::Session, endpoint: "e", principal: "p" };
        prop_assert_eq!(keyring(1).open(here, 0, &text), None);
        replay::open(text.as_bytes());
    }

    #[test]
    fn a_token_opens_under_its_own_binding_only(
        content in prop::collection::vec(any::<u8>(), 0..256),
        nonce in any::<[u8; NONCE_LEN]>(),
        (from, to) in (0..4_usize, 0..4_usize),
        (endpoint, principal) in ("[a-z]{0,8}", "[a-z]{0,8}"),
        (other_endpoint, other_principal) in ("[a-z]{0,8}", "[a-z]{0,8}"),
        (expires_s, now_s) in (0..1000_u64, 0..1000_u64),
    ) {
        let sealed_for = Binding { purpose: PURPOSES[from], endpoint: &endpoint, principal: &principal };
        let opened_as =
            Binding { purpose: PURPOSES[to], endpoint: &other_endpoint, principal: &other_principal };
        let token = keyring(1).seal(sealed_for, nonce, expires_s, &content).unwrap();
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        let in_time = now_s < expires_s;
        prop_assert_eq!(keyring(1).open(sealed_for, now_s, &token), in_time.then(|| content.clone()));
        let opened = keyring(1).open(opened_as, now_s, &token);
        prop_assert_eq!(opened, (in_time && sealed_for == opened_as).then_some(content));
        prop_assert_eq!(keyring(2).open(sealed_for, now_s, &token), None);
    }

    #[test]
    fn any_content_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Some(session) = Session::from_bytes(&bytes) {
            prop_assert_eq!(session.to_bytes(), bytes.clone());
        }
        if let Some(state) = RequestState::from_bytes(&bytes) {
            prop_assert_eq!(state.to_bytes(), bytes);
        }
    }
}
