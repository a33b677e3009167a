//! The scenarios, in the order in which they run.

mod bad_neighbours;
mod edits;
mod idle_cost;
mod impolite_sessions;
mod kill_backends;
mod kill_control_plane;
mod kill_nodes;
mod partitions;
mod rolling_restart;
mod soak;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::plan::Plan;
use super::row::Row;

/// One of them.
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    run: fn(Plan) -> LocalBoxFuture<'static, Result<Vec<Row>>>,
}

impl Scenario {
    /// # Errors
    /// It could not be played.
    pub async fn run(&self, plan: Plan) -> Result<Vec<Row>> {
        (self.run)(plan).await
    }
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "kill-backends",
        about: "kill -9 of a random backend process every second",
        run: |plan| kill_backends::run(plan).boxed_local(),
    },
    Scenario {
        name: "kill-control-plane",
        about: "kill -9 of the control plane, again and again",
        run: |plan| kill_control_plane::run(plan).boxed_local(),
    },
    Scenario {
        name: "kill-nodes",
        about: "kill -9 of one of three nodes; clients try again on another",
        run: |plan| kill_nodes::run(plan).boxed_local(),
    },
    Scenario {
        name: "impolite-sessions",
        about: "sessions dropped in every way, with a server whose children hide",
        run: |plan| impolite_sessions::run(plan).boxed_local(),
    },
    Scenario {
        name: "edits",
        about: "configuration edits under load",
        run: |plan| edits::run(plan).boxed_local(),
    },
    Scenario {
        name: "rolling-restart",
        about: "three nodes restarted in turn with many open streams",
        run: |plan| rolling_restart::run(plan).boxed_local(),
    },
    Scenario {
        name: "bad-neighbours",
        about: "a slow, a flooding and a mute backend beside twenty others",
        run: |plan| bad_neighbours::run(plan).boxed_local(),
    },
    Scenario {
        name: "partitions",
        about: "cuts and half-open peers between control plane and nodes",
        run: |plan| partitions::run(plan).boxed_local(),
    },
    Scenario {
        name: "idle-cost",
        about: "memory of idle sessions and streams",
        run: |plan| idle_cost::run(plan).boxed_local(),
    },
    Scenario {
        name: "soak",
        about: "a long load: memory, descriptors and tasks stay flat",
        run: |plan| soak::run(plan).boxed_local(),
    },
];
