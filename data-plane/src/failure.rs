//! The only place where a [`GatewayError`] becomes a JSON-RPC error.

use omcp_core::{ErrorKind, Fault, GatewayError};
use omcp_mcp::refusal::{code, error_response};
use serde_json::json;

/// When it is worth trying again after a limit was hit: calls take about as long.
const RETRY_AFTER_MS: u64 = 1_000;

/// The error response to the request `id` (raw spelling), whatever way it travels.
pub fn message(id: &[u8], backend: &str, error: &GatewayError) -> Vec<u8> {
    let code = if error.fault() == Fault::Client { code::INVALID_PARAMS } else { code::INTERNAL_ERROR };
    let text = format!("backend {backend}: {}", error.chain());
    let mut data = json!({ "reason": error.code(), "backend": backend });
    if error.kind() == ErrorKind::Limit {
        data["retryAfterMs"] = RETRY_AFTER_MS.into();
    }
    error_response(id, code, &text, Some(&data))
}
