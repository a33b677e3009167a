//! [`Owed`]: the answer that a client still waits for, and until when.

use std::time::Duration;

use bytes::Bytes;
use omcp_core::{BackendName, GatewayError, McpMessage};

use super::events;
use crate::backends::Served;
use crate::failure;

/// Made of references: nothing is written before it is needed.
pub struct Owed {
    pub(super) id: Bytes,
    pub(super) backend: BackendName,
    /// Longest silence.
    pub silence: Duration,
    /// Longest call, however much is heard of it.
    pub max: Duration,
}

impl Owed {
    /// `None` if the message is no request.
    pub fn of(served: &Served, message: &McpMessage) -> Option<Self> {
        let id = message.bytes().slice(message.envelope().id_range()?);
        message.method()?;
        let silence = served.runtime().call_timeout();
        Some(Self { id, backend: served.name().clone(), silence, max: served.call_max() })
    }

    /// As an event: the stream ended before the answer.
    pub fn lost(&self) -> Bytes {
        self.event(&GatewayError::closed("the backend's stream ended before its answer"))
    }

    /// As an event: the call is given up.
    pub fn overdue(&self) -> Bytes {
        let (silence, max) = (self.silence.as_millis(), self.max.as_millis());
        self.event(&GatewayError::timeout(format!(
            "the call is given up: nothing was heard of it for {silence} ms, or it lasted longer than {max} ms"
        )))
    }

    fn event(&self, error: &GatewayError) -> Bytes {
        events::encode(&failure::message(&self.id, self.backend.as_str(), error))
    }
}
