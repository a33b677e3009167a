//! FleetService.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use omcp_proto::v1::fleet_service_server::FleetService;
use omcp_proto::v1::{
    AcceptMassRemovalRequest, AcceptMassRemovalResponse, DrainNodeRequest, DrainNodeResponse,
    ListBackendStatusesRequest, ListBackendStatusesResponse, ListNodesRequest, ListNodesResponse,
    ListRuntimeTypesRequest, ListRuntimeTypesResponse, OfferedRuntimeType, RotateKeyringRequest,
    RotateKeyringResponse, WatchRolloutRequest, WatchRolloutResponse,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::catalog::Catalog;
use crate::error::Error;
use crate::fleet::Fleet;
use crate::keyring::Keyring;
use crate::publish::{Cursor, Hub};

/// Least time between two messages of a rollout, as promised in `fleet.proto`.
const ROLLOUT_EVERY: Duration = Duration::from_millis(50);
/// Backends that one rollout may name: as many as one transaction may change.
const ROLLOUT_BACKENDS_MAX: usize = 1000;

/// The stream of WatchRollout.
pub type Rollout = Pin<Box<dyn Stream<Item = Result<WatchRolloutResponse, Status>> + Send>>;

/// The service.
pub struct FleetApi {
    pub fleet: Arc<Fleet>,
    pub hub: Arc<Hub>,
    pub catalog: Arc<Catalog>,
    pub keyring: Keyring,
    /// Turns true when the control plane stops.
    pub stopping: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl FleetService for FleetApi {
    type WatchRolloutStream = Rollout;

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        Ok(Response::new(self.fleet.list()))
    }

    async fn list_backend_statuses(
        &self,
        request: Request<ListBackendStatusesRequest>,
    ) -> Result<Response<ListBackendStatusesResponse>, Status> {
        let ListBackendStatusesRequest { backend, node } = request.into_inner();
        Ok(Response::new(self.fleet.statuses(&backend, &node)?))
    }

    async fn watch_rollout(
        &self,
        request: Request<WatchRolloutRequest>,
    ) -> Result<Response<Rollout>, Status> {
        let WatchRolloutRequest { revision, backends } = request.into_inner();
        let head = self.hub.head().revision;
        if revision > head {
            return Err(Error::FutureRevision { from: revision, head }.into());
        }
        if backends.len() > ROLLOUT_BACKENDS_MAX {
            return Err(Error::invalid("backends", format!("names more than {ROLLOUT_BACKENDS_MAX}")).into());
        }
        let watch = RolloutWatch {
            fleet: self.fleet.clone(),
            backends,
            told: self.fleet.subscribe(),
            published: self.hub.subscribe(),
            stopping: self.stopping.clone(),
            last: None,
        };
        Ok(Response::new(Box::pin(stream::unfold(Some(watch), RolloutWatch::step))))
    }

    async fn list_runtime_types(
        &self,
        _: Request<ListRuntimeTypesRequest>,
    ) -> Result<Response<ListRuntimeTypesResponse>, Status> {
        let offers = self.fleet.offers();
        let offered = self.catalog.types().into_iter().map(|(key, known)| OfferedRuntimeType {
            r#type: Some(known.wire.clone()),
            nodes: offers.of_version(&key).iter().map(ToString::to_string).collect(),
        });
        Ok(Response::new(ListRuntimeTypesResponse { types: offered.collect() }))
    }

    async fn accept_mass_removal(
        &self,
        request: Request<AcceptMassRemovalRequest>,
    ) -> Result<Response<AcceptMassRemovalResponse>, Status> {
        let nodes = self.fleet.accept_mass_removal(&request.into_inner().node)?;
        Ok(Response::new(AcceptMassRemovalResponse { nodes }))
    }

    async fn drain_node(
        &self,
        request: Request<DrainNodeRequest>,
    ) -> Result<Response<DrainNodeResponse>, Status> {
        let DrainNodeRequest { node, drain } = request.into_inner();
        self.fleet.drain(&node, drain)?;
        Ok(Response::new(DrainNodeResponse {}))
    }

    async fn rotate_keyring(
        &self,
        _: Request<RotateKeyringRequest>,
    ) -> Result<Response<RotateKeyringResponse>, Status> {
        let id = self.keyring.rotate().await?;
        Ok(Response::new(RotateKeyringResponse { key: format!("{id:08x}") }))
    }
}

struct RolloutWatch {
    fleet: Arc<Fleet>,
    backends: Vec<String>,
    told: watch::Receiver<()>,
    published: watch::Receiver<Cursor>,
    stopping: watch::Receiver<bool>,
    last: Option<Instant>,
}

impl RolloutWatch {
    async fn step(watch: Option<Self>) -> Option<(Result<WatchRolloutResponse, Status>, Option<Self>)> {
        let mut watch = watch?;
        match watch.news().await {
            Ok(()) => Some((Ok(watch.fleet.rollout(&watch.backends)), Some(watch))),
            Err(error) => Some((Err(error.into()), None)),
        }
    }

    /// Returns at once the first time, then when something has changed, but not too often.
    async fn news(&mut self) -> Result<(), Error> {
        if let Some(last) = self.last {
            tokio::select! {
                told = self.told.changed() => told.map_err(|_| Error::Stopping)?,
                published = self.published.changed() => published.map_err(|_| Error::Stopping)?,
                _ = self.stopping.wait_for(|stopping| *stopping) => return Err(Error::Stopping),
            }
            tokio::time::sleep_until(last + ROLLOUT_EVERY).await;
        }
        self.last = Some(Instant::now());
        self.told.mark_unchanged();
        self.published.mark_unchanged();
        Ok(())
    }
}
