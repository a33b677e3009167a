//! [`Link`]: what a legacy client's session speaks with: its own lane, a bridge to the other era, or many
//! backends at once.

use std::sync::Arc;
use std::time::Duration;

use omcp_core::{GatewayError, McpMessage};
use tokio::sync::watch;
use tokio::time::Instant;

use super::levels::Levels;
use crate::backends::bridge::legacy_session::BridgedSession;
use crate::backends::lane::{CallTraits, Labels, Lane, Sink};

#[derive(Clone)]
pub enum Link {
    Lane(Lane, Levels),
    Bridge(BridgedSession),
    Aggregate(Arc<dyn Aggregated>),
}

/// A session with many backends, which is made of links itself. As [`Link`], method by method.
pub trait Aggregated: Send + Sync {
    /// # Errors
    /// As [`Lane::call`].
    fn call(
        &self,
        request: &McpMessage,
        can_be_asked: bool,
        sink: Arc<dyn Sink>,
    ) -> Result<u64, GatewayError>;

    fn send(&self, message: McpMessage);

    fn cancel(&self, minted: u64);

    fn listens(&self);

    fn close(&self);

    fn is_open(&self) -> bool;

    fn in_flight(&self) -> usize;

    /// Turns true when it has ended.
    fn ended(&self) -> watch::Receiver<bool>;
}

impl Link {
    /// Starts a request of the client and returns our number of it.
    ///
    /// # Errors
    /// As [`Lane::call`].
    pub fn call(
        &self,
        request: &McpMessage,
        timeout: Duration,
        can_be_asked: bool,
        sink: Arc<dyn Sink>,
    ) -> Result<u64, GatewayError> {
        match self {
            Self::Lane(lane, levels) => {
                let sink = levels.hearing(request, lane, sink);
                let reworded = levels.request(request);
                let request = reworded.as_ref().unwrap_or(request);
                let minted = lane.mint();
                let traits = CallTraits::of(request, Some(timeout));
                lane.call(minted, Labels::replace(request, minted), sink, traits)?;
                Ok(minted)
            }
            Self::Bridge(bridge) => {
                let minted = bridge.mint();
                bridge.call(minted, request.clone(), can_be_asked, sink)?;
                Ok(minted)
            }
            Self::Aggregate(session) => session.call(request, can_be_asked, sink),
        }
    }

    /// Sends a notification or a response of the client.
    ///
    /// # Errors
    /// As [`Lane::send`].
    pub fn send(&self, message: McpMessage) -> Result<(), GatewayError> {
        match self {
            Self::Lane(lane, levels) => lane.send(levels.told(message)),
            Self::Bridge(bridge) => bridge.send(message),
            Self::Aggregate(session) => {
                session.send(message);
                Ok(())
            }
        }
    }

    pub fn cancel(&self, minted: u64, reason: &'static str) {
        match self {
            Self::Lane(lane, _) => lane.cancel(minted, reason),
            Self::Bridge(bridge) => bridge.cancel(minted),
            Self::Aggregate(session) => session.cancel(minted),
        }
    }

    /// The client has opened a stream on which it hears of changes.
    pub fn listens(&self) {
        match self {
            Self::Lane(..) => {}
            Self::Bridge(bridge) => bridge.listens(),
            Self::Aggregate(session) => session.listens(),
        }
    }

    pub fn close(&self) {
        match self {
            Self::Lane(lane, _) => lane.close(),
            Self::Bridge(bridge) => bridge.close(),
            Self::Aggregate(session) => session.close(),
        }
    }

    /// Ends it when its last call has ended.
    pub fn close_when_quiet(&self) {
        match self {
            Self::Lane(lane, _) => lane.close_when_quiet(),
            Self::Bridge(bridge) => bridge.close(),
            Self::Aggregate(session) => session.close(),
        }
    }

    /// Since when its connection lives, if it has one of its own.
    pub fn born(&self) -> Option<Instant> {
        match self {
            Self::Lane(lane, _) => Some(lane.born()),
            Self::Bridge(_) | Self::Aggregate(_) => None,
        }
    }

    /// Waits until it has ended.
    pub async fn closed(&self) {
        match self {
            Self::Lane(lane, _) => drop(lane.closed().await),
            Self::Bridge(bridge) => bridge.closed().await,
            // An error means that it is gone, which is as good.
            Self::Aggregate(session) => drop(session.ended().wait_for(|ended| *ended).await),
        }
    }

    pub fn is_open(&self) -> bool {
        match self {
            Self::Lane(lane, _) => lane.is_open(),
            Self::Bridge(bridge) => bridge.is_open(),
            Self::Aggregate(session) => session.is_open(),
        }
    }

    pub fn in_flight(&self) -> usize {
        match self {
            Self::Lane(lane, _) => lane.in_flight(),
            Self::Bridge(bridge) => bridge.in_flight(),
            Self::Aggregate(session) => session.in_flight(),
        }
    }

    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Lane(lane, _) => lane.pid(),
            Self::Bridge(bridge) => bridge.pid(),
            Self::Aggregate(_) => None,
        }
    }
}
