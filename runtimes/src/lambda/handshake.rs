//! [`Handshake`]: the legacy side of one connection.
//!
//! A function has no sessions: AWS may hand any invocation to a fresh copy of it. So `initialize` is one
//! invocation, and is kept. A copy whose server has not seen it refuses a call before running it; then
//! handshake and call are repeated. A copy that has seen one already, from another client, refuses a second;
//! and some functions know no `initialize` at all. If they list their tools all the same, the node answers
//! in their stead.

use std::sync::OnceLock;

use bytes::Bytes;
use omcp_core::McpMessage;
use omcp_mcp::envelope::Kind;
use omcp_mcp::refusal::code;
use omcp_mcp::revision::{Era, Revision};
use omcp_mcp::{compose, methods, object, splice};
use serde_json::{Value, json};

use super::capabilities;
use super::exchange::{ask, ask_with};
use super::failure::Failure;
use super::function::Function;

/// How often one call repeats the handshake: the call after it may meet yet another fresh copy.
const REPEATS_MAX: usize = 3;

#[derive(Default)]
pub struct Handshake {
    outcome: OnceLock<Outcome>,
}

enum Outcome {
    /// The function's server took this `initialize`.
    Done(Bytes),
    /// The function knows no handshake; the node answered in its stead.
    NotNeeded,
}

impl Handshake {
    /// `initialize`, asked of the function.
    ///
    /// # Errors
    /// It gave no answer.
    pub async fn open(&self, function: &Function, message: &McpMessage) -> Result<McpMessage, Failure> {
        let payload = without_capabilities(message);
        let answer = ask_with(function, message, &payload).await?;
        if answer.envelope().kind() == Kind::Response {
            let answer = capabilities::reduced(answer);
            function.keep_greeting(&answer);
            self.conclude(Outcome::Done(payload));
            return Ok(answer);
        }
        let outcome = match Refusal::of(&answer) {
            Some(refusal) if refusal.is_second_handshake() => Outcome::Done(payload),
            Some(refusal) if refusal.code == METHOD_NOT_FOUND && !function.is_modern() => Outcome::NotNeeded,
            _ => return Ok(answer),
        };
        if !lists_tools(function, message).await {
            return Ok(answer);
        }
        self.conclude(outcome);
        Ok(in_its_stead(function, message))
    }

    /// A second handshake on one connection does not replace the first.
    fn conclude(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
    }

    /// Any other request of the legacy era.
    ///
    /// # Errors
    /// The function gave no answer.
    pub async fn request(&self, function: &Function, message: &McpMessage) -> Result<McpMessage, Failure> {
        let mut answer = ask(function, message).await?;
        let Some(Outcome::Done(initialize)) = self.outcome.get() else { return Ok(answer) };
        for _ in 0..REPEATS_MAX {
            if !Refusal::of(&answer).is_some_and(|refusal| refusal.wants_handshake()) {
                break;
            }
            let _turn = function.handshakes.lock().await;
            tracing::debug!(
                function = function.name(),
                "repeats the handshake for a fresh copy of the function"
            );
            function.invoke(initialize).await?;
            function.invoke(&compose::notification(methods::INITIALIZED, None)).await?;
            answer = ask(function, message).await?;
        }
        Ok(answer)
    }

    /// Whether the function has no use for `notifications/initialized`.
    pub fn is_not_needed(&self) -> bool {
        matches!(self.outcome.get(), Some(Outcome::NotNeeded))
    }
}

/// No client capabilities reach a function: it cannot ask anything.
fn without_capabilities(message: &McpMessage) -> Bytes {
    let bytes = message.bytes();
    let params = message.envelope().params_range();
    match params.and_then(|params| object::member(bytes, params, "capabilities")) {
        Some(declared) => splice::splice(bytes, &[(declared, b"{}")]),
        None => bytes.clone(),
    }
}

/// A JSON-RPC error of a function's server.
struct Refusal {
    code: i64,
    /// In lower case.
    message: String,
    data: Value,
}

const METHOD_NOT_FOUND: i64 = code::METHOD_NOT_FOUND as i64;
/// What servers say that want `initialize` first.
const WANTS_HANDSHAKE: [&str; 5] =
    ["not initialized", "before initializ", "initialize first", "uninitialized", "must be initialized"];

impl Refusal {
    fn of(answer: &McpMessage) -> Option<Self> {
        let range = answer.envelope().error_range()?;
        let mut error: Value = serde_json::from_slice(&answer.bytes()[range]).ok()?;
        let message = error["message"].as_str().unwrap_or_default().to_ascii_lowercase();
        Some(Self { code: error["code"].as_i64()?, message, data: error["data"].take() })
    }

    /// Each of these comes before the request is run; errors of tools have other codes, or are results.
    fn wants_handshake(&self) -> bool {
        // The Python SDK says no more than this.
        let python = self.code == -32602 && self.message == "invalid request parameters" && self.data == "";
        python || (self.is_of_protocol() && WANTS_HANDSHAKE.iter().any(|words| self.message.contains(words)))
    }

    fn is_second_handshake(&self) -> bool {
        self.is_of_protocol() && self.message.contains("already") && self.message.contains("initialized")
    }

    fn is_of_protocol(&self) -> bool {
        matches!(self.code, -32600 | -32602 | -32000 | -32002)
    }
}

async fn lists_tools(function: &Function, message: &McpMessage) -> bool {
    let list = compose::request(message.id().unwrap_or_default(), methods::TOOLS_LIST, Some(b"{}"));
    let Ok(answer) = ask_with(function, message, &list).await else { return false };
    let result = answer.envelope().result_range();
    result.is_some_and(|result| object::member(answer.bytes(), result, "tools").is_some())
}

/// What the function's server has said to others, or else the least that can be said of it.
fn in_its_stead(function: &Function, message: &McpMessage) -> McpMessage {
    let id = message.id().unwrap_or_default();
    let result = function.greeting().unwrap_or_else(|| least_greeting(function, message));
    McpMessage::trusted(compose::response(id, &result).into())
}

fn least_greeting(function: &Function, message: &McpMessage) -> Bytes {
    let bytes = message.bytes();
    let params = message.envelope().params_range();
    let wanted = params.and_then(|params| object::member_text(bytes, params, "protocolVersion"));
    let revision = wanted.and_then(|wanted| Revision::parse(&wanted));
    let revision =
        revision.filter(|revision| revision.era() == Era::Legacy).unwrap_or(Revision::LATEST_LEGACY);
    let result = json!({
        "protocolVersion": revision.as_str(),
        "capabilities": { "tools": {} },
        "serverInfo": { "name": function.name(), "version": "" },
    });
    result.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_uninitialized_servers_are_told_from_other_errors() {
        for (error, want) in [
            (r#"{"code":-32000,"message":"Bad Request: Server not initialized"}"#, true),
            (r#"{"code":-32600,"message":"initialize first"}"#, true),
            (r#"{"code":-32602,"message":"Received request before initialization was complete"}"#, true),
            (r#"{"code":-32602,"message":"Invalid request parameters","data":""}"#, true),
            (r#"{"code":-32602,"message":"Invalid request parameters","data":"name"}"#, false),
            (r#"{"code":-32603,"message":"the database was not initialized"}"#, false),
            (r#"{"code":-32601,"message":"Method not found"}"#, false),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
            let refusal = Refusal::of(&McpMessage::trusted(text.into())).unwrap();
            assert_eq!(refusal.wants_handshake(), want, "{error}");
            assert!(!refusal.is_second_handshake(), "{error}");
        }
        assert!(
            Refusal::of(&McpMessage::trusted(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.into())).is_none()
        );
    }

    #[test]
    fn refusals_of_a_second_handshake_are_known() {
        for text in ["Invalid Request: Server already initialized", "session is initialized already"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32600,"message":"{text}"}}}}"#);
            let refusal = Refusal::of(&McpMessage::trusted(text.into())).unwrap();
            assert!(refusal.is_second_handshake() && !refusal.wants_handshake());
        }
    }
}
