//! A session that is lost with its process or its node, opened anew where its backend allows that
//! (`lifecycle.recovery`): the same handshake, under the same id. What the server kept in it is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use omcp_core::lifecycle::Recovery;
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::token::content::{HandleId, Kept};
use omcp_mcp::{compose, methods};
use tokio::sync::Mutex as AsyncMutex;

use super::handles::Opener;
use super::{Front, bridge_legacy, relay_legacy};
use crate::backends::Served;
use crate::session::{Handle, Session};

/// One request opens a session, the others wait for it.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<HandleId, Weak<AsyncMutex<()>>>>);

impl Turns {
    fn of(&self, id: HandleId) -> Arc<AsyncMutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(id, Arc::downgrade(&turn));
        turn
    }
}

/// Whether a session may be opened anew.
pub fn is_possible(front: &Front, served: &Served, kept: &Kept) -> bool {
    let wanted = served.lifecycle().recovery == Recovery::Recreate;
    wanted && !kept.seed.is_empty() && !front.members.ended().has(&kept.id)
}

/// The session, opened anew unless somebody else has done it meanwhile.
///
/// # Errors
/// The backend could not be reached, or refuses the handshake that it has once taken.
pub async fn session(
    front: &Front,
    served: &Arc<Served>,
    opener: Opener<'_>,
    text: &str,
    kept: &Kept,
) -> Result<Arc<Session>, GatewayError> {
    let turn = front.turns.of(kept.id);
    let _turn = turn.lock().await;
    if let Some(session) = front.sessions.get(text, served.name().as_str(), opener.principal) {
        return Ok(session);
    }
    tracing::debug!(backend = %served.name(), "a lost session is opened anew");
    let handle =
        Handle { id: text.to_owned(), principal: opener.principal.clone(), reopenable: Some(kept.id) };
    let opener = Opener { again: Some(handle), ..opener };
    let hello = compose::request(b"0", methods::INITIALIZE, Some(&kept.seed));
    let hello = McpMessage::parse(Bytes::from(hello)).map_err(|_| refused())?;
    let eras = served.ready().await?;
    let session = match (served.shakes_hands(eras).await, served.upstream()) {
        (false, _) => bridge_legacy::handshake(front, served, opener, &hello).await?.1,
        // It is an HTTP server now, with sessions of its own.
        (true, Some(_)) => None,
        (true, None) => relay_legacy::handshake(front, served, opener, &hello).await?.1,
    };
    let session = session.ok_or_else(refused)?;
    let initialized = compose::notification(methods::INITIALIZED, None);
    if !session.is_shared() {
        session.link().send(McpMessage::trusted(initialized.into()))?;
    }
    front.sessions.insert(session.clone());
    Ok(session)
}

fn refused() -> GatewayError {
    let text = "the session is lost, and the backend does not take its handshake any more; start a new one";
    GatewayError::new(ErrorKind::Unsupported, text)
}
