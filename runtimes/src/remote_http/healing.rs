//! A session that its server has forgotten is opened anew, once for all requests that notice it.

use std::sync::Arc;

use omcp_core::{GatewayError, McpMessage};

use super::exchange::{heard, is_answer_to, lost};
use super::session::{Legacy, Session, id_of};
use crate::http_client::drop_body;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Opens a new session in place of `forgotten`, with the client's own handshake, and sets up in it what
/// the client had set up. Returns at once if another request has done so.
///
/// # Errors
/// The server does not open one.
pub async fn heal(session: &Session, forgotten: &Arc<Legacy>) -> Result<(), GatewayError> {
    let _one_at_a_time = session.healing.lock().await;
    match session.legacy() {
        Some(present) if Arc::ptr_eq(&present, forgotten) => {}
        Some(_) => return Ok(()),
        None => return Err(lost()),
    }
    let renewed = shake_hands(session, &forgotten.handshake).await.inspect_err(|error| {
        tracing::debug!(error = %error.chain(), "the server does not open a session anew");
    })?;
    session.replace(renewed);
    tracing::debug!("the server had forgotten the session; it was opened anew");
    say(session, &McpMessage::trusted(INITIALIZED.into())).await?;
    for request in session.told.all() {
        // A subscription that is refused now is missed by its client alone.
        drop(say(session, &request).await);
    }
    Ok(())
}

async fn shake_hands(session: &Session, handshake: &McpMessage) -> Result<Legacy, GatewayError> {
    let limits = session.limits;
    let response = session.open(handshake, limits.write_timeout).await?;
    if !response.status().is_success() {
        return Err(lost());
    }
    let id = id_of(&response).cloned();
    let messages = heard(limits, response, handshake).await?;
    let answer = messages.iter().find(|message| is_answer_to(message, handshake));
    answer.and_then(|answer| Legacy::read(handshake, id.as_ref(), answer)).ok_or_else(lost)
}

/// POSTs one message of which the answer does not matter.
async fn say(session: &Session, message: &McpMessage) -> Result<(), GatewayError> {
    let response = session.post(message, session.limits.write_timeout).await?;
    let status = response.status();
    drop_body(response.into_body()).await;
    if status.is_success() { Ok(()) } else { Err(lost()) }
}
