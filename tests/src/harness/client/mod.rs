//! MCP clients, as small as they can be: what they send is what a test wrote.
//!
//! * [`events`]: an event stream; [`http`]: requests and their answers;
//! * [`exchange`]: one JSON-RPC request and everything that comes back;
//! * [`legacy`]: a session of a handshake revision; [`modern`]: stateless requests of 2026-07-28;
//! * [`sse`]: a session of HTTP+SSE 2024-11-05.

pub mod events;
pub mod exchange;
pub mod http;
pub mod legacy;
pub mod modern;
pub mod sse;

pub use exchange::Exchange;
pub use http::{Http, Reply};
pub use legacy::Legacy;
pub use modern::Modern;
pub use sse::Sse;
