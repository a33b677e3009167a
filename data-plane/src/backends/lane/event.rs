//! What a caller hears of its call.

use std::sync::Arc;

use omcp_core::{GatewayError, McpMessage};

/// One event of a call. `Message` alone is not the last one.
#[derive(Clone, Debug)]
pub enum Event {
    /// A notification or a request of the peer that belongs to the call.
    Message(McpMessage),
    /// The response, carrying the minted id.
    Final(McpMessage),
    /// There will be no response; whether the call was executed is unknown.
    Lost(Arc<GatewayError>),
    /// There will be no response; not a byte of the call has left.
    Unsent(Arc<GatewayError>),
    /// The call was cancelled at the caller's wish.
    Cancelled,
}

impl Event {
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Message(_))
    }
}

/// Takes the events of a call, or the messages that belong to no call. Never blocks.
pub trait Sink: Send + Sync {
    /// Returns false if nobody will ever read it: the call is then cancelled.
    fn event(&self, event: Event) -> bool;
}
