//! Tool arguments that headers repeat [2026-07-28 Streamable HTTP: Custom Headers from Tool Parameters]. Which
//! they are stands in the tool's schema: it is read in every list of tools that passes, and asked for when a server
//! misses a header all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::admit::{ParamHeader, mcp_params, param_fields};
use omcp_mcp::envelope::META_LOG_LEVEL;
use omcp_mcp::refusal::code;
use omcp_mcp::{compose, methods, object};
use serde_json::{Value, json};

use super::exchange::{heard, is_answer_to};
use super::session::Session;
use crate::answers;

/// Tools of one server that have such arguments; servers with more have them asked for again.
const TOOLS_MAX: usize = 1024;
/// Pages of a list of tools; what stands behind them is not found.
const PAGES_MAX: usize = 20;
/// What only the call itself may carry.
const OF_THE_PROTOCOL: &str = "io.modelcontextprotocol/";
const LIST_ID: &[u8] = br#""tools-of-a-call""#;

/// The headers of the tools that want some, by name. All connections to a server share it.
#[derive(Default)]
pub struct Mirrored(Mutex<HashMap<String, Arc<[ParamHeader]>>>);

impl Mirrored {
    /// Adds what is known to be wanted to a call.
    pub fn add(&self, request: &mut Request<Full<Bytes>>, message: &McpMessage) {
        let Some(wanted) = called(message).and_then(|tool| self.lock().get(&tool).cloned()) else { return };
        let arguments = message.envelope().params_range();
        let arguments = arguments.and_then(|params| object::member(message.bytes(), params, "arguments"));
        let arguments = arguments.map_or(&b""[..], |at| &message.bytes()[at]);
        param_fields(&wanted, arguments, &mut |name, value| {
            let field = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
            if let (Ok(name), Ok(value)) = field {
                request.headers_mut().insert(name, value);
            }
        });
    }

    /// Reads an answer to `tools/list`. A tool with a bad annotation is none that clients may call.
    pub fn read(&self, list: &McpMessage) {
        let result = list.envelope().result_range().map(|at| &list.bytes()[at]);
        let page: Value = result.and_then(|result| serde_json::from_slice(result).ok()).unwrap_or_default();
        for tool in page["tools"].as_array().into_iter().flatten() {
            if let Some(name) = tool["name"].as_str() {
                self.keep(name, mcp_params(&tool["inputSchema"]).unwrap_or_default());
            }
        }
    }

    fn keep(&self, tool: &str, headers: Vec<ParamHeader>) {
        let mut known = self.lock();
        if headers.is_empty() {
            known.remove(tool);
            return;
        }
        if known.len() >= TOOLS_MAX {
            known.clear();
        }
        known.insert(tool.to_owned(), headers.into());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<[ParamHeader]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tool that a message calls.
fn called(message: &McpMessage) -> Option<String> {
    let tool = message.envelope().target(message.bytes());
    tool.filter(|_| message.method() == Some(methods::TOOLS_CALL)).map(|tool| tool.into_owned())
}

/// Whether a server refused a call for a header that it misses, and so did not execute it.
pub fn is_missed(message: &McpMessage, status: StatusCode, body: &Bytes) -> bool {
    let mismatch = || {
        let answers = answers::messages(body.clone()).unwrap_or_default();
        answers.iter().any(|answer| answer.envelope().error_code() == Some(code::HEADER_MISMATCH.into()))
    };
    status == StatusCode::BAD_REQUEST && called(message).is_some() && mismatch()
}

/// Asks the server for the schema of the tool that `message` calls. True if some of its arguments are mirrored.
///
/// # Errors
/// It does not tell.
pub async fn learn(session: &Session, message: &McpMessage) -> Result<bool, GatewayError> {
    let Some(tool) = called(message) else { return Ok(false) };
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = list(session, message, cursor.as_ref()).await?;
        let named = |entry: &&Value| entry["name"] == tool.as_str();
        if let Some(found) = page["tools"].as_array().into_iter().flatten().find(named) {
            let headers = mcp_params(&found["inputSchema"]).unwrap_or_default();
            let any = !headers.is_empty();
            session.mirrored.keep(&tool, headers);
            return Ok(any);
        }
        cursor = page.get("nextCursor").filter(|next| next.is_string()).cloned();
        if cursor.is_none() {
            break;
        }
    }
    Ok(false)
}

/// One page of the tools, asked for in the name of the client that calls.
async fn list(session: &Session, call: &McpMessage, cursor: Option<&Value>) -> Result<Value, GatewayError> {
    let mut params = json!({ "_meta": introduction(call) });
    if let Some(cursor) = cursor {
        params["cursor"] = cursor.clone();
    }
    let request = compose::request(LIST_ID, methods::TOOLS_LIST, Some(params.to_string().as_bytes()));
    let request = McpMessage::trusted(request.into());
    let response = session.post(&request, session.limits.write_timeout).await?;
    let messages = heard(session.limits, response, &request).await?;
    let answer = messages.iter().find(|message| is_answer_to(message, &request));
    let result = answer.and_then(|answer| Some(&answer.bytes()[answer.envelope().result_range()?]));
    result
        .and_then(|result| serde_json::from_slice(result).ok())
        .ok_or_else(|| GatewayError::protocol("the server does not list its tools"))
}

/// How a client introduces itself in every request.
fn introduction(call: &McpMessage) -> Value {
    let bytes = call.bytes();
    let members = call.envelope().meta_range().into_iter().flat_map(|meta| object::members(bytes, meta));
    members
        .filter(|(name, _)| name.starts_with(OF_THE_PROTOCOL) && name != META_LOG_LEVEL)
        .filter_map(|(name, at)| Some((name.into_owned(), serde_json::from_slice::<Value>(&bytes[at]).ok()?)))
        .collect()
}
