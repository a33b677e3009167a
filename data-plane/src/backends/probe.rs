//! Era detection: which revisions a backend speaks, found out by asking it once (2026-07-28,
//! Versioning: Backward Compatibility).
//!
//! The modern question comes first. "Legacy" is concluded from a successful `initialize` alone, never
//! from silence or an error: an outage is no verdict.

use std::time::Duration;

use omcp_core::{EraPin, ErrorKind, GatewayError};
use omcp_mcp::methods;
use omcp_mcp::revision::{Era, Revision};
use serde_json::{Value, json};

use super::dialogue::{Dialogue, Refused};
use super::eras::Eras;
use super::schemas::Tools;
use super::served::{Findings, Served};

/// For the first answer, counted from the start of a process: some modern servers need more than four
/// seconds on a busy machine, and must not be taken for silent legacy ones.
const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// For one page of tools: the backend is up by then.
const LIST_DEADLINE: Duration = Duration::from_secs(10);
/// Pages of tools that are counted; more belong to a server that repeats its cursor for ever.
const LIST_PAGES_MAX: usize = 16;
/// How long a probed connection may take to end.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// `UnsupportedProtocolVersion`, `HeaderMismatch`, `MissingRequiredClientCapability`: codes that only
/// modern servers send.
const UNSUPPORTED_VERSION: i64 = -32022;
const HEADER_MISMATCH: i64 = -32020;
const MISSING_CAPABILITY: i64 = -32021;

/// Finds out whether the backend answers, and in which era.
///
/// # Errors
/// It does not answer, refuses our credentials, or speaks nothing that this program speaks.
pub async fn run(served: &Served) -> Result<Findings, GatewayError> {
    match served.era_pin() {
        EraPin::Only(Era::Legacy) => legacy(served).await,
        EraPin::Only(Era::Modern) => modern(served).await,
        EraPin::Auto => detect(served).await,
    }
}

/// Whether a backend that is known to be modern has a handshake as well. On a connection of its own:
/// a server of both eras keeps to the first one it hears.
/// `None` if it did not answer.
pub async fn speaks_legacy(served: &Served) -> Option<bool> {
    let mut dialogue = dial(served).await.ok()?;
    let answer = initialize(&mut dialogue, FIRST_ANSWER_DEADLINE).await;
    dialogue.close(CLOSE_DEADLINE).await;
    answer.ok().map(|answer| answer.is_ok())
}

async fn detect(served: &Served) -> Result<Findings, GatewayError> {
    let mut dialogue = dial(served).await?;
    let answer = discover(&mut dialogue).await;
    match judge(answer, served.runtime().http().is_some()) {
        Judgement::Modern(discovered) => modern_on(served, dialogue, &discovered).await,
        Judgement::GoOn => match legacy_on(dialogue).await {
            Ok(findings) => Ok(findings),
            Err(_) => legacy(served).await,
        },
        Judgement::StartAnew => {
            dialogue.close(CLOSE_DEADLINE).await;
            legacy(served).await
        }
        Judgement::NoVerdict(error) => {
            dialogue.close(CLOSE_DEADLINE).await;
            Err(error)
        }
    }
}

/// What the answer to `server/discover` says.
enum Judgement {
    /// It is modern; this is what it said of itself.
    Modern(Value),
    /// It is not, and the connection is as good as new: ask for a handshake.
    GoOn,
    /// It is not, and may have been upset by the question: ask on another connection.
    StartAnew,
    /// Nothing can be said.
    NoVerdict(GatewayError),
}

fn judge(answer: Result<Result<Value, Refused>, GatewayError>, http: bool) -> Judgement {
    match answer {
        Ok(Ok(result)) => match names_modern(&result["supportedVersions"]) {
            true => Judgement::Modern(result),
            false => Judgement::GoOn,
        },
        Ok(Err(refused)) => match refused.failure() {
            Some(error) if !asks_on(&refused, &error) => judge_failure(error, true),
            _ => judge_refusal(&refused),
        },
        Err(error) => judge_failure(error, http),
    }
}

fn judge_refusal(refused: &Refused) -> Judgement {
    match refused.code {
        HEADER_MISMATCH | MISSING_CAPABILITY => Judgement::Modern(Value::Null),
        UNSUPPORTED_VERSION => {
            let supported = &refused.data["supported"];
            if names_modern(supported) {
                Judgement::Modern(Value::Null)
            } else if names_legacy(supported) {
                Judgement::GoOn
            } else {
                Judgement::NoVerdict(foreign(supported))
            }
        }
        _ => Judgement::GoOn,
    }
}

/// Statuses of HTTP servers that do not know the question, or want a session first.
fn asks_on(refused: &Refused, error: &GatewayError) -> bool {
    matches!(refused.status(), Some(400 | 404 | 405 | 406 | 415)) && error.kind() != ErrorKind::Auth
}

/// A pipe that closed or stayed silent may be a legacy server that does not know the question. An HTTP
/// server answers questions that it does not know, so there it is an outage.
fn judge_failure(error: GatewayError, http: bool) -> Judgement {
    match error.kind() {
        ErrorKind::Protocol | ErrorKind::Unsupported | ErrorKind::Client => Judgement::StartAnew,
        ErrorKind::Closed | ErrorKind::Timeout if !http => Judgement::StartAnew,
        _ => Judgement::NoVerdict(error),
    }
}

fn names_modern(versions: &Value) -> bool {
    names(versions, |version| Revision::MODERN.iter().any(|revision| revision.as_str() == version))
}

fn names_legacy(versions: &Value) -> bool {
    names(versions, |version| Revision::LEGACY.iter().any(|revision| revision.as_str() == version))
}

fn names(versions: &Value, known: impl Fn(&str) -> bool) -> bool {
    versions.as_array().is_some_and(|versions| versions.iter().filter_map(Value::as_str).any(known))
}

fn foreign(supported: &Value) -> GatewayError {
    let text: String = supported.to_string().chars().take(200).collect();
    let context =
        format!("the backend speaks revisions {text} only; this gateway speaks up to {}", Revision::LATEST);
    GatewayError::new(ErrorKind::Unsupported, context)
}

/// A fresh connection to a backend that has to be modern.
async fn modern(served: &Served) -> Result<Findings, GatewayError> {
    let mut dialogue = dial(served).await?;
    match discover(&mut dialogue).await {
        Ok(Ok(discovered)) => modern_on(served, dialogue, &discovered).await,
        // The pin says modern; a server that lacks this one method still answers the others.
        Ok(Err(_)) => modern_on(served, dialogue, &Value::Null).await,
        Err(error) => {
            dialogue.close(CLOSE_DEADLINE).await;
            Err(error)
        }
    }
}

async fn modern_on(
    served: &Served,
    mut dialogue: Dialogue,
    discovered: &Value,
) -> Result<Findings, GatewayError> {
    let tools = match has_tools(discovered) {
        true => list_tools(&mut dialogue, Era::Modern).await,
        false => None,
    };
    let keep = served.runtime().http().is_none();
    let connection = if keep {
        Some(dialogue.into_connection())
    } else {
        dialogue.close(CLOSE_DEADLINE).await;
        None
    };
    let (tools, known_tools) = summary(tools);
    Ok(Findings { eras: Eras::MODERN, tools, known_tools, connection })
}

/// A fresh connection to a backend that has to have a handshake.
async fn legacy(served: &Served) -> Result<Findings, GatewayError> {
    match legacy_on(dial(served).await?).await {
        Err(NoHandshake::Modern) => Box::pin(modern(served)).await,
        Err(NoHandshake::Because(error)) => Err(error),
        Ok(findings) => Ok(findings),
    }
}

enum NoHandshake {
    /// Only modern servers answer like this.
    Modern,
    Because(GatewayError),
}

async fn legacy_on(mut dialogue: Dialogue) -> Result<Findings, NoHandshake> {
    let outcome = handshake(&mut dialogue).await;
    // Every legacy session has a connection of its own.
    dialogue.close(CLOSE_DEADLINE).await;
    outcome
}

async fn handshake(dialogue: &mut Dialogue) -> Result<Findings, NoHandshake> {
    let initialized = match initialize(dialogue, FIRST_ANSWER_DEADLINE).await.map_err(NoHandshake::Because)? {
        Ok(result) => result,
        Err(refused) if refused.code == UNSUPPORTED_VERSION => return Err(NoHandshake::Modern),
        Err(refused) => return Err(NoHandshake::Because(refusal(&refused))),
    };
    check_version(&initialized)?;
    dialogue.tell(methods::INITIALIZED).await.map_err(NoHandshake::Because)?;
    let tools = match has_tools(&initialized) {
        true => list_tools(dialogue, Era::Legacy).await,
        false => None,
    };
    let (tools, known_tools) = summary(tools);
    Ok(Findings { eras: Eras::LEGACY, tools, known_tools, connection: None })
}

fn check_version(initialized: &Value) -> Result<(), NoHandshake> {
    let version = &initialized["protocolVersion"];
    let known =
        version.as_str().and_then(Revision::parse).is_some_and(|revision| revision.era() == Era::Legacy);
    if known { Ok(()) } else { Err(NoHandshake::Because(foreign(version))) }
}

fn refusal(refused: &Refused) -> GatewayError {
    refused.failure().unwrap_or_else(|| {
        let context = format!("the backend refused initialize: {} (code {})", refused.message, refused.code);
        GatewayError::new(ErrorKind::Unsupported, context)
    })
}

pub(super) async fn dial(served: &Served) -> Result<Dialogue, GatewayError> {
    served.open_connection().await.map(Dialogue::new)
}

async fn discover(dialogue: &mut Dialogue) -> Result<Result<Value, Refused>, GatewayError> {
    dialogue.ask(methods::SERVER_DISCOVER, &json!({"_meta": metadata()}), FIRST_ANSWER_DEADLINE).await
}

pub(super) async fn initialize(
    dialogue: &mut Dialogue,
    deadline: Duration,
) -> Result<Result<Value, Refused>, GatewayError> {
    let params = json!({
        "protocolVersion": Revision::LATEST_LEGACY.as_str(),
        "capabilities": {},
        "clientInfo": client_info(),
    });
    dialogue.ask(methods::INITIALIZE, &params, deadline).await
}

/// The metadata that every modern request carries.
pub(super) fn metadata() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": Revision::LATEST.as_str(),
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn client_info() -> Value {
    json!({"name": "omcp", "title": "Open MCP Gateway", "version": env!("CARGO_PKG_VERSION")})
}

/// Absent knowledge counts as yes: asking costs one message.
fn has_tools(described: &Value) -> bool {
    described["capabilities"].as_object().is_none_or(|capabilities| capabilities.contains_key("tools"))
}

/// All tools, or none if they cannot be listed: that is no reason not to serve the backend.
async fn list_tools(dialogue: &mut Dialogue, era: Era) -> Option<Vec<Value>> {
    let mut tools = Vec::new();
    let mut cursor = Value::Null;
    for _ in 0..LIST_PAGES_MAX {
        let mut params = json!({});
        if era == Era::Modern {
            params["_meta"] = metadata();
        }
        if !cursor.is_null() {
            params["cursor"] = cursor;
        }
        let mut page = dialogue.ask(methods::TOOLS_LIST, &params, LIST_DEADLINE).await.ok()?.ok()?;
        if let Value::Array(more) = page["tools"].take() {
            tools.extend(more);
        }
        cursor = page["nextCursor"].take();
        if cursor.is_null() {
            break;
        }
    }
    Some(tools)
}

fn summary(tools: Option<Vec<Value>>) -> (Option<u32>, Tools) {
    let count = tools.as_ref().map(|tools| u32::try_from(tools.len()).unwrap_or(u32::MAX));
    (count, Tools::of(&tools.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
