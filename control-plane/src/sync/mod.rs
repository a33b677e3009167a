//! One node's stream.
//!
//! - [`end`]: why a stream ends
//! - [`body`]: the response body: shared frames, then the status
//! - [`hello`]: reading the first message, and where the node is to go on
//! - [`session`]: [`Session`], the task that owns a stream

pub mod body;
pub mod end;
pub mod hello;
pub mod session;

pub use body::FrameBody;
pub use end::StreamEnd;
pub use session::{Session, SessionContext};
