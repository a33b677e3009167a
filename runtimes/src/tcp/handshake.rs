//! The token, shown before anything else. What is said stands in the documentation of [`super`].

use std::time::Duration;

use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::compose;
use omcp_mcp::envelope::Kind;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::lines::LineConnection;

/// The method, and as JSON text the id.
const METHOD: &str = "omcp/authenticate";
const ID: &[u8] = b"\"omcp/authenticate\"";

/// Shows `token` and waits for the answer.
///
/// # Errors
/// `Auth`: refused. `Timeout`: no answer. `Closed`, `Protocol`: as [`LineConnection::recv`].
pub async fn authenticate<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    lines: &mut LineConnection<R, W>,
    token: &str,
    peer: &str,
    wait: Duration,
) -> Result<(), GatewayError> {
    let params = json!({ "token": token }).to_string();
    let request = McpMessage::trusted(compose::request(ID, METHOD, Some(params.as_bytes())).into());
    let asked = async {
        lines.send(&request).await?;
        lines.recv().await
    };
    let answer = timeout(wait, asked).await.map_err(|_| {
        let wait_ms = wait.as_millis();
        GatewayError::timeout(format!("{peer} did not answer to {METHOD} in {wait_ms} ms; see auth_token"))
    })?;
    match answer {
        Ok(Some(answer)) => judge(&answer, peer),
        Ok(None) => Err(refused(format!("{peer} ended the connection when it saw auth_token"))),
        Err(error) if error.kind() == ErrorKind::Closed => {
            Err(refused(format!("{peer} broke the connection when it saw auth_token")).with_source(error))
        }
        Err(error) => Err(error),
    }
}

/// The words of the server may repeat the token, so its code alone is told.
fn judge(answer: &McpMessage, peer: &str) -> Result<(), GatewayError> {
    let envelope = answer.envelope();
    match envelope.kind() {
        Kind::Response if answer.id() == Some(ID) => Ok(()),
        Kind::Error => {
            let code = envelope.error_code().unwrap_or_default();
            Err(refused(format!("{peer} refused auth_token with code {code}")))
        }
        _ => Err(refused(format!("{peer} said something else instead of accepting auth_token"))),
    }
}

fn refused(context: String) -> GatewayError {
    GatewayError::new(ErrorKind::Auth, context)
}
