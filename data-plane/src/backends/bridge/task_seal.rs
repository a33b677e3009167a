//! [`TaskSeal`]: what a bridged session asks for when it gives tasks to its client.

use omcp_core::GatewayError;
use omcp_mcp::token::content::{HandleId, Task};

/// Seals the tasks of one session, for its client and at its endpoint only.
pub trait TaskSeal: Send + Sync {
    /// Of this session alone: what it keeps itself, no other session finds.
    fn session(&self) -> HandleId;

    /// The text of a `taskId`.
    ///
    /// # Errors
    /// The server's own id is too long, or there is no randomness.
    fn seal(&self, task: &Task, ttl_ms: u64) -> Result<String, GatewayError>;

    /// What a `taskId` stands for; None if it is none, or somebody else's.
    fn open(&self, id: &str) -> Option<Task>;

    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}
