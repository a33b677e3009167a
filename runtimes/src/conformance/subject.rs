//! What the author of a runtime gives to the kit.

use std::collections::BTreeMap;

use async_trait::async_trait;
use omcp_core::{RuntimeConfig, RuntimeRegistry};
use serde_json::Value;

/// Why a peer could not be started, killed or stopped.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A runtime type under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The word after `type:`.
    fn type_name(&self) -> &str;

    /// What the report calls it, where one type is tested in several ways.
    fn label(&self) -> String {
        self.type_name().to_owned()
    }

    /// A registry that offers the type, as a node has one.
    fn registry(&self) -> RuntimeRegistry;

    /// What the transport can do. By default everything.
    fn traits(&self) -> Traits {
        Traits::duplex()
    }

    /// Settings that have to be rejected before anything is started.
    fn bad_settings(&self) -> Vec<BadSettings>;

    /// Starts a peer that behaves as [`super::peer::Machine`] says, or prepares what the runtime itself
    /// starts. Called once per check.
    ///
    /// # Errors
    /// It cannot be started; the check fails with this text.
    async fn start(&self) -> Result<Box<dyn Peer>, Fault>;
}

/// A started peer, and how to reach it. Dropping it ends it as well as a drop can.
#[async_trait]
pub trait Peer: Send {
    /// The backend's `runtime:`, that is the type and settings that reach this peer.
    fn config(&self) -> RuntimeConfig;

    /// The backend's own environment.
    fn env(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Ends the peer at once, as a crash would. `pid` is what
    /// [`BackendConnection::pid`](omcp_core::BackendConnection::pid) says of the connection under test:
    /// a peer that the runtime has started is known by nothing else.
    ///
    /// # Errors
    /// It lives on.
    async fn kill(&mut self, pid: Option<u32>) -> Result<(), Fault>;

    /// Brings the peer back where [`Peer::config`] says, after it died or was killed. Nothing to do for
    /// one that the runtime starts.
    ///
    /// # Errors
    /// It does not come back.
    async fn restart(&mut self) -> Result<(), Fault>;

    /// Ends the peer and takes away what it leaves behind.
    ///
    /// # Errors
    /// Something is left.
    async fn stop(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Whether a check makes sense for a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
    Yes,
    /// It does not; the report tells why.
    No(String),
}

impl Applies {
    /// It does not, for this reason.
    pub fn no(reason: impl Into<String>) -> Self {
        Self::No(reason.into())
    }
}

/// What the death of a peer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The connection: `recv` fails, and then gives `None` for ever.
    Connection,
    /// The calls in flight, each of which gets a JSON-RPC error; the connection goes on.
    Calls,
}

/// What a transport can do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Traits {
    /// The peer can send requests of its own.
    pub asks: Applies,
    /// Messages arrive while the call that caused them still runs.
    pub progress: Applies,
    /// The peer hears of a cancelled call.
    pub cancel: Applies,
    /// The peer can send what is no message, or half of one.
    pub malformed: Applies,
    /// A message may have 16 MiB.
    pub large: Applies,
    /// What the death of the peer ends.
    pub death: Death,
    /// Calls that one peer holds at the same time: it answers so many in reverse order.
    pub in_flight: usize,
}

impl Traits {
    /// A conversation in both directions, as pipes and sockets have it.
    pub fn duplex() -> Self {
        Self {
            asks: Applies::Yes,
            progress: Applies::Yes,
            cancel: Applies::Yes,
            malformed: Applies::Yes,
            large: Applies::Yes,
            death: Death::Connection,
            in_flight: 8,
        }
    }

    /// One answer per request and nothing else; every call stands alone. `reason` completes "not
    /// applicable: ".
    pub fn request_response(reason: &str) -> Self {
        Self {
            asks: Applies::no(reason),
            progress: Applies::no(reason),
            cancel: Applies::no(reason),
            malformed: Applies::Yes,
            large: Applies::Yes,
            death: Death::Calls,
            in_flight: 1,
        }
    }
}

/// Settings that have to be rejected.
#[derive(Clone, Debug)]
pub struct BadSettings {
    /// What stands beside `type:`.
    pub settings: Value,
    /// What the rejection has to mention, usually the field; may be empty.
    pub mentions: String,
}

impl BadSettings {
    pub fn new(settings: Value, mentions: impl Into<String>) -> Self {
        Self { settings, mentions: mentions.into() }
    }
}
