//! Names of tools and prompts: `<backend>__<name>`, at most 64 of the characters that model APIs accept.
//!
//! A name depends on its backend and its own spelling alone, so that it stays the same whatever other
//! backends come and go. Backend names hold no `_`, so the first `__` always ends one.

/// What model APIs accept.
pub const NAME_LEN_MAX: usize = 64;

const SEPARATOR: &str = "__";
/// Characters of a digest: 40 bits tell the tools of one backend apart.
const DIGEST_LEN: usize = 8;
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What clients of the aggregate call it. A name that is too long, or has characters that model APIs refuse,
/// is shortened, and ends with `__` and a digest of the whole name.
pub fn exposed(backend: &str, name: &str) -> String {
    let room = NAME_LEN_MAX.saturating_sub(backend.len() + SEPARATOR.len());
    if name.len() <= room && is_plain(name) {
        return [backend, SEPARATOR, name].concat();
    }
    let kept = room.saturating_sub(SEPARATOR.len() + DIGEST_LEN);
    let plain = |char: char| if is_plain_char(char) { char } else { '_' };
    let head: String = name.chars().map(plain).take(kept).collect();
    [backend, SEPARATOR, &head, SEPARATOR, &digest(name)].concat()
}

/// The backend that an exposed name begins with, and the rest.
pub fn split(exposed: &str) -> Option<(&str, &str)> {
    let (backend, rest) = exposed.split_once(SEPARATOR)?;
    (is_backend(backend) && !rest.is_empty()).then_some((backend, rest))
}

/// Whether it may be the name of a backend: `[a-z][a-z0-9-]*`.
pub(super) fn is_backend(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    text.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && text.as_bytes().iter().all(inner)
}

/// A name that ends as a shortened one would is shortened too: so no two names look the same.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_plain_char) && !ends_with_digest(name)
}

fn is_plain_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_' || char == '-'
}

fn ends_with_digest(name: &str) -> bool {
    let Some(at) = name.len().checked_sub(DIGEST_LEN) else {
        return false;
    };
    let (head, tail) = name.as_bytes().split_at(at);
    head.ends_with(SEPARATOR.as_bytes()) && tail.iter().all(|byte| DIGITS.contains(byte))
}

fn digest(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    let bits = hash.as_bytes()[..5].iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    (0..DIGEST_LEN).map(|at| char::from(DIGITS[(bits >> (5 * at)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_are_only_prefixed() {
        assert_eq!(exposed("github", "create_issue"), "github__create_issue");
        assert_eq!(split("github__create_issue"), Some(("github", "create_issue")));
        assert_eq!(exposed("a", "_b__c"), "a___b__c");
        assert_eq!(split("a___b__c"), Some(("a", "_b__c")));
        for other in ["create_issue", "__x", "a__", "A__x", "a_b", "", "9__x"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn long_and_strange_names_are_shortened() {
        let long = exposed(&"b".repeat(32), &"t".repeat(100));
        assert_eq!(long.len(), NAME_LEN_MAX);
        assert_eq!(long, exposed(&"b".repeat(32), &"t".repeat(100)));
        assert_ne!(long, exposed(&"b".repeat(32), &"t".repeat(101)));
        assert!(exposed("a", "pages.list").starts_with("a__pages_list__"));
        let shortened = exposed("a", "pages.list");
        let (_, tail) = split(&shortened).unwrap();
        assert_ne!(exposed("a", tail), shortened, "a tool that is really called so has another name");
    }

    proptest! {
        #[test]
        fn every_name_fits_and_leads_to_its_backend(backend in "[a-z]([a-z0-9-]{0,30}[a-z0-9])?", name in ".{0,130}") {
            let shown = exposed(&backend, &name);
            prop_assert!(shown.len() <= NAME_LEN_MAX && shown.chars().all(is_plain_char), "{}", shown);
            let (found, tail) = split(&shown).unwrap();
            prop_assert_eq!(found, &backend);
            if is_plain(&name) && backend.len() + 2 + name.len() <= NAME_LEN_MAX {
                prop_assert_eq!(tail, &name);
            }
        }

        #[test]
        fn no_two_names_look_the_same(
            backends in proptest::collection::vec("[a-z]([a-z-]{0,2}[a-z])?", 1..4),
            names in proptest::collection::vec("[ab_.]{0,3}(__[a-b2-3]{8})?|x{55,60}[yz.]", 1..12),
        ) {
            let mut seen = HashMap::new();
            for backend in &backends {
                for name in &names {
                    let who = (backend.clone(), name.clone());
                    let before = seen.insert(exposed(backend, name), who.clone());
                    prop_assert!(before.is_none_or(|before| before == who));
                }
            }
        }
    }
}
