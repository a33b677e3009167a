//! SSE event ids: `<stream>-<number>`, unique within a session and naming their stream
//! (Streamable HTTP: Resumability and Redelivery).

use std::fmt;

/// The stream that a client opens with GET.
pub const GENERAL: u64 = 0;

/// A place in one stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    pub stream: u64,
    pub number: u64,
}

impl EventId {
    /// `None` if this is no id of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (stream, number) = text.split_once('-')?;
        Some(Self { stream: stream.parse().ok()?, number: number.parse().ok()? })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream, self.number)
    }
}
