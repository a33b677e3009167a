//! [`ToolHeaders`]: which arguments of a backend's tools travel as headers as well (2026-07-28, Streamable
//! HTTP: Custom Headers), by the last list of its tools.

use std::collections::HashMap;
use std::sync::Arc;

use omcp_mcp::admit::{ParamHeader, mcp_params};
use serde_json::Value;

/// Tools without such arguments take no room.
#[derive(Clone, Debug, Default)]
pub struct ToolHeaders {
    tools: HashMap<Box<str>, Arc<[ParamHeader]>>,
}

impl ToolHeaders {
    /// Reads the items of `tools/list`. A tool with a bad annotation has none.
    pub fn of(tools: &[Value]) -> Self {
        let annotated = tools.iter().filter_map(|tool| {
            let name = tool["name"].as_str()?;
            match mcp_params(&tool["inputSchema"]) {
                Ok(params) if params.is_empty() => None,
                Ok(params) => Some((name.into(), params.into())),
                Err(error) => {
                    tracing::debug!(tool = name, %error, "x-mcp-header annotation is ignored");
                    None
                }
            }
        });
        Self { tools: annotated.collect() }
    }

    pub fn get(&self, tool: &str) -> Option<Arc<[ParamHeader]>> {
        self.tools.get(tool).cloned()
    }
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
        let headers = ToolHeaders::of(&tools);
        assert_eq!(headers.get("a").map(|params| params.len()), Some(1));
        assert!(headers.get("b").is_none());
    }
}
