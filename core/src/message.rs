//! [`McpMessage`]: one JSON-RPC message. Parameters and results stay as they were received.

use std::sync::OnceLock;

use bytes::Bytes;
use omcp_mcp::envelope::{Envelope, ScanError, ScanLimits};

/// One JSON-RPC message: shared bytes and, once somebody asks, what its envelope says.
///
/// Cloning is cheap. The bytes hold exactly one JSON object without a raw newline, so every
/// framing may carry them as they are.
#[derive(Clone, Debug)]
pub struct McpMessage {
    bytes: Bytes,
    envelope: OnceLock<Envelope>,
}

impl McpMessage {
    /// Takes bytes from outside. Whitespace that holds a raw newline is removed.
    ///
    /// # Errors
    /// The bytes are not one JSON-RPC 2.0 message.
    pub fn parse(bytes: Bytes) -> Result<Self, ScanError> {
        let envelope = Envelope::scan(&bytes, &ScanLimits::default())?;
        if !envelope.has_raw_newline() {
            return Ok(Self { bytes, envelope: envelope.into() });
        }
        Ok(Self::trusted(omcp_mcp::splice::compact(&bytes).into()))
    }

    /// Takes bytes that this program built from a checked message; they are scanned only on demand.
    pub fn trusted(bytes: Bytes) -> Self {
        Self { bytes, envelope: OnceLock::new() }
    }

    /// Takes bytes whose envelope is already known and holds no raw newline.
    pub fn scanned(bytes: Bytes, envelope: Envelope) -> Self {
        Self { bytes, envelope: envelope.into() }
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What the envelope says.
    ///
    /// # Panics
    /// The bytes given to [`McpMessage::trusted`] were no JSON-RPC message: a defect of the caller.
    pub fn envelope(&self) -> &Envelope {
        self.envelope.get_or_init(|| {
            Envelope::scan(&self.bytes, &ScanLimits::default()).expect("trusted bytes are a JSON-RPC message")
        })
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        self.envelope().method(&self.bytes)
    }

    /// Whether this is its method.
    pub fn is_method(&self, name: &str) -> bool {
        self.envelope().is_method(&self.bytes, name)
    }

    /// The id as it was spelled, quotes included.
    pub fn id(&self) -> Option<&[u8]> {
        self.envelope().id(&self.bytes)
    }
}
