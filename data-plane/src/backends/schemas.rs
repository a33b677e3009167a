//! [`Tools`]: what calls have to know of a backend's tools, by the last list of them: which arguments
//! travel as headers as well (2026-07-28, Streamable HTTP: Custom Headers), and what may be called twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use omcp_mcp::admit::{ParamHeader, mcp_params};
use serde_json::Value;

/// Tools of which there is nothing to know take no room.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    headers: HashMap<Box<str>, Arc<[ParamHeader]>>,
    repeatable: HashSet<Box<str>>,
}

impl Tools {
    /// Reads the items of `tools/list`. A tool with a bad annotation has none.
    pub fn of(tools: &[Value]) -> Self {
        let mut known = Self::default();
        for tool in tools {
            let Some(name) = tool["name"].as_str() else { continue };
            match mcp_params(&tool["inputSchema"]) {
                Ok(params) if params.is_empty() => {}
                Ok(params) => drop(known.headers.insert(name.into(), params.into())),
                Err(error) => tracing::debug!(tool = name, %error, "x-mcp-header annotation is ignored"),
            }
            let says = |hint: &str| tool["annotations"][hint] == true;
            if says("readOnlyHint") || says("idempotentHint") {
                known.repeatable.insert(name.into());
            }
        }
        known
    }

    pub fn headers(&self, tool: &str) -> Option<Arc<[ParamHeader]>> {
        self.headers.get(tool).cloned()
    }

    /// Whether the tool says of itself that a second call changes nothing more.
    pub fn is_repeatable(&self, tool: &str) -> bool {
        self.repeatable.contains(tool)
    }
}

/// Whether a tool may be offered over HTTP: one that says wrongly which arguments are repeated in headers may
/// not (2026-07-28, Tools: x-mcp-header).
pub fn has_good_headers(tool: &[u8]) -> bool {
    let tool: Value = serde_json::from_slice(tool).unwrap_or_default();
    let read = mcp_params(&tool["inputSchema"]);
    if let Err(error) = &read {
        tracing::warn!(tool = tool["name"].as_str(), %error, "the tool is left out of lists");
    }
    read.is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_annotated_tools_are_kept() {
        let schema =
            json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        let tools =
            [json!({"name": "a", "inputSchema": schema}), json!({"name": "b", "inputSchema": {}}), json!({})];
        let headers = Tools::of(&tools);
        assert_eq!(headers.headers("a").map(|params| params.len()), Some(1));
        assert!(headers.headers("b").is_none());
    }

    #[test]
    fn tools_with_bad_annotations_are_not_offered() {
        let tool = |annotation: &str| {
            let region = json!({"type": "string", "x-mcp-header": annotation});
            json!({"name": "a", "inputSchema": {"properties": {"region": region}}}).to_string()
        };
        assert!(has_good_headers(tool("Region").as_bytes()));
        assert!(!has_good_headers(tool("My Region").as_bytes()));
    }

    #[test]
    fn what_may_be_called_twice_says_so() {
        let annotated = |name: &str, annotations: Value| json!({"name": name, "annotations": annotations});
        let tools = [
            annotated("reads", json!({"readOnlyHint": true})),
            annotated("sets", json!({"readOnlyHint": false, "idempotentHint": true})),
            annotated("adds", json!({"idempotentHint": false})),
            annotated("lies", json!({"readOnlyHint": "true"})),
            json!({"name": "silent"}),
        ];
        let tools = Tools::of(&tools);
        let repeatable = ["reads", "sets", "adds", "lies", "silent"].map(|name| tools.is_repeatable(name));
        assert_eq!(repeatable, [true, true, false, false, false]);
    }
}
