//! The node's end of the sync stream.
//!
//! In reading order:
//!
//! - [`held`]: everything received at one revision, and its proof
//! - [`session`]: what each message of a control plane does to it: a pure state machine
//! - [`last_good`]: the files a node starts from when there is no control plane
//! - [`starts`]: whether it crashes on every start
//! - [`report`]: status messages, in sizes that fit
//! - [`listings`]: what backends list, on its way to other nodes and from them
//! - [`view`]: what the node's own admin pages tell about all this
//! - [`outbox`]: what is still to be said to the control plane
//! - [`dial`]: opening a stream
//! - [`client`]: the task that owns the stream

pub mod client;
pub mod dial;
pub mod held;
pub mod last_good;
pub mod listings;
pub mod outbox;
pub mod report;
pub mod session;
pub mod starts;
pub mod view;
