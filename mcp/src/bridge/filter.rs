//! [`Filter`]: which changes a `subscriptions/listen` wants to hear of.

use super::edits::{joined, object, pair, quoted};
use super::limits::SUBSCRIPTIONS_MAX;
use super::server::ServerTraits;
use crate::methods;
use crate::object::{elements, member};

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    /// Resources, without repetition.
    pub uris: Vec<String>,
}

impl Filter {
    /// Reads `params.notifications`; what is beyond the bound is left out, as the acknowledgement says.
    pub fn parse(raw: &[u8]) -> Self {
        let says = |name| member(raw, 0..raw.len(), name).is_some_and(|at| &raw[at] == b"true");
        let list = member(raw, 0..raw.len(), "resourceSubscriptions").filter(|at| raw[at.start] == b'[');
        let mut uris: Vec<String> = Vec::new();
        for at in list.into_iter().flat_map(|list| elements(raw, list)) {
            match crate::json::text(&raw[at]) {
                Some(uri) if uris.len() < SUBSCRIPTIONS_MAX => uris.push(uri.into_owned()),
                _ => {}
            }
        }
        uris.sort_unstable();
        uris.dedup();
        Self {
            tools: says("toolsListChanged"),
            prompts: says("promptsListChanged"),
            resources: says("resourcesListChanged"),
            uris,
        }
    }

    /// What of it a server with these traits can honour.
    #[must_use]
    pub fn offered_by(self, server: ServerTraits) -> Self {
        Self {
            tools: self.tools && server.tools_changed,
            prompts: self.prompts && server.prompts_changed,
            resources: self.resources && server.resources_changed,
            uris: if server.subscribe { self.uris } else { Vec::new() },
        }
    }

    /// The value of `notifications`.
    pub fn to_json(&self) -> Vec<u8> {
        let flag = |on: bool, text: &'static [u8]| if on { text } else { b"" };
        let uris: Vec<Vec<u8>> = self.uris.iter().map(|uri| quoted(uri)).collect();
        let uris: Vec<&[u8]> = uris.iter().map(Vec::as_slice).collect();
        let uris = match uris.is_empty() {
            true => Vec::new(),
            false => pair("resourceSubscriptions", &[b"[", &*joined(&uris), b"]"].concat()),
        };
        object(&joined(&[
            flag(self.tools, br#""toolsListChanged":true"#),
            flag(self.prompts, br#""promptsListChanged":true"#),
            flag(self.resources, br#""resourcesListChanged":true"#),
            &uris,
        ]))
    }

    /// Whether it wants a list change.
    pub fn wants(&self, method: &str) -> bool {
        match method {
            methods::TOOLS_LIST_CHANGED => self.tools,
            methods::PROMPTS_LIST_CHANGED => self.prompts,
            methods::RESOURCES_LIST_CHANGED => self.resources,
            _ => false,
        }
    }

    /// Whether it wants news of a resource: one it names, or one below that.
    pub fn covers(&self, uri: &str) -> bool {
        self.uris.iter().any(|named| is_at_or_below(uri, named))
    }
}

fn is_at_or_below(uri: &str, named: &str) -> bool {
    let Some(rest) = uri.strip_prefix(named) else {
        return false;
    };
    rest.is_empty() || named.ends_with('/') || rest.starts_with(['/', '?', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_what_is_offered() {
        let asked = br#"{"toolsListChanged":true,"promptsListChanged":false,"resourcesListChanged":true,
            "resourceSubscriptions":["b","a","a",5],"unknown":true}"#;
        let filter = Filter::parse(asked);
        assert_eq!(filter.uris, ["a", "b"]);
        let all = ServerTraits { tools_changed: true, subscribe: true, ..ServerTraits::default() };
        let offered = filter.clone().offered_by(all);
        assert_eq!(offered.to_json(), br#"{"toolsListChanged":true,"resourceSubscriptions":["a","b"]}"#);
        assert_eq!(Filter::parse(&offered.to_json()), offered);
        assert!(offered.wants(methods::TOOLS_LIST_CHANGED) && !offered.wants(methods::PROMPTS_LIST_CHANGED));
        assert_eq!(filter.offered_by(ServerTraits::default()).to_json(), b"{}");
    }

    #[test]
    fn a_resource_covers_what_is_below_it() {
        let filter = Filter { uris: vec!["file:///a".into(), "x://b/".into()], ..Filter::default() };
        for (uri, covered) in [
            ("file:///a", true),
            ("file:///a/b", true),
            ("file:///a#part", true),
            ("file:///ab", false),
            ("x://b/c", true),
            ("x://b", false),
            ("", false),
        ] {
            assert_eq!(filter.covers(uri), covered, "{uri}");
        }
    }
}
