//! Pages of the lists of all backends. Many clients read the first page only, so it holds as much as it can.

use bytes::Bytes;

use super::catalog::Catalog;
use super::list::List;
use crate::bridge::edits::{joined, object, pair, quoted};
use crate::envelope::META_SERVER_INFO;
use crate::revision::Era;

/// Entries on one page.
pub const PAGE_ITEMS_MAX: usize = 5_000;
/// Bytes on one page.
pub const PAGE_LEN_MAX: usize = 8 * 1024 * 1024;

/// `_meta` key of the backends that a list lacks, or shows as they last were.
pub const META_PARTIAL: &str = "open-mcp-gateway/partial";

/// The start of a catalog's digest, which tells its editions apart.
type Edition = [u8; 9];

/// A place in one list: behind `after` entries of `backend`, whose catalog is of this edition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    list: List,
    backend: String,
    after: usize,
    edition: Edition,
}

impl Cursor {
    /// What is sealed in the text of a cursor.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (list, after) = (self.list.index() as u8, (self.after as u64).to_le_bytes());
        [&[list][..], &self.edition, &after, self.backend.as_bytes()].concat()
    }

    /// `None` if it is no cursor of this list.
    pub fn from_bytes(bytes: &[u8], list: List) -> Option<Self> {
        let (of, rest) = bytes.split_first()?;
        let (edition, rest) = rest.split_first_chunk()?;
        let (after, backend) = rest.split_first_chunk()?;
        let after = usize::try_from(u64::from_le_bytes(*after)).ok()?;
        let backend = std::str::from_utf8(backend).ok()?.to_owned();
        (usize::from(*of) == list.index()).then_some(Self { list, backend, after, edition: *edition })
    }
}

/// A cursor into a list that has changed since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale;

/// Entries joined by commas, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub items: Bytes,
    pub next: Option<Cursor>,
}

/// How much one page holds.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    pub items_max: usize,
    pub len_max: usize,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self { items_max: PAGE_ITEMS_MAX, len_max: PAGE_LEN_MAX }
    }
}

/// The page at `cursor` of the lists of `catalogs`, which are in the order of their names.
///
/// # Errors
/// The list that the cursor stands in has changed. A backend that is gone is passed over.
pub fn page<'a>(
    catalogs: impl Iterator<Item = (&'a str, &'a Catalog)>,
    list: List,
    to: Era,
    cursor: Option<&Cursor>,
    limits: PageLimits,
) -> Result<Page, Stale> {
    let (mut parts, mut count, mut len) = (Vec::new(), 0, 0);
    for (backend, catalog) in catalogs {
        let mut from = match cursor {
            Some(cursor) if backend < cursor.backend.as_str() => continue,
            Some(cursor) if backend == cursor.backend => {
                if cursor.edition != edition(catalog) {
                    return Err(Stale);
                }
                cursor.after
            }
            _ => 0,
        };
        if from < catalog.len(list) {
            if count == limits.items_max || len >= limits.len_max {
                return Ok(finish(parts, Some(place(list, backend, catalog, from))));
            }
            let (text, next) = catalog.slice(list, to, from, limits.items_max - count, limits.len_max - len);
            count += next - from;
            len += text.len() + 1;
            from = next;
            parts.push(text);
        }
        if from < catalog.len(list) {
            return Ok(finish(parts, Some(place(list, backend, catalog, from))));
        }
    }
    Ok(finish(parts, None))
}

fn place(list: List, backend: &str, catalog: &Catalog, after: usize) -> Cursor {
    Cursor { list, backend: backend.to_owned(), after, edition: edition(catalog) }
}

fn edition(catalog: &Catalog) -> Edition {
    *catalog.digest().first_chunk().expect("a digest has 32 bytes")
}

fn finish(parts: Vec<Bytes>, next: Option<Cursor>) -> Page {
    let items = match <[Bytes; 1]>::try_from(parts) {
        Ok([only]) => only,
        Err(parts) => parts.join(&b","[..]).into(),
    };
    Page { items, next }
}

/// What a result says besides its entries.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// JSON object that names the gateway; for modern clients.
    pub info: &'a [u8],
    /// For how long the list holds, and whether for everybody; for modern clients.
    pub ttl_ms: u64,
    pub public: bool,
    /// Backends that are listed as they last were.
    pub stale: &'a [&'a str],
    /// Backends of which nothing is known.
    pub missing: &'a [&'a str],
    /// The sealed text of the page's cursor.
    pub next: Option<&'a str>,
}

impl Frame<'_> {
    /// The result of a list request.
    pub fn result(&self, list: List, page: &Page, to: Era) -> Vec<u8> {
        let partial = !self.stale.is_empty() || !self.missing.is_empty();
        let ttl_ms = if partial { 0 } else { self.ttl_ms };
        let scope = if self.public && !partial { "public" } else { "private" };
        let modern = match to {
            Era::Legacy => String::new(),
            Era::Modern => format!(r#""resultType":"complete","ttlMs":{ttl_ms},"cacheScope":"{scope}""#),
        };
        let info = if to == Era::Modern { pair(META_SERVER_INFO, self.info) } else { Vec::new() };
        let partial = if partial { pair(META_PARTIAL, &self.partial()) } else { Vec::new() };
        let meta = joined(&[&info, &partial]);
        let meta = if meta.is_empty() { meta } else { pair("_meta", &object(&meta)) };
        let next = self.next.map(|next| pair("nextCursor", &quoted(next))).unwrap_or_default();
        let head = joined(&[modern.as_bytes(), &meta, &next]);
        let mut out = Vec::with_capacity(head.len() + page.items.len() + list.member().len() + 16);
        out.push(b'{');
        out.extend_from_slice(&head);
        if !head.is_empty() {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(list.member().as_bytes());
        out.extend_from_slice(b"\":[");
        out.extend_from_slice(&page.items);
        out.extend_from_slice(b"]}");
        out
    }

    fn partial(&self) -> Vec<u8> {
        let names = |names: &[&str]| {
            let names: Vec<Vec<u8>> = names.iter().map(|name| quoted(name)).collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            [b"[", &*joined(&names), b"]"].concat()
        };
        object(&joined(&[&pair("stale", &names(self.stale)), &pair("missing", &names(self.missing))]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::source::Source;
    use super::*;

    fn catalog(backend: &str, count: usize) -> Catalog {
        let mut source = Source::new(Era::Modern, &b"{}"[..]);
        let item = |n| Bytes::from(json!({ "name": format!("t{n}") }).to_string());
        source.list_mut(List::Tools).items = (0..count).map(item).collect();
        Catalog::new(backend, source)
    }

    fn names(items: &[u8]) -> Vec<String> {
        let items: Vec<Value> = serde_json::from_slice(&[b"[", items, b"]"].concat()).unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    fn all(catalogs: &[(String, Catalog)]) -> impl Iterator<Item = (&str, &Catalog)> {
        catalogs.iter().map(|(name, catalog)| (name.as_str(), catalog))
    }

    proptest! {
        #[test]
        fn pages_join_to_the_whole(counts in proptest::collection::vec(0..6_usize, 0..6), items_max in 1..9_usize, len_max in 1..200_usize) {
            let catalogs: Vec<(String, Catalog)> = counts
                .iter()
                .enumerate()
                .map(|(n, count)| (format!("b{n}"), catalog(&format!("b{n}"), *count)))
                .collect();
            let limits = PageLimits { items_max, len_max };
            let (mut cursor, mut found) = (None::<Cursor>, Vec::new());
            loop {
                let page = page(all(&catalogs), List::Tools, Era::Legacy, cursor.as_ref(), limits).unwrap();
                prop_assert!(names(&page.items).len() <= items_max);
                found.extend(names(&page.items));
                let Some(next) = page.next else { break };
                cursor = Cursor::from_bytes(&next.to_bytes(), List::Tools);
                prop_assert_eq!(cursor.as_ref(), Some(&next));
            }
            let want: Vec<String> = counts.iter().enumerate().flat_map(|(n, count)| (0..*count).map(move |m| format!("b{n}__t{m}"))).collect();
            prop_assert_eq!(found, want);
        }
    }

    #[test]
    fn a_cursor_into_what_has_changed_is_stale() {
        let limits = PageLimits { items_max: 3, len_max: 1_000 };
        let mut catalogs = vec![("a".to_owned(), catalog("a", 2)), ("b".to_owned(), catalog("b", 4))];
        let first = page(all(&catalogs), List::Tools, Era::Modern, None, limits).unwrap();
        let next = first.next.unwrap();
        let bytes = next.to_bytes();
        assert_eq!(Cursor::from_bytes(&bytes, List::Prompts), None);
        assert_eq!(Cursor::from_bytes(&bytes[..17], List::Tools), None);
        catalogs[0].1 = catalog("a", 9);
        let rest = page(all(&catalogs), List::Tools, Era::Modern, Some(&next), limits).unwrap();
        assert_eq!(names(&rest.items), ["b__t1", "b__t2", "b__t3"], "others may change");
        catalogs[1].1 = catalog("b", 5);
        assert_eq!(page(all(&catalogs), List::Tools, Era::Modern, Some(&next), limits).unwrap_err(), Stale);
        catalogs.truncate(1);
        let rest = page(all(&catalogs), List::Tools, Era::Modern, Some(&next), limits).unwrap();
        assert!(rest.items.is_empty() && rest.next.is_none(), "a backend that is gone has no more");
    }

    #[test]
    fn results_say_what_they_lack() {
        let page = Page { items: Bytes::from_static(b"{\"name\":\"x\"}"), next: None };
        let frame = Frame { info: b"{}", ttl_ms: 9, public: true, stale: &[], missing: &[], next: None };
        let read = |frame: &Frame<'_>, to| -> Value {
            serde_json::from_slice(&frame.result(List::Tools, &page, to)).unwrap()
        };
        assert_eq!(read(&frame, Era::Legacy), json!({ "tools": [{ "name": "x" }] }));
        let first = Frame { next: Some("sealed"), ..frame };
        assert_eq!(read(&first, Era::Legacy)["nextCursor"], "sealed");
        assert_eq!(
            read(&frame, Era::Modern),
            json!({ "resultType": "complete", "ttlMs": 9, "cacheScope": "public", "tools": [{ "name": "x" }],
                    "_meta": { META_SERVER_INFO: {} } })
        );
        let partial = Frame { stale: &["s"], missing: &["m"], ..frame };
        let said = json!({ "stale": ["s"], "missing": ["m"] });
        let modern = read(&partial, Era::Modern);
        assert_eq!((&modern["ttlMs"], &modern["cacheScope"]), (&json!(0), &json!("private")));
        assert_eq!(modern["_meta"][META_PARTIAL], said);
        assert_eq!(read(&partial, Era::Legacy)["_meta"], json!({ META_PARTIAL: said }));
    }
}
