//! [`Selection`]: which backends belong to an endpoint: all, or those that have all the tags that its query
//! names (`?tags=database,production`).

use std::borrow::Cow;
use std::fmt;

use omcp_core::backend::{Backend, TAG_LEN_MAX, TAGS_MAX};
use omcp_mcp::refusal::Refusal;

/// Sorted tags, without repetition. The name of its endpoint is no name that a backend can have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    tags: Vec<String>,
}

impl Selection {
    /// The name of the endpoint of all backends.
    pub const ALL: &'static str = "*";

    /// Reads the query of a URL. Other parameters are none of ours.
    ///
    /// # Errors
    /// 400 for tags that no backend can have.
    pub fn of_query(query: &str) -> Result<Self, Refusal> {
        let mut tags = Vec::new();
        let lists = query.split('&').filter_map(|pair| pair.strip_prefix("tags="));
        for tag in lists.flat_map(|list| list.split(',')) {
            let tag =
                decoded(tag).ok_or_else(|| Refusal::invalid_request("tags is not percent-encoded UTF-8"))?;
            // An encoded comma separates as well as a plain one: no tag holds any.
            tags.extend(tag.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned));
        }
        tags.sort_unstable();
        tags.dedup();
        if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.len() > TAG_LEN_MAX) {
            let text =
                format!("tags names more than {TAGS_MAX} tags, or one of more than {TAG_LEN_MAX} bytes");
            return Err(Refusal::invalid_request(text));
        }
        Ok(Self { tags })
    }

    pub fn includes(&self, backend: &Backend) -> bool {
        self.tags.iter().all(|tag| backend.tags.contains(tag))
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL)?;
        if !self.tags.is_empty() {
            write!(f, "?tags={}", self.tags.join(","))?;
        }
        Ok(())
    }
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_select() {
        for (query, want) in [
            ("", "*"),
            ("x=1", "*"),
            ("tags=", "*"),
            ("tags=b,a,b", "*?tags=a,b"),
            ("x=1&tags=b&tags=a", "*?tags=a,b"),
            ("tags=b%2Ca", "*?tags=a,b"),
            ("tags=%C3%A4", "*?tags=\u{e4}"),
        ] {
            assert_eq!(Selection::of_query(query).unwrap().to_string(), want, "{query}");
        }
        let many: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        for bad in [
            "tags=%",
            "tags=%zz",
            "tags=%ff",
            &format!("tags={}", many.join(",")),
            &format!("tags={}", "x".repeat(64)),
        ] {
            assert_eq!(Selection::of_query(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
