//! [`Filter`]: which changes a `subscriptions/listen` wants to hear of.

use super::edits::{joined, object, pair, quoted};
use super::limits::{SUBSCRIPTIONS_MAX, TASKS_MAX};
use super::server::ServerTraits;
use crate::methods;
use crate::object::{elements, member};

const RESOURCES: &str = "resourceSubscriptions";
const TASKS: &str = "taskIds";

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    /// Resources, without repetition.
    pub uris: Vec<String>,
    /// Tasks, without repetition.
    pub tasks: Vec<String>,
}

impl Filter {
    /// Reads `params.notifications`; what is beyond the bound is left out, as the acknowledgement says.
    pub fn parse(raw: &[u8]) -> Self {
        let says = |name| member(raw, 0..raw.len(), name).is_some_and(|at| &raw[at] == b"true");
        Self {
            tools: says("toolsListChanged"),
            prompts: says("promptsListChanged"),
            resources: says("resourcesListChanged"),
            uris: texts(raw, RESOURCES, SUBSCRIPTIONS_MAX),
            tasks: texts(raw, TASKS, TASKS_MAX),
        }
    }

    /// What of it a server with these traits can honour. Which tasks it tells of, no trait says.
    #[must_use]
    pub fn offered_by(self, server: ServerTraits) -> Self {
        Self {
            tools: self.tools && server.tools_changed,
            prompts: self.prompts && server.prompts_changed,
            resources: self.resources && server.resources_changed,
            uris: if server.subscribe { self.uris } else { Vec::new() },
            tasks: Vec::new(),
        }
    }

    /// The value of `notifications`.
    pub fn to_json(&self) -> Vec<u8> {
        let flag = |on: bool, text: &'static [u8]| if on { text } else { b"" };
        object(&joined(&[
            flag(self.tools, br#""toolsListChanged":true"#),
            flag(self.prompts, br#""promptsListChanged":true"#),
            flag(self.resources, br#""resourcesListChanged":true"#),
            &list(RESOURCES, &self.uris),
            &list(TASKS, &self.tasks),
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

/// The strings in the member `name`, sorted and without repetition.
fn texts(raw: &[u8], name: &str, most: usize) -> Vec<String> {
    let list = member(raw, 0..raw.len(), name).filter(|at| raw[at.start] == b'[');
    let texts =
        list.into_iter().flat_map(|list| elements(raw, list)).filter_map(|at| crate::json::text(&raw[at]));
    let mut texts: Vec<String> = texts.take(most).map(|text| text.into_owned()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn list(name: &str, texts: &[String]) -> Vec<u8> {
    if texts.is_empty() {
        return Vec::new();
    }
    let texts: Vec<Vec<u8>> = texts.iter().map(|text| quoted(text)).collect();
    let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    pair(name, &[b"[", &*joined(&texts), b"]"].concat())
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
            "resourceSubscriptions":["b","a","a",5],"taskIds":["t","s","t",{}],"unknown":true}"#;
        let filter = Filter::parse(asked);
        assert_eq!(
            (&filter.uris[..], &filter.tasks[..]),
            (&["a", "b"].map(String::from)[..], &["s", "t"].map(String::from)[..])
        );
        assert_eq!(Filter::parse(&filter.to_json()), filter);
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
