//! `isolation: shared` and `principal`: legacy sessions of one circle of clients on one connection.
//!
//! The gateway shakes hands once, as a client that can be asked nothing. What the server says on its own
//! account goes to every session if it concerns all of them, and to none otherwise.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::bridge::agreement::Agreement;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::server::{chosen, negotiated, with_revision};
use omcp_mcp::methods;
use omcp_mcp::revision::{Era, Revision};
use serde_json::json;
use tokio::time::Instant;

use super::Served;
use super::circles::{Circle, Circles};
use crate::backends::lane::{CallTraits, Event, Inbox, Lane, Sink, again};
use crate::backends::slots::Opened;

/// Notifications that concern every session.
const FOR_ALL: [&str; 4] = [
    methods::TOOLS_LIST_CHANGED,
    methods::PROMPTS_LIST_CHANGED,
    methods::RESOURCES_LIST_CHANGED,
    methods::RESOURCES_UPDATED,
];

/// The connection that legacy sessions share. It ends with the last of them.
pub struct SharedLegacy {
    lane: Lane,
    /// The server's answer to the handshake.
    answer: McpMessage,
    listeners: Arc<Listeners>,
}

/// Those of one backend.
pub(super) type SharedSessions = Circles<Keeper>;

/// Where the connection is kept between sessions.
pub(super) struct Keeper {
    present: Weak<SharedLegacy>,
    /// Held on to although no session uses it.
    _warm: Option<Arc<SharedLegacy>>,
}

impl SharedLegacy {
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    pub fn answer(&self) -> &McpMessage {
        &self.answer
    }

    /// The answer to a client's own handshake: in the revision it asks for, unless the server's is older. `None` if
    /// the server has refused.
    pub fn answer_to(&self, hello: &McpMessage) -> Option<(McpMessage, Agreement)> {
        let hello = Message::new(hello.bytes(), hello.envelope());
        let answer = Message::new(self.answer.bytes(), self.answer.envelope());
        let server = chosen(answer)?;
        let client = negotiated(hello).min(server);
        let told = with_revision(answer, client).map_or_else(|| self.answer.clone(), McpMessage::trusted);
        Some((told, Agreement::new(client, server, hello)))
    }

    /// Hands to `sink`, for as long as it lives, what concerns every session.
    pub fn listen(&self, sink: &Arc<dyn Sink>) {
        let mut sinks = self.listeners.lock();
        sinks.retain(|sink| sink.strong_count() > 0);
        sinks.push(Arc::downgrade(sink));
    }
}

impl Served {
    /// The connection that the legacy sessions of a circle share, opened with the first of them; `patience` is
    /// for the server's answer to the handshake.
    ///
    /// # Errors
    /// As [`Served::open_connection`]; the server refuses the handshake; `Limit` if too many principals have one.
    pub async fn shared_legacy(
        &self,
        circle: Circle,
        patience: Duration,
    ) -> Result<Arc<SharedLegacy>, GatewayError> {
        let lifecycle = self.lifecycle();
        let alive = |keeper: &Keeper| {
            let young = |born: Instant| lifecycle.lifetime_max.is_none_or(|max| born.elapsed() < max);
            let present = keeper.present.upgrade();
            present.filter(|shared| shared.lane.is_open() && young(shared.lane.born()))
        };
        // Whether a principal comes back is not known: only what is everybody's is worth it.
        let is_kept_warm = lifecycle.min_idle > 0 && circle == Circle::All;
        let open = async {
            let shared = Arc::new(self.share(patience).await?);
            let warm = is_kept_warm.then(|| shared.clone());
            Ok((Keeper { present: Arc::downgrade(&shared), _warm: warm }, shared))
        };
        self.shared_sessions.get(circle, alive, open).await
    }

    async fn share(&self, patience: Duration) -> Result<SharedLegacy, GatewayError> {
        let Opened { connection, slot } = self.session_connection().await?;
        let listeners = Arc::<Listeners>::default();
        let mut options = self.lane_options(Era::Legacy, slot);
        options.unsolicited = Some(listeners.clone());
        options.shared = true;
        let lane = Lane::start(connection, options);
        let answer = shake_hands(&lane, patience).await.inspect_err(|_| lane.close())?;
        lane.notify(methods::INITIALIZED, None)?;
        Ok(SharedLegacy { lane, answer, listeners })
    }

    /// Lets go of what is kept warm: the definition ends.
    pub(super) fn let_shared_go(&self) {
        self.shared_sessions.retain(|keeper| {
            keeper.present.upgrade().iter().for_each(|shared| shared.lane.close());
            false
        });
    }
}

async fn shake_hands(lane: &Lane, patience: Duration) -> Result<McpMessage, GatewayError> {
    let (id, inbox) = (lane.mint(), Inbox::new());
    let request = json!({
        "jsonrpc": "2.0",
        "id": id,
        "method": methods::INITIALIZE,
        "params": {
            "protocolVersion": Revision::LATEST_LEGACY.as_str(),
            "capabilities": {},
            "clientInfo": { "name": "omcp", "title": "Open MCP Gateway", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let traits = CallTraits { timeout: Some(patience), ..CallTraits::default() };
    lane.call(id, McpMessage::trusted(request.to_string().into()), inbox.clone(), traits)?;
    loop {
        match inbox.next().await {
            Event::Final(message) => return Ok(message),
            Event::Lost(error) | Event::Unsent(error) => return Err(again(&error)),
            Event::Cancelled => return Err(GatewayError::closed("the handshake was cancelled")),
            Event::Message(_) => {}
        }
    }
}

/// The sessions that hear what concerns all of them.
#[derive(Default)]
struct Listeners(Mutex<Vec<Weak<dyn Sink>>>);

impl Listeners {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<dyn Sink>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Listeners {
    fn event(&self, event: Event) -> bool {
        let for_all = match &event {
            Event::Message(message) => message.method().is_some_and(|method| FOR_ALL.contains(&method)),
            _ => true,
        };
        if for_all {
            self.lock().iter().filter_map(Weak::upgrade).for_each(|sink| _ = sink.event(event.clone()));
        }
        true
    }
}
