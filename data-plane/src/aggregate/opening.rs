//! How a session with one backend is opened on behalf of a legacy client: with the client's own handshake,
//! in whichever era the backend has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::bridge::agreement::Agreement;
use omcp_mcp::bridge::edits::{Edits, quoted};
use omcp_mcp::bridge::message::Message;
use omcp_mcp::bridge::server::chosen;
use omcp_mcp::methods;
use omcp_mcp::object::member;
use omcp_mcp::revision::{Era, Revision};

use crate::backends::lane::{CallTraits, Event, Inbox, Labels, Lane, Sink};
use crate::backends::{Circle, Served, SessionGuard, SharedLegacy, slots};
use crate::members::task_seals::TaskSeals;
use crate::session::levels::Levels;
use crate::session::link::Link;

/// For `initialize` to be answered, from the start of the process: package runners download first.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// What every leg of a session has to know of its client.
pub struct Hello {
    /// Its `initialize`, with the revision that was agreed on.
    initialize: McpMessage,
    pub revision: Revision,
    seals: TaskSeals,
    /// Begins the ids of questions that a bridge makes.
    ask_prefix: String,
    /// The last `logging/setLevel`.
    level: Mutex<Option<McpMessage>>,
    heard: AtomicBool,
}

impl Hello {
    pub fn new(initialize: &McpMessage, revision: Revision, seals: TaskSeals, ask_prefix: String) -> Self {
        let bytes = initialize.bytes();
        let params = initialize.envelope().params_range();
        let version = params.and_then(|params| member(bytes, params, "protocolVersion"));
        let mut edits = Edits::new(bytes);
        if let Some(version) = version {
            edits.replace(version, quoted(revision.as_str()));
        }
        let initialize = McpMessage::trusted(edits.apply());
        let (level, heard) = (Mutex::default(), AtomicBool::new(false));
        Self { initialize, revision, seals, ask_prefix, level, heard }
    }

    /// With a backend that has chosen this revision.
    fn agreement(&self, server: Revision) -> Agreement {
        let hello = Message::new(self.initialize.bytes(), self.initialize.envelope());
        Agreement::new(self.revision, server, hello)
    }

    pub fn set_level(&self, request: McpMessage) {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }

    fn level(&self) -> Option<McpMessage> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client has a stream on which it hears of changes. True if that is news.
    pub fn listens(&self) -> bool {
        !self.heard.swap(true, Ordering::Relaxed)
    }
}

/// A connection of others, and what this session hears of it for as long as it holds this.
struct Shared {
    _connection: Arc<SharedLegacy>,
    _general: Arc<dyn Sink>,
}

/// An open session with one backend.
pub struct Opened {
    pub link: Link,
    shared: Option<Shared>,
    _counted: SessionGuard,
}

impl Opened {
    fn new(served: &Served, link: Link, shared: Option<Shared>) -> Self {
        let counted = served.track_session(link.pid());
        Self { link, shared, _counted: counted }
    }

    /// Whether other sessions use the same connection.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Sends a request of which the answer tells nothing. Others that share the connection are not bothered.
    pub fn tell(&self, request: &McpMessage, served: &Served) {
        if self.is_shared() {
            return;
        }
        let timeout = served.runtime().call_timeout();
        if let Err(error) = self.link.call(request, timeout, false, Arc::new(Deaf)) {
            tracing::debug!(backend = %served.name(), error = %error.chain(), "a backend could not be told");
        }
    }
}

/// Opens one. What belongs to no call goes to `general`.
///
/// # Errors
/// The backend does not answer, or refuses the handshake.
pub async fn open(
    served: &Arc<Served>,
    hello: &Hello,
    general: Arc<dyn Sink>,
) -> Result<Opened, GatewayError> {
    let eras = served.ready().await?;
    let opened = match served.shakes_hands(eras).await {
        true => with_handshake(served, hello, general).await?,
        false => bridge(served, hello, general).await?,
    };
    if let Some(level) = hello.level() {
        opened.tell(&level, served);
    }
    if hello.heard.load(Ordering::Relaxed) {
        opened.link.listens();
    }
    Ok(opened)
}

async fn with_handshake(
    served: &Arc<Served>,
    hello: &Hello,
    general: Arc<dyn Sink>,
) -> Result<Opened, GatewayError> {
    match served.circle(hello.seals.principal()) {
        Some(circle) => join(served, circle, hello, general).await,
        None => shake_hands(served, hello, general).await,
    }
}

async fn shake_hands(
    served: &Arc<Served>,
    hello: &Hello,
    general: Arc<dyn Sink>,
) -> Result<Opened, GatewayError> {
    let slots::Opened { connection, slot } = served.open_connection().await?;
    let levels = Levels::default();
    let mut options = served.lane_options(Era::Legacy, slot);
    options.unsolicited = Some(levels.overhearing(general));
    let lane = Lane::start(connection, options);
    let (minted, inbox) = (lane.mint(), Inbox::new());
    let traits = CallTraits::of(&hello.initialize, Some(HANDSHAKE_TIMEOUT));
    lane.call(minted, Labels::replace(&hello.initialize, minted), inbox.clone(), traits)?;
    let answer = inbox.response().await.inspect_err(|_| lane.close())?;
    let revision = agreed(served, &answer).inspect_err(|_| lane.close())?;
    levels.agree(hello.agreement(revision), &lane);
    lane.notify(methods::INITIALIZED, None)?;
    Ok(Opened::new(served, Link::Lane(lane, levels), None))
}

/// A session on the connection that its circle shares.
async fn join(
    served: &Arc<Served>,
    circle: Circle,
    hello: &Hello,
    general: Arc<dyn Sink>,
) -> Result<Opened, GatewayError> {
    let shared = served.shared_legacy(circle, HANDSHAKE_TIMEOUT).await?;
    let levels = Levels::default();
    levels.agree(hello.agreement(agreed(served, shared.answer())?), shared.lane());
    shared.listen(&general);
    let link = Link::Lane(shared.lane().clone(), levels);
    Ok(Opened::new(served, link, Some(Shared { _connection: shared, _general: general })))
}

async fn bridge(served: &Arc<Served>, hello: &Hello, general: Arc<dyn Sink>) -> Result<Opened, GatewayError> {
    let seal = hello.seals.of(served.name().as_str())?;
    let bridge =
        served.bridged_session(hello.seals.principal(), hello.ask_prefix.clone(), general, seal).await?;
    let inbox = Inbox::new();
    bridge.call(bridge.mint(), hello.initialize.clone(), false, inbox.clone())?;
    let answer = inbox.response().await.inspect_err(|_| bridge.close())?;
    agreed(served, &answer).inspect_err(|_| bridge.close())?;
    Ok(Opened::new(served, Link::Bridge(bridge), None))
}

/// The revision that the backend chose.
fn agreed(served: &Served, answer: &McpMessage) -> Result<Revision, GatewayError> {
    chosen(Message::new(answer.bytes(), answer.envelope())).ok_or_else(|| {
        let context = format!("backend {} refused the handshake", served.name());
        GatewayError::new(ErrorKind::Unsupported, context)
    })
}

/// Hears nothing.
struct Deaf;

impl Sink for Deaf {
    fn event(&self, _: Event) -> bool {
        true
    }
}
