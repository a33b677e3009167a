//! The only place where a [`GatewayError`] becomes a JSON-RPC error.

use omcp_core::{Fault, GatewayError};
use omcp_mcp::refusal::{code, error_response};
use serde_json::json;

/// The error response to the request `id` (raw spelling), whatever way it travels.
pub fn message(id: &[u8], backend: &str, error: &GatewayError) -> Vec<u8> {
    let code = if error.fault() == Fault::Client { code::INVALID_PARAMS } else { code::INTERNAL_ERROR };
    let text = format!("backend {backend}: {}", error.chain());
    error_response(id, code, &text, Some(&json!({ "reason": error.code(), "backend": backend })))
}
