//! [`Statement`]: what the aggregate says of itself: the capabilities of all backends together.
//!
//! The lists are offered always, and always as ones that may change, because backends come and go.

use serde_json::{Map, Value, json};

use super::source::Source;
use crate::envelope::META_SERVER_INFO;
use crate::object::{member, members};
use crate::revision::{Era, Revision};

/// Bytes of one backend's instructions that are passed on; a model reads all of them.
pub const INSTRUCTIONS_LEN_MAX: usize = 2 * 1024;
/// Bytes of all of them.
pub const INSTRUCTIONS_TOTAL_MAX: usize = 16 * 1024;

/// Extensions that work with several backends at once.
const UI_EXTENSION: &str = "io.modelcontextprotocol/ui";
const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    capabilities: Value,
    instructions: String,
}

impl Statement {
    /// Gathers what `backends` say, for clients of the era `to`.
    pub fn of<'a>(backends: impl IntoIterator<Item = (&'a str, &'a Source)>, to: Era) -> Self {
        let mut sum = Sum::default();
        for (backend, source) in backends {
            let server: Value = serde_json::from_slice(&source.server).unwrap_or_default();
            sum.add(backend, source.era, &server, to);
        }
        sum.finish(to)
    }

    /// The result of `server/discover`. `info` is a JSON object.
    pub fn discovery(&self, info: &Value, served: &[&str]) -> Value {
        let mut result = json!({
            "resultType": "complete", "supportedVersions": served, "capabilities": self.capabilities,
            "ttlMs": 0, "cacheScope": "private", "_meta": { META_SERVER_INFO: info },
        });
        self.instruct(&mut result);
        result
    }

    /// The result of `initialize`.
    pub fn handshake(&self, info: &Value, revision: Revision) -> Value {
        let mut result = json!({
            "protocolVersion": revision.as_str(), "capabilities": self.capabilities, "serverInfo": info,
        });
        self.instruct(&mut result);
        result
    }

    fn instruct(&self, result: &mut Value) {
        if !self.instructions.is_empty() {
            result["instructions"] = self.instructions.as_str().into();
        }
    }
}

/// Whether a backend has extensions that the aggregate knows nothing of, and so perhaps methods.
pub fn has_own_extensions(source: &Source) -> bool {
    let src = &source.server;
    let capabilities = member(src, 0..src.len(), "capabilities");
    let maps = ["extensions", "experimental"].map(|name| member(src, capabilities.clone()?, name));
    let mut all = maps.into_iter().flatten().flat_map(|map| members(src, map));
    all.any(|(name, _)| name != UI_EXTENSION && name != TASKS_EXTENSION)
}

#[derive(Default)]
struct Sum {
    subscribe: bool,
    logging: bool,
    completions: bool,
    tasks: bool,
    /// Extension or experimental capability -> its value.
    extensions: Map<String, Value>,
    experimental: Map<String, Value>,
    /// Those that several backends have.
    shared: Vec<String>,
    instructions: String,
}

impl Sum {
    fn add(&mut self, backend: &str, from: Era, server: &Value, to: Era) {
        let capabilities = &server["capabilities"];
        self.subscribe |= capabilities["resources"]["subscribe"] == true;
        self.logging |= capabilities["logging"].is_object();
        self.completions |= capabilities["completions"].is_object();
        // A backend of both eras speaks that of its client, and told of the modern one: for legacy clients that
        // says nothing.
        if from == to || to == Era::Modern {
            self.tasks |= match from {
                Era::Legacy => capabilities["tasks"]["requests"]["tools"]["call"].is_object(),
                Era::Modern => capabilities["extensions"][TASKS_EXTENSION].is_object(),
            };
        }
        let parts = [("extensions", &mut self.extensions), ("experimental", &mut self.experimental)];
        for (name, sum) in parts {
            for (key, value) in capabilities[name].as_object().into_iter().flatten() {
                if sum.insert(key.clone(), value.clone()).is_some() {
                    self.shared.push(key.clone());
                }
            }
        }
        self.add_instructions(backend, server["instructions"].as_str().unwrap_or_default().trim());
    }

    fn add_instructions(&mut self, backend: &str, text: &str) {
        let cut = cut(text, INSTRUCTIONS_LEN_MAX);
        if cut.is_empty() || self.instructions.len() + cut.len() > INSTRUCTIONS_TOTAL_MAX {
            return;
        }
        if !self.instructions.is_empty() {
            self.instructions.push_str("\n\n");
        }
        self.instructions.push_str(&format!("## {backend}\n\n{cut}"));
    }

    fn finish(mut self, to: Era) -> Statement {
        let changing = || json!({ "listChanged": true });
        let mut all = json!({ "tools": changing(), "prompts": changing(), "resources": changing() });
        if self.subscribe {
            all["resources"]["subscribe"] = true.into();
        }
        for (name, has) in [("logging", self.logging), ("completions", self.completions)] {
            if has {
                all[name] = json!({});
            }
        }
        // What several have, nobody could tell apart.
        self.extensions.remove(TASKS_EXTENSION);
        for key in self.shared.iter().filter(|key| *key != UI_EXTENSION) {
            self.extensions.remove(key);
            self.experimental.remove(key);
        }
        match to {
            _ if !self.tasks => {}
            Era::Legacy => all["tasks"] = json!({ "cancel": {}, "requests": { "tools": { "call": {} } } }),
            Era::Modern => drop(self.extensions.insert(TASKS_EXTENSION.to_owned(), json!({}))),
        }
        for (name, map) in [("extensions", self.extensions), ("experimental", self.experimental)] {
            if !map.is_empty() {
                all[name] = Value::Object(map);
            }
        }
        Statement { capabilities: all, instructions: self.instructions }
    }
}

/// The longest beginning of `text` of at most `len_max` bytes.
fn cut(text: &str, len_max: usize) -> &str {
    let end = (0..=text.len().min(len_max)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(era: Era, server: Value) -> Source {
        Source::new(era, server.to_string())
    }

    fn info() -> Value {
        json!({ "name": "g", "version": "1" })
    }

    #[test]
    fn nobody_is_downgraded() {
        let legacy = source(
            Era::Legacy,
            json!({ "capabilities": { "tools": {}, "logging": {}, "experimental": { "x": 1 },
                    "tasks": { "requests": { "tools": { "call": {} } } } }, "instructions": " be kind " }),
        );
        let modern = source(
            Era::Modern,
            json!({ "capabilities": { "completions": {}, "resources": { "subscribe": true },
                    "extensions": { UI_EXTENSION: {}, TASKS_EXTENSION: {}, "own/one": { "k": 1 } } } }),
        );
        let both = [("a", &legacy), ("b", &modern)];
        let found = Statement::of(both, Era::Modern).discovery(&info(), &["2026-07-28"]);
        assert_eq!(
            found["capabilities"],
            json!({ "tools": { "listChanged": true }, "prompts": { "listChanged": true },
                    "resources": { "listChanged": true, "subscribe": true }, "logging": {}, "completions": {},
                    "experimental": { "x": 1 },
                    "extensions": { UI_EXTENSION: {}, TASKS_EXTENSION: {}, "own/one": { "k": 1 } } })
        );
        assert_eq!([&legacy, &modern].map(has_own_extensions), [true, true]);
        assert_eq!(found["instructions"], "## a\n\nbe kind");
        let shaken = Statement::of(both, Era::Legacy).handshake(&info(), Revision::V2025_06_18);
        assert_eq!(shaken["protocolVersion"], "2025-06-18");
        assert_eq!(shaken["capabilities"]["tasks"]["requests"], json!({ "tools": { "call": {} } }));
        assert_eq!(shaken["capabilities"]["extensions"].get(TASKS_EXTENSION), None);
        for (from, source, to, offered) in [
            ("legacy", &legacy, Era::Modern, true),
            ("modern", &modern, Era::Legacy, false),
            ("modern", &modern, Era::Modern, true),
        ] {
            let found = Statement::of([(from, source)], to).discovery(&info(), &[]);
            let found = &found["capabilities"];
            let told = found["extensions"].get(TASKS_EXTENSION).is_some() || found.get("tasks").is_some();
            assert_eq!(told, offered, "{from} to {to:?}");
        }
    }

    #[test]
    fn what_several_have_is_left_out() {
        let one = source(
            Era::Modern,
            json!({ "capabilities": { "extensions": { UI_EXTENSION: {}, "own/one": {} } } }),
        );
        let found = Statement::of([("a", &one), ("b", &one)], Era::Modern).discovery(&info(), &[]);
        assert_eq!(found["capabilities"]["extensions"], json!({ UI_EXTENSION: {} }));
        let nobody = Statement::of([], Era::Legacy).handshake(&info(), Revision::V2025_11_25);
        assert_eq!(nobody["capabilities"]["tools"], json!({ "listChanged": true }));
        assert_eq!(nobody.get("instructions"), None);
    }

    #[test]
    fn instructions_are_bounded() {
        let wordy = source(Era::Modern, json!({ "instructions": "\u{e4}".repeat(INSTRUCTIONS_LEN_MAX) }));
        let names: Vec<String> = (0..20).map(|n| format!("b{n}")).collect();
        let all = names.iter().map(|name| (name.as_str(), &wordy));
        assert!(Statement::of(all, Era::Modern).instructions.len() <= INSTRUCTIONS_TOTAL_MAX + 64);
    }
}
