//! [`Tools`]: what calls have to know of a backend's tools, by the last list of them: which arguments
//! travel as headers as well (2026-07-28, Streamable HTTP: Custom Headers), and what may be called twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use omcp_mcp::admit::{ParamHeader, check_annotations, mcp_params};
use omcp_mcp::object;
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

/// Whether a tool of a list may be offered over HTTP; the log says why not.
pub fn may_be_offered(tool: &[u8]) -> bool {
    let checked = check_annotations(tool);
    if let Err(error) = &checked {
        let tool = object::member_text(tool, 0..tool.len(), "name");
        tracing::warn!(tool = tool.as_deref(), %error, "the tool is left out of lists");
    }
    checked.is_ok()
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
        assert!(may_be_offered(tool("Region").as_bytes()));
        assert!(!may_be_offered(tool("My Region").as_bytes()));
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
