//! Limits without an option: nobody has wished for another value yet.

use omcp_core::lifecycle::MIN_IDLE_MAX;

use super::{Limit, bytes, time};
use crate::backends::lane::{ENDLESS_MAX, SURPLUS_PER_S};
use crate::backends::served::{BRIDGED_LANES_MAX, CIRCLES_MAX, START_DEADLINE};
use crate::backends::set::BACKENDS_MAX;
use crate::backends::stderr::RING_LEN_MAX;
use crate::front::batch::MESSAGES_MAX;
use crate::session::conversation::FINISHED_MAX;
use crate::session::stream_log;

/// Them all.
pub fn all() -> impl Iterator<Item = Limit> {
    let rows = [
        ("backends", BACKENDS_MAX.to_string(), "well above any fleet seen; more are rejected"),
        (
            "start of a backend",
            time(START_DEADLINE),
            "calls wait so long for it: package runners download first, and clients give up soon after",
        ),
        (
            "processes kept ready per backend",
            MIN_IDLE_MAX.to_string(),
            "most that lifecycle.min_idle may ask for; the last quarter of all processes is for those in use",
        ),
        (
            "subscriptions per backend",
            ENDLESS_MAX.to_string(),
            "of stateless clients, on their one connection to it; refused beyond",
        ),
        (
            "messages of a backend for no call",
            format!("{SURPLUS_PER_S} a second"),
            "of each of its connections, which is read on in the next quarter of a second; its neighbours feel no flood",
        ),
        (
            "bridged connections per backend",
            BRIDGED_LANES_MAX.to_string(),
            "of stateless clients to a backend that knows sessions only: each may be a process; refused beyond",
        ),
        (
            "principals per backend",
            CIRCLES_MAX.to_string(),
            "with lifecycle.isolation principal, of each kind of client: each may have a process; refused beyond",
        ),
        ("messages of a batch", MESSAGES_MAX.to_string(), "2025-03-26 alone has them; 400 beyond"),
        (
            "replay of a stream",
            format!("{} events, {}", stream_log::EVENTS_MAX, bytes(stream_log::BYTES_MAX)),
            "the oldest are dropped beyond; a client that lost them is told",
        ),
        (
            "answered streams of a session",
            FINISHED_MAX.to_string(),
            "kept for a client that lost the answer; the oldest are dropped beyond",
        ),
        (
            "standard error of a backend",
            bytes(RING_LEN_MAX),
            "a few screens; the oldest lines are dropped beyond",
        ),
    ];
    rows.into_iter().map(|(name, value, why)| Limit { name, default: value.clone(), value, option: "", why })
}
