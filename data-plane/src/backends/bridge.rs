//! The drivers of the era bridges: they own connections and clocks, the machines in `omcp_mcp::bridge` decide.
//!
//! - [`principal`]: on whose behalf a lane is used
//! - [`task_seal`]: what makes the ids of a legacy client's tasks
//! - [`timers`]: what a machine wants to be woken for
//! - [`legacy_lane`]: modern clients on a session of a legacy server
//! - [`legacy_session`]: a legacy client on lanes of a modern server

pub mod legacy_lane;
pub mod legacy_session;
pub mod principal;
pub mod task_seal;
pub mod timers;
