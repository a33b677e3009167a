//! `isolation: principal`: modern lanes of one principal each. The first call opens it; it ends when nobody uses
//! it or it is old, and the next call opens another.

use omcp_core::{GatewayError, Lifecycle};
use omcp_mcp::methods;
use omcp_mcp::revision::Era;
use serde_json::json;
use tokio::time::Instant;

use super::circles::{Circle, Circles};
use super::resting::{Disuse, finish};
use super::{START_DEADLINE, Served};
use crate::backends::introduction::metadata;
use crate::backends::lane::Lane;
use crate::backends::slots::Opened;

/// Those of one backend.
pub(super) type PrincipalLanes = Circles<PrincipalLane>;

pub(super) struct PrincipalLane {
    lane: Lane,
    disuse: Disuse,
}

impl PrincipalLane {
    fn alive(&self) -> Option<Lane> {
        Some(&self.lane).filter(|lane| lane.is_open()).cloned()
    }
}

impl Served {
    /// The modern lane of one principal.
    ///
    /// # Errors
    /// As [`Served::modern_lane`] and [`Served::open_connection`]; `Limit` if too many principals have one.
    pub(super) async fn principal_lane(&self, circle: Circle) -> Result<Lane, GatewayError> {
        let eras = self.ready().await?;
        if !eras.modern {
            return Err(self.no_modern_lane(eras));
        }
        let open = async {
            let lane = self.open_principal_lane().await?;
            Ok((PrincipalLane { lane: lane.clone(), disuse: Disuse::default() }, lane))
        };
        let lane = self.principal_lanes.get(circle, PrincipalLane::alive, Box::pin(open)).await?;
        if self.life.is_closed() {
            lane.close();
        }
        Ok(lane)
    }

    /// A process may take its time to start: that is no part of the first call's.
    async fn open_principal_lane(&self) -> Result<Lane, GatewayError> {
        let Opened { connection, slot } = self.session_connection().await?;
        let lane = Lane::start(connection, self.lane_options(Era::Modern, slot));
        let params = json!({ "_meta": metadata() }).to_string();
        let answer = lane.request(methods::SERVER_DISCOVER, &params, START_DEADLINE).await;
        answer.inspect_err(|_| lane.close())?;
        self.changed();
        let (this, lived) = (self.this.clone(), lane.clone());
        tokio::spawn(async move {
            lived.closed().await;
            if let Some(served) = this.upgrade() {
                served.changed();
            }
        });
        Ok(lane)
    }

    /// Ends those that nobody used for long, or that are old. Nothing here costs a call anything.
    pub fn look_after_principal_lanes(&self, now: Instant) {
        let Lifecycle { idle_timeout, lifetime_max, .. } = self.lifecycle();
        self.principal_lanes.retain(|PrincipalLane { lane, disuse }| {
            let unused = disuse.lasted(lane, now);
            let old = lifetime_max.is_some_and(|max| now.duration_since(lane.born()) >= max);
            let over = old || idle_timeout.is_some_and(|timeout| unused >= timeout);
            if over {
                tokio::spawn(finish(lane.clone(), self.shared.limits.drain_timeout));
            }
            !over && lane.is_open()
        });
    }

    pub(super) fn open_principal_lanes(&self) -> Vec<Lane> {
        self.principal_lanes.each(PrincipalLane::alive)
    }

    pub(super) fn close_principal_lanes(&self) -> Vec<Lane> {
        let lanes = self.principal_lanes.each(|kept| Some(kept.lane.clone()));
        lanes.iter().for_each(Lane::close);
        lanes
    }
}
