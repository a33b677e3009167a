//! [`Catalog`]: the lists of one backend, ready to be sent and looked up.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::item::{self, Way};
use super::list::List;
use super::source::Source;
use super::{names, uris};
use crate::revision::Era;

/// What a backend was last known to have. Made once, shared from then on.
#[derive(Clone, Debug)]
pub struct Catalog {
    source: Source,
    digest: [u8; 32],
    lists: [Entries; 4],
}

/// One list.
#[derive(Clone, Debug, Default)]
struct Entries {
    legacy: Text,
    modern: Text,
    /// What the backend calls its entries.
    keys: HashSet<Box<str>>,
    /// Exposed name, without the backend in front -> the backend's own, where they differ.
    renamed: HashMap<Box<str>, Box<str>>,
}

/// Entries joined by commas.
#[derive(Clone, Debug, Default)]
struct Text {
    joined: Bytes,
    /// Where each entry stands.
    places: Vec<Range<u32>>,
}

impl Catalog {
    pub fn new(backend: &str, source: Source) -> Self {
        let lists = List::ALL.map(|list| Entries::new(list, backend, &source));
        let digest = source.digest();
        Self { source, digest, lists }
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    pub fn len(&self, list: List) -> usize {
        self.entries(list).legacy.places.len()
    }

    pub fn is_empty(&self, list: List) -> bool {
        self.len(list) == 0
    }

    /// The entries from the number `from` on, joined by commas: as many as `len_max` bytes and `items_max`
    /// hold, but one at least. Returns where to go on.
    pub fn slice(
        &self,
        list: List,
        to: Era,
        from: usize,
        items_max: usize,
        len_max: usize,
    ) -> (Bytes, usize) {
        let text = self.entries(list).text(to);
        let Some(first) = text.places.get(from) else {
            return (Bytes::new(), text.places.len());
        };
        let fits = |place: &&Range<u32>| (place.end - first.start) as usize <= len_max;
        let count = text.places[from..].iter().take(items_max).take_while(fits).count().max(1);
        let end = text.places[from + count - 1].end as usize;
        (text.joined.slice(first.start as usize..end), from + count)
    }

    /// What the backend calls the tool or prompt that clients call `<backend>__<tail>`.
    pub fn original<'a>(&'a self, list: List, tail: &'a str) -> &'a str {
        self.entries(list).renamed.get(tail).map_or(tail, |name| name)
    }

    /// Whether the backend has something that it calls `key` itself; a template counts for every URI that it
    /// may make.
    pub fn has(&self, list: List, key: &str) -> bool {
        let keys = &self.entries(list).keys;
        match list {
            List::Templates => keys.iter().any(|template| &**template == key || uris::matches(template, key)),
            _ => keys.contains(key),
        }
    }

    fn entries(&self, list: List) -> &Entries {
        &self.lists[list.index()]
    }
}

impl Entries {
    fn new(list: List, backend: &str, source: &Source) -> Self {
        let mut entries = Self::default();
        let (mut legacy, mut modern) = (Writer::default(), Writer::default());
        let mut seen = HashSet::new();
        for raw in &source.list(list).items {
            let Some(key) = item::key(list, raw) else { continue };
            let exposed = item::exposed_key(list, backend, &key);
            // The first of two that look the same counts, as it does for clients of the backend itself.
            if !seen.insert(exposed.clone()) {
                continue;
            }
            let shown = |to| item::shown(list, Way { backend, from: source.era, to }, raw, &exposed);
            legacy.write(&shown(Era::Legacy).unwrap_or_default());
            modern.write(&shown(Era::Modern).unwrap_or_default());
            entries.remember(list, key, &exposed);
        }
        entries.legacy = legacy.finish();
        // Mostly both eras see the same.
        entries.modern = modern.finish();
        if entries.modern.joined == entries.legacy.joined {
            entries.modern.joined = entries.legacy.joined.clone();
        }
        entries
    }

    fn remember(&mut self, list: List, key: String, exposed: &str) {
        let tail = names::split(exposed).map(|(_, tail)| tail);
        if matches!(list, List::Tools | List::Prompts)
            && let Some(tail) = tail.filter(|tail| *tail != key)
        {
            self.renamed.insert(tail.into(), key.as_str().into());
        }
        self.keys.insert(key.into());
    }

    fn text(&self, to: Era) -> &Text {
        match to {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}

#[derive(Default)]
struct Writer {
    out: BytesMut,
    places: Vec<Range<u32>>,
}

impl Writer {
    fn write(&mut self, item: &[u8]) {
        if !self.out.is_empty() {
            self.out.put_u8(b',');
        }
        let start = self.len();
        self.out.put_slice(item);
        self.places.push(start..self.len());
    }

    /// The bounds of a source keep it far below 4 GiB.
    fn len(&self) -> u32 {
        u32::try_from(self.out.len()).unwrap_or(u32::MAX)
    }

    fn finish(self) -> Text {
        Text { joined: self.out.freeze(), places: self.places }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn catalog(names: &[&str]) -> Catalog {
        let mut source = Source::new(Era::Legacy, &b"{}"[..]);
        let item = |name: &&str| Bytes::from(json!({ "name": name }).to_string());
        source.list_mut(List::Tools).items = names.iter().map(item).collect();
        Catalog::new("b", source)
    }

    fn listed(text: &[u8]) -> Vec<String> {
        let list: Vec<Value> = serde_json::from_slice(&[b"[", text, b"]"].concat()).unwrap();
        list.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn names_lead_back() {
        let long = "x".repeat(90);
        let catalog = catalog(&["plain", "dotted.name", &long, "plain"]);
        let (text, next) = catalog.slice(List::Tools, Era::Modern, 0, 100, 10_000);
        let names = listed(&text);
        assert_eq!((names.len(), next), (3, 3), "a repetition is left out");
        for (name, original) in names.iter().zip(["plain", "dotted.name", &long]) {
            let (_, tail) = names::split(name).unwrap();
            assert_eq!(catalog.original(List::Tools, tail), original);
            assert!(catalog.has(List::Tools, original));
        }
        assert_eq!(catalog.original(List::Tools, "dotted.name"), "dotted.name", "its own name is as good");
        assert_eq!(catalog.original(List::Tools, "unknown"), "unknown");
        assert!(!catalog.has(List::Tools, "unknown"));
    }

    proptest! {
        #[test]
        fn slices_join_to_the_whole(count in 0..20_usize, items_max in 1..5_usize, len_max in 1..60_usize) {
            let names: Vec<String> = (0..count).map(|n| format!("tool{n}")).collect();
            let catalog = catalog(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let (mut from, mut all) = (0, Vec::new());
            while from < catalog.len(List::Tools) {
                let (text, next) = catalog.slice(List::Tools, Era::Legacy, from, items_max, len_max);
                prop_assert!(next > from && next - from <= items_max);
                all.extend(listed(&text));
                from = next;
            }
            let want: Vec<String> = names.iter().map(|name| format!("b__{name}")).collect();
            prop_assert_eq!(all, want);
        }
    }
}
