//! URIs of resources: `<backend>+<uri>`, and `ui://<backend>+rest` for `ui://rest`, whose scheme hosts
//! insist on. A template stays one: only a literal is put in front.

use std::borrow::Cow;

use super::names::is_backend;

const UI: &str = "ui://";

/// What clients of the aggregate call it.
pub fn exposed(backend: &str, uri: &str) -> String {
    match uri.strip_prefix(UI) {
        Some(rest) => [UI, backend, "+", rest].concat(),
        None => [backend, "+", uri].concat(),
    }
}

/// The backend in an exposed URI, and what that calls it.
pub fn split(exposed: &str) -> Option<(&str, Cow<'_, str>)> {
    let ui = exposed.strip_prefix(UI);
    let (backend, rest) = ui.unwrap_or(exposed).split_once('+')?;
    let original = || if ui.is_some() { [UI, rest].concat().into() } else { rest.into() };
    is_backend(backend).then(|| (backend, original()))
}

/// Whether `uri` may be made of `template` (RFC 6570). Only its literals are compared.
pub fn matches(template: &str, uri: &str) -> bool {
    let mut parts = template.split('{');
    let Some(mut rest) = parts.next().and_then(|head| uri.strip_prefix(head)) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        let literal = part.split_once('}').map_or("", |(_, literal)| literal);
        let Some(at) = rest.find(literal) else { return false };
        rest = &rest[at + literal.len()..];
        open = literal.is_empty();
    }
    open || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uris_are_owned() {
        for (uri, want) in [
            ("file:///a", "b+file:///a"),
            ("git+ssh://x", "b+git+ssh://x"),
            ("ui://host/path", "ui://b+host/path"),
            ("test://template/{id}/data", "b+test://template/{id}/data"),
            ("", "b+"),
        ] {
            assert_eq!(exposed("b", uri), want);
            assert_eq!(split(want), Some(("b", uri.into())), "{want}");
        }
        for other in ["file:///a", "ui://host", "B+x", "+x"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn templates_match_by_their_literals() {
        for (template, uri, want) in [
            ("test://t/{id}/data", "test://t/1/data", true),
            ("test://t/{id}/data", "test://t/1/date", false),
            ("test://t/{id}", "test://t/1/2", true),
            ("test://t", "test://t", true),
            ("test://t", "test://t/1", false),
            ("a{x}b{y}c", "a1b2c", true),
            ("a{x", "a1", true),
        ] {
            assert_eq!(matches(template, uri), want, "{template} {uri}");
        }
    }

    proptest! {
        #[test]
        fn a_uri_comes_back(backend in "[a-z]([a-z0-9-]{0,30}[a-z0-9])?", uri in "(ui://)?.{0,40}") {
            let shown = exposed(&backend, &uri);
            prop_assert_eq!(split(&shown), Some((backend.as_str(), uri.as_str().into())));
        }
    }
}
