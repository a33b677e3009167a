//! What may be sent to a backend a second time.

use omcp_core::McpMessage;
use omcp_core::lifecycle::Retry;
use omcp_mcp::methods;

use super::Served;
use crate::backends::lane::CallCounts;

/// Methods that only list or read.
const READING: [&str; 6] = [
    methods::TOOLS_LIST,
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
];

impl Served {
    /// Whether a request of which the outcome is unknown may be sent again: its backend opted in, and it
    /// only reads, or calls a tool that says that a second call changes nothing more.
    pub fn may_repeat(&self, message: &McpMessage) -> bool {
        if self.lifecycle().retry != Retry::Idempotent || message.id().is_none() {
            return false;
        }
        match message.method() {
            Some(methods::TOOLS_CALL) => {
                let tool = message.envelope().target(message.bytes());
                tool.is_some_and(|tool| self.known_tools.load().is_repeatable(&tool))
            }
            Some(method) => READING.contains(&method),
            None => false,
        }
    }

    /// A request is sent again.
    pub fn note_repeat(&self) {
        CallCounts::add(&self.shared.calls.repeated, 1);
    }
}
