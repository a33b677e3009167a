//! Event streams (WHATWG HTML, "Server-sent events"): bytes to events and back.

mod decode;
mod encode;

pub use decode::{Decoder, Event, EventTooLong};
pub use encode::{COMMENT_KEEPALIVE, encode, encode_named, encode_priming, encode_retry};
