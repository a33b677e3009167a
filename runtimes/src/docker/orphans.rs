//! [`Orphans`]: containers that this node made on one engine and that nobody holds any more.
//!
//! They are told by their labels. Those of an earlier life of this node are found by listing: the id of a
//! node belongs to one running node at a time, so another boot id means that its maker is dead. Those of
//! this life are known by name: their removal failed, or is still under way.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use futures_util::{StreamExt, stream};
use omcp_core::{GatewayError, NodeIdentity};
use tokio::time::{sleep, timeout};

use super::engine::{Engine, Failure};

/// Names of nodes and backends, for people; the ids decide.
pub const LABEL_NODE: &str = "omcp.node";
pub const LABEL_BACKEND: &str = "omcp.backend";
pub const LABEL_NODE_ID: &str = "omcp.node-id";
pub const LABEL_BOOT_ID: &str = "omcp.boot-id";

/// How long a new connection may be held up by clearing away old ones.
const SWEEP_WAIT: Duration = Duration::from_secs(20);
/// Waits before a refused removal is tried again: 50, 100, 200, 400 and 800 ms.
const BUSY_FIRST: Duration = Duration::from_millis(50);
const BUSY_MAX: Duration = Duration::from_millis(800);
/// Containers removed at one time: an engine does little more in parallel.
const REMOVALS_MAX: usize = 4;

/// What is known of one engine.
pub struct Orphans {
    node: NodeIdentity,
    known: Mutex<Known>,
    /// Held by the one who sweeps; others wait for the result.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// Whether earlier lives have been cleared away.
    swept: bool,
    /// Names of this life. Each is a container that exists, so there are not many.
    lost: BTreeSet<String>,
}

impl Orphans {
    pub fn new(node: NodeIdentity) -> Self {
        Self { node, known: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Nobody holds this container any more, and it may still be there.
    pub fn lost(&self, name: &str) {
        self.known().lost.insert(name.to_owned());
    }

    /// It is gone.
    pub fn gone(&self, name: &str) {
        self.known().lost.remove(name);
    }

    /// Removes what is orphaned, if there can be any. A failure is logged and tried again with the next
    /// connection: old containers are no reason to refuse a new one.
    pub async fn sweep(&self, engine: &Engine, wait: Duration) {
        let _turn = self.turn.lock().await;
        if !self.is_due() {
            return;
        }
        match timeout(SWEEP_WAIT, self.remove_all(engine, wait)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!(engine = %engine.address(), count, "removed orphaned containers"),
            Ok(Err(error)) => {
                tracing::warn!(error = %error.chain(), "orphaned containers are left for later")
            }
            Err(_) => {
                tracing::warn!(engine = %engine.address(), "orphaned containers are left for later: time is up")
            }
        }
    }

    fn is_due(&self) -> bool {
        let known = self.known();
        !known.swept || !known.lost.is_empty()
    }

    async fn remove_all(&self, engine: &Engine, wait: Duration) -> Result<usize, GatewayError> {
        let mut names: BTreeSet<_> = self.known().lost.clone();
        names.extend(self.of_earlier_lives(engine, wait).await?);
        let count = names.len();
        let removals = stream::iter(names).map(async |name| (remove(engine, &name, wait).await, name));
        let mut failed = None;
        let mut removals = Box::pin(removals.buffer_unordered(REMOVALS_MAX));
        while let Some((removed, name)) = removals.next().await {
            match removed {
                Ok(()) => self.gone(&name),
                Err(failure) => failed = Some(failure),
            }
        }
        match failed {
            Some(failure) => Err(failure.into()),
            None => {
                self.known().swept = true;
                Ok(count)
            }
        }
    }

    async fn of_earlier_lives(&self, engine: &Engine, wait: Duration) -> Result<Vec<String>, GatewayError> {
        if self.node.id.is_empty() {
            return Ok(Vec::new());
        }
        let label = format!("{LABEL_NODE_ID}={}", self.node.id);
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = engine.client().list_containers(Some(options));
        let listed = engine.step("list containers", wait, listed).await?;
        Ok(listed
            .into_iter()
            .filter(|found| self.is_of_earlier_life(found))
            .filter_map(|found| found.id)
            .collect())
    }

    /// The labels are looked at again: an engine that ignores the filter must not cost others theirs.
    fn is_of_earlier_life(&self, found: &ContainerSummary) -> bool {
        let label = |name| found.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
        label(LABEL_NODE_ID) == Some(&self.node.id)
            && label(LABEL_BOOT_ID).is_some_and(|boot_id| boot_id != &*self.node.boot_id)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a container at once and removes it with its volumes. One that is gone already is fine. An engine
/// refuses while it is busy with the end of the same container, so it is asked again for a while.
pub async fn remove(engine: &Engine, name: &str, wait: Duration) -> Result<(), Failure> {
    let what = format!("remove container {name}");
    let mut pause = BUSY_FIRST;
    loop {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removal = engine.client().remove_container(name, Some(options));
        match engine.step(&what, wait, removal).await {
            Err(failure) if failure.is_missing() => return Ok(()),
            Err(failure) if failure.is_answer() && pause <= BUSY_MAX => {
                tracing::debug!(error = %failure, "will remove again");
                sleep(pause).await;
                pause *= 2;
            }
            removed => return removed,
        }
    }
}
