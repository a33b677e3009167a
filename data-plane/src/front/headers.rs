//! What a client's header fields say.

use http::HeaderMap;
use http::header::{ACCEPT, HeaderName, HeaderValue};

use crate::fields;

// Names that are made once: looking a field up by its text spells the name out every time.
pub static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub static NAME: HeaderName = HeaderName::from_static("mcp-name");
pub static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What nearly every client accepts.
const USUAL: &str = "application/json, text/event-stream";

/// The first value of a header, if it is visible ASCII.
pub fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields::first(headers, name)?.to_str().ok()
}

/// Which kinds of answer a client takes. No Accept, `*/*` and either of the two are all fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    pub json: bool,
    pub events: bool,
    /// Event streams are named before JSON: even an answer that is whole is streamed.
    pub prefers_events: bool,
}

impl Default for Accepts {
    fn default() -> Self {
        Self { json: true, events: true, prefers_events: false }
    }
}

impl Accepts {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = fields::all(headers, &ACCEPT).peekable();
        if given.peek().is_none_or(|first| *first == USUAL) {
            return Self::default();
        }
        let mut accepts = Self { json: false, events: false, prefers_events: false };
        for range in given.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
            if is_unwanted(range) {
                continue;
            }
            let range = range.split(';').next().unwrap_or("").trim();
            let any = range == "*/*";
            accepts.json |= any || range.eq_ignore_ascii_case("application/json") || range == "application/*";
            accepts.prefers_events |= !accepts.json && range.eq_ignore_ascii_case("text/event-stream");
            accepts.events |= any || range.eq_ignore_ascii_case("text/event-stream") || range == "text/*";
        }
        accepts
    }

    /// Whether an event stream was asked for by name: how a GET is told from a browser's.
    pub fn names_events(headers: &HeaderMap) -> bool {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|range| {
            range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
        })
    }
}

/// A range of weight zero names what the client does not take (RFC 9110 section 12.4.2).
fn is_unwanted(range: &str) -> bool {
    let weight = range.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    weight.is_some_and(|weight| weight.trim_matches(['0', '.', ' ']).is_empty())
}

/// Whether this type of a body is JSON.
pub fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or("");
    kind == "application/json"
        || kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept() {
        for (text, json, events, prefers_events) in [
            ("application/json, text/event-stream", true, true, false),
            ("text/event-stream, application/json", true, true, true),
            ("*/*", true, true, false),
            ("application/json;q=0.9", true, false, false),
            ("TEXT/EVENT-STREAM", false, true, true),
            ("text/html", false, false, false),
            ("application/json;q=0, text/event-stream; q=0.0", false, false, false),
            ("application/json;q=0.01", true, false, false),
            ("image/png, */*;q=0.1", true, true, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, text.parse().unwrap());
            assert_eq!(Accepts::of(&headers), Accepts { json, events, prefers_events }, "{text}");
        }
        assert_eq!(
            Accepts::of(&HeaderMap::new()),
            Accepts { json: true, events: true, prefers_events: false }
        );
    }
}
