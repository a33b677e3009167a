//! Clients of one era with servers of the other: state machines without I/O and without a clock.
//!
//! A driver tells a machine what happened (a client asked, the server said, a timer fired, somebody left)
//! and does what the machine says (send, answer, arm a timer). Nothing here waits, and every list has a
//! bound in [`limits`].
//!
//! The two machines:
//!
//! - [`legacy_lane`]: modern clients with a legacy server; one per upstream session
//! - [`legacy_session`]: a legacy client with a modern server; one per client session
//!
//! What they are made of, in reading order:
//!
//! - [`message`], [`edits`]: a message, and changing it without decoding it
//! - [`failure`], [`error_map`]: errors of the gateway, and errors of one era in the words of the other
//! - [`capabilities`], [`server`]: what peers declare, and how the other era says it
//! - [`request`], [`result`]: the two halves of a call, translated
//! - [`question`]: what a server wants from the user: elicitation, sampling, roots
//! - [`state`]: what travels in `requestState`
//! - [`level`], [`filter`], [`task`], [`date`]: log levels, subscriptions, long-running calls
//! - [`downlevel`], [`agreement`]: what an older legacy revision cannot read, said so that it can; when that may be
//! - [`replay`]: both machines driven by a script, for fuzzing

pub mod agreement;
pub mod capabilities;
pub mod date;
pub mod downlevel;
pub mod edits;
pub mod error_map;
pub mod failure;
pub mod filter;
pub mod legacy_lane;
pub mod legacy_session;
pub mod level;
pub mod limits;
pub mod message;
pub mod question;
pub mod replay;
pub mod request;
pub mod result;
pub mod server;
pub mod state;
pub mod task;
