//! [`ControlPlane`]: everything put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use omcp_proto::v1::backend_service_server::BackendServiceServer;
use omcp_proto::v1::fleet_service_server::FleetServiceServer;
use omcp_proto::v1::manifest_service_server::ManifestServiceServer;
use omcp_proto::{DESCRIPTORS, MESSAGE_LEN_MAX};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tower::layer::util::{Identity, Stack};

use crate::api::backends::Backends;
use crate::api::explained::Explained;
use crate::api::fleet::FleetApi;
use crate::api::manifests::Manifests;
use crate::api::sync::SyncApi;
use crate::api::watch::WatchContext;
use crate::apply::Apply;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::error::Error;
use crate::fleet::Fleet;
use crate::fleet::members::MemberList;
use crate::incoming::incoming;
use crate::keyring::Keyring;
use crate::publish::Hub;
use crate::store::{OpenError, Store, StoreOptions};
use crate::sync::SessionContext;

/// HTTP/2 PING on idle connections: finds peers whose machine is gone.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(7);
const KEEPALIVE_WAIT: Duration = Duration::from_secs(5);
/// How long an admin call may take; streams only until their first answer.
const CALL_WAIT: Duration = Duration::from_secs(30);
/// How long open streams may take to end when the control plane stops.
const STOP_WAIT: Duration = Duration::from_secs(4);

/// Why a control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("cannot load the keyring: {0}")]
    Keyring(#[source] Error),
    #[error("cannot listen on {address} ({flag}): {source}")]
    Listen { address: SocketAddr, flag: &'static str, source: std::io::Error },
    #[error(
        "{flag} {address} can be reached from other machines, and there is no authentication: \
         use a loopback address, or give --insecure-listen as well"
    )]
    Insecure { address: SocketAddr, flag: &'static str },
    #[error("cannot describe the API for reflection: {0}")]
    Reflection(String),
}

/// The control plane.
#[derive(Debug)]
pub struct ControlPlane;

/// A control plane that runs. Dropping it without [`Running::shutdown`] leaves it running.
#[derive(Debug)]
pub struct Running {
    admin: SocketAddr,
    sync: SocketAddr,
    stop: watch::Sender<bool>,
    servers: JoinSet<()>,
    publisher: JoinHandle<()>,
    store: Store,
    health: HealthReporter,
}

/// What the services share.
struct Parts {
    hub: Arc<Hub>,
    store: Store,
    catalog: Arc<Catalog>,
    fleet: Arc<Fleet>,
    keyring: Keyring,
    stopping: watch::Receiver<bool>,
}

impl ControlPlane {
    /// Opens the store, binds both listeners and serves. When this returns, everything is loaded.
    ///
    /// # Errors
    /// An address cannot be bound or is not loopback, or the store cannot be opened.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let admin = bind(config.admin_listen, "--admin-listen", config.insecure_listen).await?;
        let sync = bind(config.sync_listen, "--sync-listen", config.insecure_listen).await?;
        let options = StoreOptions { path: config.db.clone(), retain_revisions: config.retain_revisions };
        let (store, hub) = Store::open(options).await?;
        let (stop, stopping) = watch::channel(false);
        let fleet = Arc::new(Fleet::new(hub.clone()));
        let keyring = Keyring::start(store.clone(), fleet.clone()).await.map_err(StartError::Keyring)?;
        let parts = Parts { hub, store, catalog: Arc::default(), fleet, keyring, stopping };
        let health = HealthReporter::new();
        let (admin_routes, sync_routes) =
            (admin_routes(&parts, &config, &health)?, sync_routes(&parts, &config, &health));
        announce(&health).await;
        let admin_address = address(&admin, "--admin-listen")?;
        let sync_address = address(&sync, "--sync-listen")?;
        let mut servers = JoinSet::new();
        servers.spawn(serve(
            builder(Some(CALL_WAIT)).add_routes(admin_routes),
            admin,
            parts.stopping.clone(),
        ));
        servers.spawn(serve(builder(None).add_routes(sync_routes), sync, parts.stopping.clone()));
        let publisher = tokio::spawn(parts.hub.clone().run());
        Ok(Running {
            admin: admin_address,
            sync: sync_address,
            stop,
            servers,
            publisher,
            store: parts.store,
            health,
        })
    }
}

impl Running {
    /// Where the admin API listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where nodes connect.
    pub fn sync(&self) -> SocketAddr {
        self.sync
    }

    /// Asks nodes to come back later, ends all streams, finishes the writes that wait and closes
    /// the store. Takes at most five seconds, whatever peers do.
    pub async fn shutdown(mut self) {
        for service in SERVICES {
            self.health.set_service_status(service, tonic_health::ServingStatus::NotServing).await;
        }
        // Nobody listens any more: then there is nothing to stop.
        let _ = self.stop.send(true);
        let ended = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
            tracing::warn!("some connections did not end in time: leaving them");
            self.servers.abort_all();
        }
        self.publisher.abort();
        self.store.close().await;
    }
}

const SERVICES: [&str; 5] = [
    "",
    <BackendServiceServer<Backends> as NamedService>::NAME,
    <ManifestServiceServer<Manifests> as NamedService>::NAME,
    <FleetServiceServer<FleetApi> as NamedService>::NAME,
    <SyncApi as NamedService>::NAME,
];

async fn announce(health: &HealthReporter) {
    for service in SERVICES {
        health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    }
}

async fn bind(address: SocketAddr, flag: &'static str, insecure: bool) -> Result<TcpListener, StartError> {
    if !insecure && !address.ip().is_loopback() {
        return Err(StartError::Insecure { address, flag });
    }
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, flag, source })
}

fn address(listener: &TcpListener, flag: &'static str) -> Result<SocketAddr, StartError> {
    let unbound = SocketAddr::from(([0, 0, 0, 0], 0));
    listener.local_addr().map_err(|source| StartError::Listen { address: unbound, flag, source })
}

fn builder(call_wait: Option<Duration>) -> Server<Stack<Explained, Identity>> {
    Server::builder()
        .layer(Explained { call_wait })
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WAIT))
}

async fn serve(
    router: tonic::transport::server::Router<Stack<Explained, Identity>>,
    listener: TcpListener,
    mut stopping: watch::Receiver<bool>,
) {
    let stopped = async move {
        // A sender that is gone means the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    if let Err(error) = router.serve_with_incoming_shutdown(incoming(listener), stopped).await {
        tracing::error!(%error, "a listener failed");
    }
}

fn admin_routes(parts: &Parts, config: &Config, health: &HealthReporter) -> Result<Routes, StartError> {
    let Parts { hub, store, catalog, fleet, keyring, stopping } = parts;
    let apply = Arc::new(Apply {
        hub: hub.clone(),
        store: store.clone(),
        catalog: catalog.clone(),
        fleet: fleet.clone(),
        limits: config.limits,
    });
    let watch = WatchContext { hub: hub.clone(), heartbeat: config.heartbeat(), stopping: stopping.clone() };
    let backends = BackendServiceServer::new(Backends { apply: apply.clone(), watch });
    let manifests = ManifestServiceServer::new(Manifests { apply });
    let fleet = FleetServiceServer::new(FleetApi {
        fleet: fleet.clone(),
        hub: hub.clone(),
        catalog: catalog.clone(),
        keyring: keyring.clone(),
        stopping: stopping.clone(),
    });
    let reflect = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let undescribed = |error: tonic_reflection::server::Error| StartError::Reflection(error.to_string());
    Ok(Routes::new(
        backends.max_decoding_message_size(MESSAGE_LEN_MAX).max_encoding_message_size(MESSAGE_LEN_MAX),
    )
    .add_service(
        manifests.max_decoding_message_size(MESSAGE_LEN_MAX).max_encoding_message_size(MESSAGE_LEN_MAX),
    )
    .add_service(fleet.max_decoding_message_size(MESSAGE_LEN_MAX).max_encoding_message_size(MESSAGE_LEN_MAX))
    .add_service(health_service(health))
    .add_service(reflect().build_v1().map_err(undescribed)?)
    .add_service(reflect().build_v1alpha().map_err(undescribed)?))
}

fn sync_routes(parts: &Parts, config: &Config, health: &HealthReporter) -> Routes {
    let Parts { hub, store, catalog, fleet, keyring, stopping } = parts;
    let context = SessionContext {
        hub: hub.clone(),
        store: store.clone(),
        fleet: fleet.clone(),
        catalog: catalog.clone(),
        keyring: keyring.clone(),
        members: MemberList::start(fleet.clone()),
        heartbeat: config.heartbeat(),
        stopping: stopping.clone(),
    };
    Routes::new(SyncApi { context }).add_service(health_service(health))
}

fn health_service(
    health: &HealthReporter,
) -> tonic_health::pb::health_server::HealthServer<tonic_health::server::HealthService> {
    let service = tonic_health::server::HealthService::from_health_reporter(health.clone());
    tonic_health::pb::health_server::HealthServer::new(service)
}
