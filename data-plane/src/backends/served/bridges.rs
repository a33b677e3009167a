//! Lanes across the eras: modern clients on sessions of a legacy backend, and the modern lane of a legacy
//! client's session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omcp_core::{ErrorKind, GatewayError};
use omcp_mcp::bridge::capabilities::ClientCapabilities;
use omcp_mcp::bridge::legacy_lane::LaneOptions;
use omcp_mcp::bridge::legacy_session::SessionOptions;
use omcp_mcp::revision::{Era, Revision};
use tokio::time::{Instant, timeout_at};

use super::Served;
use crate::backends::bridge::legacy_lane::{Claim, LegacyLane, Turns};
use crate::backends::bridge::legacy_session::{BridgedSession, Renew};
use crate::backends::bridge::principal::Principal;
use crate::backends::bridge::task_seal::TaskSeal;
use crate::backends::lane::{Lane, Sink};
use crate::backends::slots::{Opened, Slot};

/// The modern revisions that clients are told of.
const SERVED: [&str; 1] = [Revision::V2026_07_28.as_str()];
/// Bridged lanes of one backend: each may be a process.
pub const LANES_MAX: usize = 256;
/// Lanes among which the calls of anonymous clients take turns that may be asked something.
const CLAIMED_MAX: usize = 8;
/// Those of them that tasks may keep to themselves: the others go on taking turns.
const KEPT_FOR_TASKS_MAX: usize = 4;
/// How long such a call waits for its turn.
const TURN_DEADLINE: Duration = Duration::from_secs(30);
/// A lane that nobody uses for this long ends, or sooner if its backend says so.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// The open lanes of one backend to its legacy side.
#[derive(Default)]
pub(super) struct Bridges(Mutex<HashMap<Key, Pool>>);

/// Principal and fingerprint of the capabilities: what makes a server look the same to two clients.
type Key = (Principal, [u8; 32]);

/// How the gateway introduces itself.
fn client_info_of_the_gateway() -> String {
    format!(r#"{{"name":"omcp","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
}

/// Lanes that look the same. The first one serves whatever needs no lane to itself.
struct Pool {
    lanes: Vec<LegacyLane>,
    /// Being opened.
    coming: usize,
    turns: Arc<Turns>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { lanes: Vec::new(), coming: 0, turns: Arc::new(Turns::new(KEPT_FOR_TASKS_MAX)) }
    }
}

/// What a pool has for a request.
enum Found {
    Lane(LegacyLane, Option<Claim>),
    /// Open another lane.
    Room(Arc<Turns>),
    /// Wait until one is free.
    Full(Arc<Turns>),
}

impl Bridges {
    fn find(&self, key: &Key, claims: bool) -> Result<Found, GatewayError> {
        let mut pools = self.lock();
        for pool in pools.values_mut() {
            pool.lanes.retain(LegacyLane::is_open);
        }
        pools.retain(|of, pool| of == key || !pool.lanes.is_empty() || pool.coming > 0);
        let count: usize = pools.values().map(|pool| pool.lanes.len() + pool.coming).sum();
        let pool = pools.entry(key.clone()).or_default();
        let free =
            pool.lanes.iter().find_map(|lane| Some((lane, if claims { Some(lane.claim()?) } else { None })));
        if let Some((lane, claim)) = free {
            return Ok(Found::Lane(lane.clone(), claim));
        }
        let most = if claims { CLAIMED_MAX } else { 1 };
        if pool.lanes.len() + pool.coming >= most {
            return Ok(Found::Full(pool.turns.clone()));
        }
        if count >= LANES_MAX {
            let context = format!("the backend has {LANES_MAX} bridged lanes already; try again later");
            return Err(GatewayError::new(ErrorKind::Limit, context));
        }
        pool.coming += 1;
        Ok(Found::Room(pool.turns.clone()))
    }

    /// Ends what [`Found::Room`] began.
    fn came(&self, key: &Key, lane: Option<LegacyLane>) {
        let mut pools = self.lock();
        let pool = pools.entry(key.clone()).or_default();
        pool.coming = pool.coming.saturating_sub(1);
        pool.lanes.extend(lane);
        pool.turns.freed.notify_waiters();
    }

    pub fn is_busy(&self) -> bool {
        self.all().iter().any(LegacyLane::is_busy)
    }

    pub fn pids(&self) -> Vec<u32> {
        self.all().iter().filter(|lane| lane.is_open()).filter_map(LegacyLane::pid).collect()
    }

    pub fn close(&self) {
        self.all().iter().for_each(LegacyLane::close);
    }

    /// Waits until the connections of all lanes are closed.
    pub async fn closed(&self) {
        for lane in self.all() {
            lane.closed().await;
        }
    }

    fn all(&self) -> Vec<LegacyLane> {
        self.lock().values().flat_map(|pool| &pool.lanes).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Pool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane that is being opened; dropping it gives its place up.
struct Coming<'a> {
    bridges: &'a Bridges,
    key: &'a Key,
    lane: Option<LegacyLane>,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.bridges.came(self.key, self.lane.take());
    }
}

impl Served {
    /// A lane of a legacy backend for a modern client's request. A prompt must never reach another user,
    /// and nobody knows who an anonymous client is: a call that may prompt one has the lane to itself
    /// (`may_ask`), for as long as it lasts, or its task.
    ///
    /// # Errors
    /// Those of [`Served::open_connection`]; `Limit` if there are too many lanes, or no lane becomes free.
    pub async fn legacy_lane(
        &self,
        principal: &Principal,
        capabilities: ClientCapabilities,
        client_info: &[u8],
        may_ask: bool,
    ) -> Result<(LegacyLane, Option<Claim>), GatewayError> {
        let claims = may_ask && principal.is_anonymous() && capabilities.interactive();
        let key = (principal.clone(), capabilities.fingerprint());
        let deadline = Instant::now() + TURN_DEADLINE;
        loop {
            let turns = match self.bridges.find(&key, claims)? {
                Found::Lane(lane, claim) => return Ok((lane, claim)),
                Found::Room(turns) => {
                    self.open_bridge(&key, capabilities.clone(), client_info, turns).await?;
                    continue;
                }
                Found::Full(turns) => turns,
            };
            let mut turn = std::pin::pin!(turns.freed.notified());
            turn.as_mut().enable();
            // It may have become free before anybody listened.
            match self.bridges.find(&key, claims)? {
                Found::Lane(lane, claim) => return Ok((lane, claim)),
                Found::Room(_) => {
                    self.bridges.came(&key, None);
                    continue;
                }
                Found::Full(_) => {}
            }
            if timeout_at(deadline, turn).await.is_err() {
                let context = "every lane to the backend waits for somebody's input; try again later";
                return Err(GatewayError::new(ErrorKind::Limit, context));
            }
        }
    }

    async fn open_bridge(
        &self,
        key: &Key,
        capabilities: ClientCapabilities,
        client_info: &[u8],
        turns: Arc<Turns>,
    ) -> Result<(), GatewayError> {
        let mut coming = Coming { bridges: &self.bridges, key, lane: None };
        let Opened { connection, slot } = self.session_connection().await?;
        // Several people share it, of whom none is to stand for the others.
        let own = client_info_of_the_gateway();
        let client_info = if key.0.is_anonymous() { own.as_bytes() } else { client_info };
        let options = LaneOptions {
            client_info: client_info.into(),
            capabilities,
            hears: true,
            shared: key.0.is_anonymous(),
            call_timeout_ms: u64::try_from(self.runtime.call_timeout().as_millis()).unwrap_or(u64::MAX),
            served: &SERVED,
        };
        let this = self.this.clone();
        let changed = move || {
            if let Some(served) = this.upgrade() {
                served.list_later();
            }
        };
        let idle = self.lifecycle().idle_timeout.map_or(IDLE, |timeout| timeout.min(IDLE));
        let lane = LegacyLane::start(connection, options, idle, turns, changed);
        self.watch_bridge(lane.clone(), slot);
        coming.lane = Some(lane);
        drop(coming);
        if self.life.is_closed() {
            self.bridges.close();
        }
        self.changed();
        Ok(())
    }

    /// A handshake that is refused for its era is news about the backend. The process keeps its `slot` as long
    /// as it lives.
    fn watch_bridge(&self, lane: LegacyLane, slot: Option<Slot>) {
        let this = self.this.clone();
        tokio::spawn(async move {
            let contradicted = lane.closed().await;
            drop(slot);
            let Some(served) = this.upgrade() else {
                return;
            };
            if contradicted {
                let context = format!("backend {} has no handshake: it speaks another era", served.name);
                served.fail(&Arc::new(GatewayError::new(ErrorKind::Unsupported, context)));
            }
            served.changed();
        });
    }

    /// A legacy client's session with a modern backend. What belongs to no request goes to `general`;
    /// `ask_prefix` begins the ids of requests to the client, and `seal` is for its tasks.
    ///
    /// # Errors
    /// As [`Served::lane_for_session`].
    pub async fn bridged_session(
        &self,
        principal: &Principal,
        ask_prefix: String,
        general: Arc<dyn Sink>,
        seal: Arc<dyn TaskSeal>,
    ) -> Result<BridgedSession, GatewayError> {
        let (lane, renew) = self.lane_for_session(principal).await?;
        let call_timeout = self.runtime.call_timeout().as_millis();
        let options = SessionOptions {
            backend: self.name.as_str().to_owned(),
            ask_prefix,
            call_timeout_ms: u64::try_from(call_timeout).unwrap_or(u64::MAX),
            over_http: self.runtime.http().is_some(),
        };
        Ok(BridgedSession::start(lane, renew, options, general, seal))
    }

    /// A modern lane for a legacy client's session, and where the next one comes from if it is shared.
    ///
    /// # Errors
    /// Those of [`Served::modern_lane`] and [`Served::open_connection`].
    pub(super) async fn lane_for_session(
        &self,
        principal: &Principal,
    ) -> Result<(Lane, Option<Renew>), GatewayError> {
        if self.upstream.is_none() {
            return Ok((self.modern_lane(principal).await?, Some(self.another_lane(principal.clone()))));
        }
        let Opened { connection, slot } = self.open_connection().await?;
        Ok((Lane::start(connection, self.lane_options(Era::Modern, slot)), None))
    }

    fn another_lane(&self, principal: Principal) -> Renew {
        let this = self.this.clone();
        Box::new(move || {
            let (served, principal) = (this.upgrade(), principal.clone());
            Box::pin(async move {
                let gone = || GatewayError::closed("the backend of this session is gone");
                served.ok_or_else(gone)?.modern_lane(&principal).await
            })
        })
    }
}
