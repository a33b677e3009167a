//! Era detection: which revisions a backend speaks, found out by asking it once (2026-07-28,
//! Versioning: Backward Compatibility).
//!
//! The modern question comes first. "Legacy" is concluded from a successful `initialize` alone, never
//! from silence or an error: an outage is no verdict.

use std::time::Duration;

use omcp_core::{EraPin, ErrorKind, GatewayError};
use omcp_mcp::aggregate::source::Source;
use omcp_mcp::methods;
use omcp_mcp::revision::{Era, Revision};
use serde_json::{Value, json};

use super::dialogue::{Dialogue, Refused};
use super::eras::Eras;
use super::introduction::{client_info, metadata};
use super::lane::Lane;
use super::listing::{self, Listed};
use super::served::{Findings, Served};

/// For the first answer, counted from the start of a process: some modern servers need more than four
/// seconds on a busy machine, and must not be taken for silent legacy ones.
const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How long a probed connection may take to end.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
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

/// Whether a backend that is known to be modern has a handshake as well. Over a connection of its own:
/// a server of both eras keeps to the first one it hears.
/// `None` if it did not answer.
pub async fn speaks_legacy(dialogue: &mut Dialogue) -> Option<bool> {
    match initialize(dialogue, &json!({}), FIRST_ANSWER_DEADLINE).await.ok()? {
        // A modern server may answer this question with its own revision: there is no session for that.
        Ok(initialized) => Some(check_version(&initialized).is_ok()),
        Err(refused) => says_no(&refused).then_some(false),
    }
}

/// Whether the server itself has refused, or has answered with what is no answer; an outage says nothing.
fn says_no(refused: &Refused) -> bool {
    refused.failure().is_none_or(|error| asks_on(refused, &error) || error.kind() == ErrorKind::Protocol)
}

/// What a backend that answers lists by now.
///
/// # Errors
/// It did not answer.
pub async fn relist(served: &Served) -> Result<Listed, GatewayError> {
    if let Some(lane) = served.open_lane() {
        return relist_over(lane).await;
    }
    let is_modern = served.eras().is_some_and(|eras| eras.modern);
    let findings = if is_modern { modern(served).await? } else { legacy(served).await? };
    Ok(findings.listed)
}

async fn relist_over(mut lane: Lane) -> Result<Listed, GatewayError> {
    let params = json!({ "_meta": metadata() }).to_string();
    let answer = lane.request(methods::SERVER_DISCOVER, &params, FIRST_ANSWER_DEADLINE).await?;
    let mut answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let source = Source::new(Era::Modern, statement(&answer["result"].take()));
    Ok(listing::take(&mut lane, source).await)
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
    let source = Source::new(Era::Modern, statement(discovered));
    let mut listed = listing::take(&mut dialogue, source).await;
    let keep = served.runtime().http().is_none();
    if !keep {
        listed.keep_good_headers();
    }
    let connection = if keep {
        Some(dialogue.into_connection())
    } else {
        dialogue.close(CLOSE_DEADLINE).await;
        None
    };
    Ok(Findings { eras: Eras::MODERN, listed, connection })
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
    let answer = initialize(dialogue, &everything(), FIRST_ANSWER_DEADLINE).await;
    let initialized = match answer.map_err(NoHandshake::Because)? {
        Ok(result) => result,
        Err(refused) if refused.code == UNSUPPORTED_VERSION => return Err(NoHandshake::Modern),
        Err(refused) => return Err(NoHandshake::Because(refusal(&refused))),
    };
    check_version(&initialized)?;
    dialogue.tell(methods::INITIALIZED).await.map_err(NoHandshake::Because)?;
    let source = Source::new(Era::Legacy, statement(&initialized));
    let listed = listing::take(dialogue, source).await;
    Ok(Findings { eras: Eras::LEGACY, listed, connection: None })
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
    capabilities: &Value,
    deadline: Duration,
) -> Result<Result<Value, Refused>, GatewayError> {
    let params = json!({
        "protocolVersion": Revision::LATEST_LEGACY.as_str(),
        "capabilities": capabilities,
        "clientInfo": client_info(),
    });
    dialogue.ask(methods::INITIALIZE, &params, deadline).await
}

/// Servers decide by what a client can do what they list. A list that is for everybody has everything.
fn everything() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {} })
}

/// What the server said about itself; nothing, if it did not.
fn statement(described: &Value) -> Vec<u8> {
    if described.is_object() { described.to_string().into_bytes() } else { b"{}".to_vec() }
}

#[cfg(test)]
mod tests;
