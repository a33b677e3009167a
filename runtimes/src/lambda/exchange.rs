//! From one message to its answer.

use std::sync::Arc;

use bytes::Bytes;
use omcp_core::McpMessage;
use omcp_mcp::envelope::{Kind, canonical_id};
use omcp_mcp::refusal::code;
use omcp_mcp::{methods, revision};
use tokio::time::timeout;

use super::capabilities;
use super::failure::Failure;
use super::function::Function;
use super::handshake::Handshake;
use crate::answers;

/// Invokes the function with a request, within the time for a call.
///
/// # Errors
/// It gave no answer. A JSON-RPC error is an answer.
pub async fn request(
    function: Arc<Function>,
    handshake: Arc<Handshake>,
    message: &McpMessage,
) -> Result<McpMessage, Failure> {
    let answer = async {
        match message.method() {
            _ if is_modern(message) => modern(&function, message).await,
            Some(methods::INITIALIZE) => handshake.open(&function, message).await,
            _ => handshake.request(&function, message).await,
        }
    };
    timeout(function.call_timeout, answer).await.unwrap_or_else(|_| Err(function.late()))
}

/// Every modern request stands for itself.
async fn modern(function: &Function, message: &McpMessage) -> Result<McpMessage, Failure> {
    let answer = ask(function, message).await?;
    let discovers = message.method() == Some(methods::SERVER_DISCOVER);
    match answer.envelope().error_code() {
        None if discovers => {
            function.note_modern();
            Ok(capabilities::reduced(answer))
        }
        Some(sent) if MODERN_CODES.iter().any(|code| i64::from(*code) == sent) => {
            function.note_modern();
            Ok(answer)
        }
        _ => Ok(answer),
    }
}

/// Codes that only modern servers send.
const MODERN_CODES: [i32; 3] = [code::UNSUPPORTED_VERSION, code::HEADER_MISMATCH, code::MISSING_CAPABILITY];

/// Whether the message carries a modern envelope.
pub fn is_modern(message: &McpMessage) -> bool {
    let version = message.envelope().protocol_version(message.bytes());
    version.is_some_and(|version| revision::is_modern_version(&version))
}

/// Invokes the function with a notification, within the time for a call. Its answer is `{}`, or does
/// not matter.
pub async fn notify(function: &Function, message: &McpMessage) {
    let invoked = timeout(function.call_timeout, function.invoke(message.bytes())).await;
    if let Err(failure) = invoked.unwrap_or_else(|_| Err(function.late())) {
        let (error, method) = (failure.error.chain(), message.method());
        tracing::debug!(error, method, "the function did not take a notification");
    }
}

/// One invocation with a request as it is.
///
/// # Errors
/// It gave no answer.
pub async fn ask(function: &Function, message: &McpMessage) -> Result<McpMessage, Failure> {
    ask_with(function, message, message.bytes()).await
}

/// One invocation with `payload` in the stead of a request.
///
/// # Errors
/// It gave no answer.
pub async fn ask_with(
    function: &Function,
    message: &McpMessage,
    payload: &[u8],
) -> Result<McpMessage, Failure> {
    let returned = function.invoke(payload).await?;
    read(function, message.id().unwrap_or_default(), returned)
}

/// The answer to the request `id`. Adapters write errors under ids of their own.
fn read(function: &Function, id: &[u8], returned: Bytes) -> Result<McpMessage, Failure> {
    let no_answer = || Failure::no_answer(function.name(), &returned);
    let answer = McpMessage::parse(returned.clone()).map_err(|_| no_answer())?;
    let own = answer.id().is_some_and(|given| given == id || canonical_id(given) == canonical_id(id));
    match answer.envelope().kind() {
        Kind::Response | Kind::Error if own => Ok(answer),
        Kind::Error => answers::error_with_id(id, &answer).ok_or_else(no_answer),
        _ => Err(no_answer()),
    }
}
