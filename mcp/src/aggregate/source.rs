//! [`Source`]: what one backend said of itself and its lists, in its own words.

use std::str::FromStr;

use bytes::Bytes;

use super::list::List;
use crate::bridge::edits::{joined, object, pair, quoted};
use crate::bridge::message::Message;
use crate::object::{elements, member, member_text};
use crate::revision::Era;

/// Entries of one list that are taken: a model reads fewer.
pub const ITEMS_MAX: usize = 1_000;
/// Bytes of one list that are taken.
pub const LIST_LEN_MAX: usize = 4 * 1024 * 1024;
/// Pages of one list that are asked for; more belong to a server that repeats its cursor for ever.
pub const PAGES_MAX: usize = 20;

/// One list, all pages of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    pub items: Vec<Bytes>,
    /// For how long the server says that it holds; legacy servers do not say.
    pub ttl_ms: u64,
    /// The server says that it is the same for everybody.
    pub public: bool,
}

/// Everything of one backend that can be listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    pub era: Era,
    /// The result of `initialize` or `server/discover`: a JSON object.
    pub server: Bytes,
    lists: [Listing; 4],
}

impl Listing {
    /// Takes a page and returns the cursor of the next one, if there is one to be asked for.
    pub fn take(&mut self, list: List, page: Message<'_>) -> Option<String> {
        let (src, result) = (page.bytes(), page.result_object()?);
        let first = self.items.is_empty();
        let ttl_ms = page.result_member("ttlMs").and_then(number).unwrap_or_default();
        let public =
            page.result_member("cacheScope").and_then(crate::json::text).as_deref() == Some("public");
        self.ttl_ms = if first { ttl_ms } else { self.ttl_ms.min(ttl_ms) };
        self.public = public && (first || self.public);
        let mut len: usize = self.items.iter().map(Bytes::len).sum();
        let array = member(src, result, list.member()).filter(|at| src[at.start] == b'[');
        for at in array.into_iter().flat_map(|array| elements(src, array)) {
            len += at.len();
            if self.items.len() == ITEMS_MAX || len > LIST_LEN_MAX {
                return None;
            }
            if src[at.start] == b'{' {
                self.items.push(src.slice(at));
            }
        }
        page.result_member("nextCursor").and_then(crate::json::text).map(|cursor| cursor.into_owned())
    }
}

impl Source {
    pub fn new(era: Era, server: impl Into<Bytes>) -> Self {
        Self { era, server: server.into(), lists: Default::default() }
    }

    pub fn list(&self, list: List) -> &Listing {
        &self.lists[list.index()]
    }

    pub fn list_mut(&mut self, list: List) -> &mut Listing {
        &mut self.lists[list.index()]
    }

    /// Whether the server says that it has this list. Absent knowledge counts as yes: asking costs one message.
    pub fn offers(&self, list: List) -> bool {
        let all = 0..self.server.len();
        let capabilities =
            member(&self.server, all, "capabilities").filter(|at| self.server[at.start] == b'{');
        capabilities.is_none_or(|at| member(&self.server, at, list.capability()).is_some())
    }

    /// As one JSON object, to be kept and sent elsewhere.
    pub fn encode(&self) -> Vec<u8> {
        let lists = List::ALL.map(|list| {
            let Listing { items, ttl_ms, public } = self.list(list);
            let items: Vec<&[u8]> = items.iter().map(AsRef::as_ref).collect();
            let items = [&b"["[..], &joined(&items), b"]"].concat();
            let ttl = pair("ttlMs", ttl_ms.to_string().as_bytes());
            let scope = pair("public", if *public { b"true" } else { b"false" });
            pair(list.member(), &object(&joined(&[&ttl, &scope, &pair("items", &items)])))
        });
        let [tools, prompts, resources, templates] = &lists;
        let era = pair("era", &quoted(&self.era.to_string()));
        object(&joined(&[&era, &pair("server", &self.server), tools, prompts, resources, templates]))
    }

    /// Reads what [`Source::encode`] wrote; `None` if it is something else. The caller has checked that it is
    /// JSON.
    pub fn decode(text: &Bytes) -> Option<Self> {
        let era = era(&member_text(text, 0..text.len(), "era")?)?;
        let object = |name: &str| member(text, 0..text.len(), name).filter(|at| text[at.start] == b'{');
        let mut source = Self::new(era, text.slice(object("server")?));
        for list in List::ALL {
            let at = object(list.member())?;
            let part = |name: &str| member(text, at.clone(), name);
            let items = part("items").filter(|at| text[at.start] == b'[')?;
            let items = elements(text, items).take(ITEMS_MAX).filter(|at| text[at.start] == b'{');
            *source.list_mut(list) = Listing {
                items: items.map(|at| text.slice(at)).collect(),
                ttl_ms: part("ttlMs").and_then(|at| number(&text[at])).unwrap_or_default(),
                public: part("public").is_some_and(|at| &text[at] == b"true"),
            };
        }
        Some(source)
    }

    /// Tells two sources apart.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.encode()).as_bytes()
    }
}

fn era(name: &str) -> Option<Era> {
    [Era::Legacy, Era::Modern].into_iter().find(|era| era.to_string() == name)
}

/// A JSON number that is a whole one.
fn number(raw: &[u8]) -> Option<u64> {
    u64::from_str(std::str::from_utf8(raw).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bridge::message::Owned;

    fn page(result: &Value) -> Owned {
        Owned::scan(json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string()).unwrap()
    }

    #[test]
    fn pages_are_gathered() {
        let mut listing = Listing::default();
        let first = page(
            &json!({ "tools": [{ "name": "a" }, 5], "nextCursor": "n", "ttlMs": 9, "cacheScope": "public" }),
        );
        assert_eq!(listing.take(List::Tools, first.lend()).as_deref(), Some("n"));
        assert!(listing.public && listing.ttl_ms == 9);
        let second = page(&json!({ "tools": [{ "name": "b" }] }));
        assert_eq!(listing.take(List::Tools, second.lend()), None);
        assert_eq!((listing.items.len(), listing.ttl_ms, listing.public), (2, 0, false));
        let many: Vec<Value> = (0..ITEMS_MAX + 5).map(|n| json!({ "name": n.to_string() })).collect();
        let many = page(&json!({ "tools": many, "nextCursor": "more" }));
        assert_eq!(listing.take(List::Tools, many.lend()), None, "what is too much is not asked for");
        assert_eq!(listing.items.len(), ITEMS_MAX);
    }

    #[test]
    fn a_source_survives_its_travel() {
        let mut source = Source::new(Era::Modern, &br#"{"capabilities":{"tools":{}}}"#[..]);
        assert!(source.offers(List::Tools) && !source.offers(List::Prompts));
        source.list_mut(List::Tools).items = vec![Bytes::from_static(br#"{"name":"a","x":1.0}"#)];
        source.list_mut(List::Resources).ttl_ms = 7;
        let again = Source::decode(&source.encode().into()).unwrap();
        assert_eq!(again, source);
        assert_eq!(again.digest(), source.digest());
        for other in ["{}", "[]", "", r#"{"era":"old","server":{}}"#] {
            assert_eq!(Source::decode(&Bytes::from_static(other.as_bytes())), None, "{other}");
        }
        assert!(Source::new(Era::Legacy, &b"{}"[..]).offers(List::Prompts), "not known is not no");
    }
}
