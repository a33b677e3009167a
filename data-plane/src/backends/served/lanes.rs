//! The one lane that all modern clients of a pipe share: it comes from a probe and is replaced by the next.

use std::sync::Arc;

use omcp_core::{ErrorKind, GatewayError};
use omcp_mcp::revision::Era;

use super::Served;
use crate::backends::lane::Lane;
use crate::backends::slots::Opened;

impl Served {
    /// The one lane that all modern clients of a backend share that is not HTTP.
    ///
    /// # Errors
    /// As [`Served::ready`]; `Unsupported` if the backend does not speak the modern era.
    pub async fn modern_lane(&self) -> Result<Lane, GatewayError> {
        if let Some(lane) = self.open_lane() {
            return Ok(lane);
        }
        if self.health.ready().is_some_and(|eras| eras.modern) {
            // It died, and its watcher has not got around to saying so.
            self.fail(&Arc::new(self.ended()));
        }
        let eras = self.ready().await?;
        self.open_lane().ok_or_else(|| {
            let context = format!("backend {} speaks {eras}: there is no modern lane to it", self.name);
            GatewayError::new(ErrorKind::Unsupported, context)
        })
    }

    /// The shared lane, if it is there now.
    pub fn open_lane(&self) -> Option<Lane> {
        self.modern_lane.load().as_deref().filter(|lane| lane.is_open()).cloned()
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
        let shared = self.open_lane().and_then(|lane| lane.pid());
        let own = self.health.record().pids.into_keys();
        shared.into_iter().chain(own).chain(self.bridges.pids()).chain(self.spares.pids()).collect()
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
