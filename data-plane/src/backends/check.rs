//! The active check: a question that every server of its revision may be asked, so that a backend which
//! nobody calls is known to answer before somebody does. `server/discover` for the modern era, `ping` for
//! the legacy one.

use std::time::Duration;

use omcp_core::{ErrorKind, GatewayError};
use omcp_mcp::methods;
use serde_json::json;

use super::dialogue::{Dialogue, Refused};
use super::introduction::metadata;
use super::lane::Lane;
use super::probe;
use super::served::Served;

/// For the answer: a server that needs longer for this one is not well.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the connection of a check may take to end.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// Asks the backend whether it is there. `None` if there is nobody to ask: a legacy server on a pipe has a
/// process for each session, and no other.
pub async fn run(served: &Served) -> Option<Result<(), GatewayError>> {
    let eras = served.eras()?;
    if let Some(lane) = served.open_lane() {
        return over_lane(&lane).await;
    }
    if served.starts_processes() {
        return None;
    }
    Some(if eras.modern { discover(served).await } else { ping(served).await })
}

async fn over_lane(lane: &Lane) -> Option<Result<(), GatewayError>> {
    let params = json!({ "_meta": metadata() }).to_string();
    match lane.request(methods::SERVER_DISCOVER, &params, DEADLINE).await {
        Ok(_) => Some(Ok(())),
        // A full lane is busy; one that ended tells so itself.
        Err(error) if matches!(error.kind(), ErrorKind::Limit | ErrorKind::Closed) => None,
        Err(error) => Some(Err(error)),
    }
}

async fn discover(served: &Served) -> Result<(), GatewayError> {
    let mut dialogue = probe::dial(served).await?;
    let params = json!({ "_meta": metadata() });
    let answer = dialogue.ask(methods::SERVER_DISCOVER, &params, DEADLINE).await;
    dialogue.close(CLOSE_DEADLINE).await;
    judge(answer)
}

/// One session is kept for checks: opening one each time would be more than a check.
async fn ping(served: &Served) -> Result<(), GatewayError> {
    let mut kept = served.check_session().lock().await;
    let mut dialogue = match kept.take() {
        Some(dialogue) => dialogue,
        None => open(served).await?,
    };
    let answer = judge(dialogue.ask(methods::PING, &json!({}), DEADLINE).await);
    match answer {
        Ok(()) if !served.is_closed() => *kept = Some(dialogue),
        _ => dialogue.close(CLOSE_DEADLINE).await,
    }
    answer
}

async fn open(served: &Served) -> Result<Dialogue, GatewayError> {
    let mut dialogue = probe::dial(served).await?;
    let opened = match probe::initialize(&mut dialogue, &json!({}), DEADLINE).await {
        Ok(Ok(_)) => dialogue.tell(methods::INITIALIZED).await,
        Ok(Err(refused)) => Err(refused.failure().unwrap_or_else(|| {
            GatewayError::unreachable(format!("a check was refused a session: {}", refused.message))
        })),
        Err(error) => Err(error),
    };
    match opened {
        Ok(()) => Ok(dialogue),
        Err(error) => {
            dialogue.close(CLOSE_DEADLINE).await;
            Err(error)
        }
    }
}

/// Any answer of its own is a sign of life.
fn judge<T>(answer: Result<Result<T, Refused>, GatewayError>) -> Result<(), GatewayError> {
    match answer? {
        Ok(_) => Ok(()),
        Err(refused) => match refused.failure() {
            Some(error) if error.kind() != ErrorKind::Auth => Err(error),
            _ => Ok(()),
        },
    }
}
