//! How the gateway introduces itself to backends.

use omcp_mcp::envelope::{META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROTOCOL_VERSION};
use omcp_mcp::revision::Revision;
use serde_json::{Value, json};

/// Name and version.
pub fn client_info() -> Value {
    json!({"name": "omcp", "title": "Open MCP Gateway", "version": env!("CARGO_PKG_VERSION")})
}

/// The metadata that every modern request carries.
pub fn metadata() -> Value {
    json!({
        META_PROTOCOL_VERSION: Revision::LATEST.as_str(),
        META_CLIENT_INFO: client_info(),
        META_CLIENT_CAPABILITIES: {},
    })
}
