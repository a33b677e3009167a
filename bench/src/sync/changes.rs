//! Changes at a fixed rate, whether or not the last one has arrived, timed until every node has them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use omcp_proto::v1::backend_service_client::BackendServiceClient;
use omcp_proto::v1::{Backend, BackendSpec, UpdateBackendRequest};
use prost_types::FieldMask;
use tokio::task::JoinSet;
use tokio::time::{self, MissedTickBehavior};
use tonic::transport::{Channel, Endpoint};

use super::node::{self, Applied};
use super::{backend_name, filling, millis};
use crate::histogram::Histogram;
use crate::program::Program;

/// How long all nodes together may take to receive everything, at the start and after the last change.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Changes of one round: enough for a p99, and so few that one stall of the disk is not in all of them.
const ROUND: usize = 200;

/// What to change, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Changes {
    /// How many changes.
    pub count: usize,
    /// How many of them per second.
    pub per_second: f64,
    /// Backends that are there to be changed.
    pub backends: usize,
}

/// How long changes were on their way.
///
/// The moment of the commit cannot be seen from outside. It lies between the request and the response of
/// an update: `from_request` includes the way to the control plane, its checks and its write to disk,
/// `from_response` begins when the caller knows of the commit.
#[derive(Debug, Default)]
pub struct Delays {
    /// From sending the update to the last node that applied it.
    pub from_request: Histogram,
    /// From the response of the update to the last node that applied it; 0 if all nodes were faster.
    pub from_response: Histogram,
    /// From sending the update to its response.
    pub update: Histogram,
}

impl Delays {
    fn merge(&mut self, other: &Self) {
        self.from_request.merge(&other.from_request);
        self.from_response.merge(&other.from_response);
        self.update.merge(&other.update);
    }
}

/// The same for each round, in their order.
#[derive(Debug)]
pub struct Rounds(Vec<Delays>);

impl Rounds {
    /// All changes.
    pub fn all(&self) -> Delays {
        let mut all = Delays::default();
        self.0.iter().for_each(|round| all.merge(round));
        all
    }

    /// A quantile of each round from sending its updates, and of these the median.
    pub fn usual_from_request(&self, share: f64) -> Duration {
        let mut found: Vec<_> = self.0.iter().map(|round| round.from_request.quantile(share)).collect();
        found.sort_unstable();
        found.get(found.len() / 2).copied().unwrap_or_default()
    }
}

/// One change.
#[derive(Debug)]
struct Change {
    revision: u64,
    sent: Instant,
    answered: Instant,
}

impl Changes {
    /// Connects simulated nodes and changes backends under them.
    ///
    /// # Errors
    /// If a change is refused or does not arrive.
    #[tokio::main(flavor = "current_thread")]
    pub async fn measure(self, control_plane: &Program, nodes: usize) -> Result<Rounds> {
        let mut streams = JoinSet::new();
        let applied: Vec<Applied> = (0..nodes).map(|_| Applied::default()).collect();
        for (number, applied) in applied.iter().enumerate() {
            streams.spawn(node::follow(
                control_plane.address("sync")?,
                format!("sim-{number:04}"),
                applied.clone(),
            ));
        }
        tokio::select! {
            Some(ended) = streams.join_next() => Err(ended?.err().context("a simulated node ended")?),
            delays = self.change(control_plane, &applied) => delays,
        }
    }

    async fn change(self, control_plane: &Program, applied: &[Applied]) -> Result<Rounds> {
        let channel =
            Endpoint::from_shared(format!("http://{}", control_plane.address("admin")?))?.connect().await?;
        settle(applied, 1).await?;
        let mut schedule = time::interval(Duration::from_secs_f64(1.0 / self.per_second));
        schedule.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut updates = JoinSet::new();
        let run = filling()?;
        for number in 0..self.count {
            schedule.tick().await;
            // Only what was never there before is a change.
            let display_name = format!("change {number} of {}", &run[..16]);
            updates.spawn(update(channel.clone(), backend_name(number % self.backends), display_name));
        }
        let changes = updates.join_all().await.into_iter().collect::<Result<Vec<Change>>>()?;
        let revisions: BTreeSet<u64> = changes.iter().map(|change| change.revision).collect();
        anyhow::ensure!(revisions.len() == changes.len(), "some updates changed nothing");
        settle(applied, revisions.last().copied().unwrap_or(0)).await?;
        let rounds = changes.chunks(ROUND).map(|round| delays(round, applied));
        Ok(Rounds(rounds.collect::<Result<_>>()?))
    }
}

/// Waits until every node has a revision.
async fn settle(applied: &[Applied], revision: u64) -> Result<()> {
    let level = || applied.iter().all(|applied| applied.newest() >= revision);
    let wait = async {
        while !level() {
            time::sleep(millis(5)).await;
        }
    };
    time::timeout(SETTLE_TIMEOUT, wait)
        .await
        .with_context(|| format!("not every node reaches revision {revision}"))
}

async fn update(channel: Channel, name: String, display_name: String) -> Result<Change> {
    let spec = Some(BackendSpec { display_name, ..BackendSpec::default() });
    let request = UpdateBackendRequest {
        backend: Some(Backend { name, spec, ..Backend::default() }),
        update_mask: Some(FieldMask { paths: vec!["spec.display_name".to_owned()] }),
        ..UpdateBackendRequest::default()
    };
    let sent = Instant::now();
    let response =
        BackendServiceClient::new(channel).update_backend(request).await.context("update a backend")?;
    Ok(Change { revision: response.into_inner().revision, sent, answered: Instant::now() })
}

fn delays(changes: &[Change], applied: &[Applied]) -> Result<Delays> {
    let mut delays = Delays::default();
    for change in changes {
        let times: Option<Vec<Instant>> =
            applied.iter().map(|applied| applied.time_of(change.revision)).collect();
        let last = times.and_then(|times| times.into_iter().max()).context("a change never arrived")?;
        delays.from_request.record(last.saturating_duration_since(change.sent));
        delays.from_response.record(last.saturating_duration_since(change.answered));
        delays.update.record(change.answered.saturating_duration_since(change.sent));
    }
    Ok(delays)
}
