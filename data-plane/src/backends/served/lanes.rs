//! The one lane that modern clients of a pipe share: it comes from a probe and is replaced by the next.

use std::sync::Arc;

use omcp_core::{ErrorKind, GatewayError};
use omcp_mcp::revision::Era;

use super::Served;
use crate::backends::bridge::principal::Principal;
use crate::backends::eras::Eras;
use crate::backends::lane::Lane;
use crate::backends::slots::Opened;

impl Served {
    /// The lane of a modern client of a backend that is not HTTP: one that all share, unless it is its principal's
    /// own.
    ///
    /// # Errors
    /// As [`Served::ready`]; `Unsupported` if the backend does not speak the modern era; those of
    /// [`Served::open_connection`] for a lane of its principal's own.
    pub async fn modern_lane(&self, principal: &Principal) -> Result<Lane, GatewayError> {
        match self.circle_of(principal) {
            Some(circle) => Box::pin(self.principal_lane(circle)).await,
            None => self.common_lane().await,
        }
    }

    async fn common_lane(&self) -> Result<Lane, GatewayError> {
        if let Some(lane) = self.open_lane() {
            return Ok(lane);
        }
        if self.health.ready().is_some_and(|eras| eras.modern) {
            // It died, and its watcher has not got around to saying so.
            self.fail(&Arc::new(self.ended()));
        }
        let eras = self.ready().await?;
        self.open_lane().ok_or_else(|| self.no_modern_lane(eras))
    }

    pub(super) fn no_modern_lane(&self, eras: Eras) -> GatewayError {
        let context = format!("backend {} speaks {eras}: there is no modern lane to it", self.name);
        GatewayError::new(ErrorKind::Unsupported, context)
    }

    /// The shared lane, if it is there now.
    pub fn open_lane(&self) -> Option<Lane> {
        self.modern_lane.load().as_deref().filter(|lane| lane.is_open()).cloned()
    }

    /// It, and those that principals have to themselves.
    pub(super) fn open_lanes(&self) -> impl Iterator<Item = Lane> {
        self.open_lane().into_iter().chain(self.open_principal_lanes())
    }

    pub(super) fn keep_lane(&self, opened: Opened) {
        if self.open_lane().is_some() {
            // A probe went out although the lane lives: its calls matter more than the newer process.
            Lane::start(opened.connection, self.lane_options(Era::Modern, opened.slot)).close();
            return;
        }
        self.replace_lane(opened);
    }

    /// Makes a connection the shared lane; returns the one before.
    pub(super) fn replace_lane(&self, opened: Opened) -> Option<Arc<Lane>> {
        let options = self.lane_options(Era::Modern, opened.slot);
        let lane = Arc::new(Lane::start(opened.connection, options));
        let old = self.modern_lane.swap(Some(lane.clone()));
        let this = self.this.clone();
        tokio::spawn(async move {
            let why = lane.closed().await;
            if let Some(served) = this.upgrade() {
                served.lane_ended(&lane, &why);
            }
        });
        if self.life.is_closed() {
            self.close_lane();
        }
        old
    }

    fn lane_ended(&self, lane: &Arc<Lane>, why: &Arc<GatewayError>) {
        let current = self.modern_lane.load();
        let mine = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, lane));
        if mine && !self.life.is_closed() && self.health.ready().is_some() {
            self.fail(why);
        }
        self.changed();
    }

    /// Every process that serves it, and how many sessions are open.
    pub fn pids(&self) -> Vec<u32> {
        let lanes = self.open_lanes().filter_map(|lane| lane.pid());
        let sessions = self.health.record().pids.into_keys();
        lanes.chain(sessions).chain(self.bridges.pids()).chain(self.spares.pids()).collect()
    }

    pub(super) fn take_lane(&self) -> Option<Arc<Lane>> {
        self.modern_lane.swap(None)
    }

    pub(super) fn close_lane(&self) -> Option<Arc<Lane>> {
        let lane = self.take_lane();
        if let Some(lane) = &lane {
            lane.close();
        }
        lane
    }
}
