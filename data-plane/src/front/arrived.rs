//! [`Arrived`]: a request as it came, and [`Said`]: what its usual header fields say; [`Headers`]: all of them, for the
//! rules of admission.

use http::header::HeaderValue;
use http::request::Parts;
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use omcp_mcp::admit::HeaderView;

use super::headers::{self, Accepts};
use crate::members::hop;

/// A head is large, and goes through many hands: so they pass a pointer.
pub struct Arrived {
    pub parts: Parts,
    pub said: Said,
    pub body: Incoming,
}

impl Arrived {
    pub fn new(request: Request<Incoming>) -> Box<Self> {
        let (parts, body) = request.into_parts();
        let said = Said::of(&parts.headers);
        Box::new(Self { parts, said, body })
    }
}

/// Fields that are asked for again and again, looked up in one go.
#[derive(Debug, Default)]
pub struct Said {
    pub accepts: Accepts,
    /// Whether the body is declared to be JSON.
    pub is_json: bool,
    /// Announced length of the body, bytes.
    pub len: Option<u64>,
    pub host: Field,
    pub origin: Field,
    /// The session that it names.
    pub session: Field,
    /// The revision that it names.
    pub version: Field,
    pub method: Field,
    pub name: Field,
    /// The mark of a node that hands the request over.
    pub hop: Field,
}

impl Said {
    pub fn of(given: &HeaderMap) -> Self {
        let mut said = Self::default();
        let [mut accept, mut kind] = [None, None];
        for (name, value) in given {
            match name.as_str() {
                "accept" => _ = accept.get_or_insert(value),
                "content-length" => said.len = said.len.or_else(|| value.to_str().ok()?.parse().ok()),
                "content-type" => _ = kind.get_or_insert(value),
                "host" => said.host.add(value),
                "mcp-method" => said.method.add(value),
                "mcp-name" => said.name.add(value),
                "mcp-protocol-version" => said.version.add(value),
                "mcp-session-id" => said.session.add(value),
                "origin" => said.origin.add(value),
                hop::NAME => said.hop.add(value),
                _ => {}
            }
        }
        said.accepts = if accept.is_some() { Accepts::of(given) } else { Accepts::default() };
        said.is_json = kind.is_some_and(headers::is_json);
        said
    }
}

/// A field of which there should be one.
#[derive(Debug, Default)]
pub struct Field {
    first: Option<HeaderValue>,
    pub is_repeated: bool,
}

impl Field {
    fn add(&mut self, value: &HeaderValue) {
        self.is_repeated = self.first.is_some();
        self.first.get_or_insert_with(|| value.clone());
    }

    /// The first of its values.
    pub fn first(&self) -> Option<&HeaderValue> {
        self.first.as_ref()
    }

    /// The same as text, if it is visible ASCII.
    pub fn text(&self) -> Option<&str> {
        self.first()?.to_str().ok()
    }

    /// Whether it was there, which it is no longer.
    pub fn forget(&mut self) -> bool {
        self.is_repeated = false;
        self.first.take().is_some()
    }
}

/// A request's header fields as the admission rules see them.
pub struct Headers<'a> {
    pub headers: &'a HeaderMap,
    pub said: &'a Said,
}

impl HeaderView for Headers<'_> {
    fn all<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8])) {
        let said = match name {
            "mcp-protocol-version" => &self.said.version,
            "mcp-method" => &self.said.method,
            "mcp-name" => &self.said.name,
            _ => return self.headers.get_all(name).iter().for_each(|value| each(value.as_bytes())),
        };
        match said.first() {
            Some(_) if said.is_repeated => {
                self.headers.get_all(name).iter().for_each(|value| each(value.as_bytes()));
            }
            Some(only) => each(only.as_bytes()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_counts() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("mcp-session-id", "a"),
            ("content-type", "application/json; charset=utf-8"),
            ("accept", "text/event-stream"),
            ("content-length", "12"),
            ("mcp-protocol-version", "2025-06-18"),
            ("host", "localhost"),
            ("mcp-session-id", "b"),
            ("origin", "null"),
            ("origin", "http://localhost"),
            ("omcp-hop", "x"),
            ("mcp-method", "m"),
            ("mcp-name", "n"),
            ("content-type", "text/plain"),
            ("accept", "application/json"),
        ] {
            given.append(name, HeaderValue::from_static(value));
        }
        let mut said = Said::of(&given);
        assert_eq!((said.session.text(), said.version.text()), (Some("a"), Some("2025-06-18")));
        assert_eq!((said.is_json, said.len), (true, Some(12)));
        assert_eq!(said.accepts, Accepts { json: true, events: true, prefers_events: true });
        assert_eq!((said.host.text(), said.host.is_repeated), (Some("localhost"), false));
        assert_eq!((said.origin.text(), said.origin.is_repeated), (Some("null"), true));
        assert_eq!(
            (said.hop.text(), said.method.text(), said.name.text()),
            (Some("x"), Some("m"), Some("n"))
        );
        assert!(said.session.is_repeated && said.session.forget());
        assert!(!said.session.forget() && !said.session.is_repeated);
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        let said = Said::of(&HeaderMap::new());
        assert_eq!(said.accepts, Accepts { json: true, events: true, prefers_events: false });
        assert_eq!((said.is_json, said.len), (false, None));
        for field in [said.host, said.origin, said.session, said.version, said.method, said.name, said.hop] {
            assert!(field.first().is_none() && !field.is_repeated);
        }
    }
}
