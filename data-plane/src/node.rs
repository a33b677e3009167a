//! [`Node`]: the parts of a node, their order of start and end.
//!
//! Start: load the newest good file, build what it holds, serve it, and only then look for a control
//! plane. End: not ready and goodbye; a while later no new requests; drain; end the backends. All of it
//! within a deadline, and a second wish to stop makes it quick.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use omcp_core::{GatewayError, RuntimeRegistry};
use omcp_runtimes::process::pages;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::admin::{self, Admin};
use crate::backends::{BackendSet, Table};
use crate::config::{InvalidConfig, NodeConfig, url};
use crate::front;
use crate::host;
use crate::host::secrets::Secrets;
use crate::limits;
use crate::members::Members;
use crate::plugins::Plugins;
use crate::sync::client::{Client, Identity, SetEnded};
use crate::sync::last_good::{LastGood, Writer};
use crate::sync::session::Session;
use crate::sync::starts::{HEALTHY_AFTER, Starts};
use crate::sync::view::View;

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    #[error("cannot listen on {address} for {what}")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("cannot use the state directory {path}: give another one with --state-dir")]
    State { path: String, source: io::Error },
    #[error("cannot offer the runtime types of --plugin")]
    Plugins(#[from] GatewayError),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("the operating system provides no randomness")]
    Randomness,
    #[error("the MCP listener failed")]
    Front(#[source] io::Error),
    #[error("some of the node had not ended {0} ms after the wish to stop, and was left behind")]
    Late(u128),
    #[error("the node was told twice to stop: what was still under way was cut")]
    Hurried,
    #[error("the node no longer follows its control plane")]
    Sync(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A node that is bound to its addresses and serves what it held when it last stopped.
pub struct Node {
    config: NodeConfig,
    mcp: TcpListener,
    mcp_url: String,
    admin: TcpListener,
    admin_url: String,
    plugins: Plugins,
    set: BackendSet,
    members: Arc<Members>,
    client: Client,
    starts: Starts,
}

impl Node {
    /// Binds, loads and builds. Nothing is served before [`Node::run`].
    ///
    /// # Errors
    /// A setting, an address or the state directory cannot be used.
    pub async fn build(config: NodeConfig, registry: RuntimeRegistry) -> Result<Self, NodeError> {
        config.check()?;
        let mcp = bind("MCP", config.listen).await?;
        let admin = bind("node administration", config.admin_listen).await?;
        let (mcp_url, admin_url) = (config.mcp_url(address(&mcp)?), url(address(&admin)?));
        let (starts, files, session) = load(&config)?;
        let held = session.held();
        let persisted = (held.epoch, held.revision);
        let boot_id = boot_id()?;
        let node = host::identity::load(&config.name, &config.state_dir, boot_id)
            .map_err(|source| state_error(&config, source))?;
        let plugins = Plugins::offer(registry, &config.plugins)?;
        let identity = identity(&config, boot_id, &plugins, &mcp_url, &admin_url);
        let secrets = Secrets::new(config.secrets_dir.clone());
        let set = BackendSet::start(plugins.registry().clone(), secrets, node, config.backends);
        serve_held(&set, &session).await?;
        let members = Members::load(&config.name, &config.state_dir).map_err(|_| NodeError::Randomness)?;
        let members = Arc::new(members);
        let files = Some(Writer::start(files, persisted));
        let client = Client::new(identity, session, set.clone(), members.clone(), files);
        Ok(Self { config, mcp, mcp_url, admin, admin_url, plugins, set, members, client, starts })
    }

    /// URL of the MCP listener, with the port it is really bound to.
    pub fn mcp_url(&self) -> &str {
        &self.mcp_url
    }

    /// URL of the admin listener, with the port it is really bound to.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Address of the MCP listener.
    pub fn mcp_address(&self) -> io::Result<SocketAddr> {
        self.mcp.local_addr()
    }

    /// The definitions that serve.
    pub fn table(&self) -> &Arc<Table> {
        self.set.table()
    }

    /// Where the node stands towards its control plane.
    pub fn view(&self) -> watch::Receiver<View> {
        self.client.view()
    }

    /// Serves until `stop` resolves, then drains for as long as the settings say.
    ///
    /// # Errors
    /// The MCP listener failed.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), NodeError> {
        self.run_until(stop, std::future::pending()).await
    }

    /// [`Node::run`]; `hurry` cuts everything short that comes after `stop`. The supervisors of processes that
    /// have not ended by then end them.
    ///
    /// # Errors
    /// As [`Node::run`]; `Hurried` if it was.
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<(), NodeError> {
        let limits = limits::table(&self.config.front, self.config.backends, self.config.shutdown_delay);
        let Self { config, mcp, admin, plugins, set, members, client, starts, .. } = self;
        let patience = config.shutdown_delay + config.front.drain_timeout + END_MARGIN;
        let (stop_sync, sync_stopping) = watch::channel(false);
        let (stop_front, front_stopping) = watch::channel(false);
        let fleet = members.clone();
        let pages = Admin::new(config.name, set.clone(), fleet, client.view(), sync_stopping.clone(), limits);
        let admin = tokio::spawn(admin::serve(admin, Arc::new(pages)));
        let serving = front::serve(mcp, set.table().clone(), config.front, members, front_stopping);
        let mut front = tokio::spawn(serving);
        let mut client = tokio::spawn(async move {
            let _following = plugins.follow().await;
            client.run(sync_stopping).await
        });
        let (health, slimming) = (note_health(starts.clone()), slim_down());
        let ended = tokio::select! {
            () = stop => Ended::default(),
            front = &mut front => Ended { front: Some(front), sync: None },
            sync = &mut client => Ended { front: None, sync: Some(sync) },
        };
        tracing::info!("stopping");
        stop_sync.send_replace(true);
        let asked = ended.front.is_none() && ended.sync.is_none();
        let delay = if asked { config.shutdown_delay } else { Duration::ZERO };
        let (front_abort, sync_abort) = (front.abort_handle(), client.abort_handle());
        let in_order = async {
            let synced = match ended.sync {
                Some(synced) => synced,
                None => client.await,
            };
            tokio::time::sleep(delay).await;
            stop_front.send_replace(true);
            let fronted = match ended.front {
                Some(fronted) => fronted,
                None => front.await,
            };
            set.close().await;
            (synced, fronted)
        };
        let outcome = in_time(in_order, hurry, patience).await;
        [front_abort, sync_abort, admin.abort_handle(), health.abort_handle(), slimming.abort_handle()]
            .iter()
            .for_each(AbortHandle::abort);
        match outcome {
            Outcome::InOrder((synced, fronted)) => {
                // A node that ends by itself is counted, so that its next start begins with an older file.
                followed(synced)?;
                starts.clear();
                fronted.unwrap_or(Ok(())).map_err(NodeError::Front)
            }
            Outcome::Hurried => {
                tracing::info!("stopping at once");
                starts.clear();
                drop(tokio::time::timeout(HURRY_MARGIN, set.close()).await);
                Err(NodeError::Hurried)
            }
            Outcome::Late => {
                starts.clear();
                Err(NodeError::Late(patience.as_millis()))
            }
        }
    }
}

/// A node that has run for so long has what it needs, or waits for its control plane.
const STARTED_AFTER: Duration = Duration::from_secs(1);
/// For the processes of backends to end after the drain: their steps from closed input to SIGKILL take
/// 5 s, those of sessions first.
const END_MARGIN: Duration = Duration::from_secs(10);
/// What the backends get when there is no time: to be told.
const HURRY_MARGIN: Duration = Duration::from_millis(300);

/// What ended before it was asked to.
#[derive(Default)]
struct Ended {
    front: Option<FrontEnd>,
    sync: Option<SyncEnd>,
}

type SyncEnd = Result<Result<(), SetEnded>, tokio::task::JoinError>;

type FrontEnd = Result<io::Result<()>, tokio::task::JoinError>;

/// How the end went.
enum Outcome<T> {
    InOrder(T),
    Hurried,
    Late,
}

async fn in_time<T>(
    in_order: impl Future<Output = T>,
    hurry: impl Future<Output = ()>,
    patience: Duration,
) -> Outcome<T> {
    tokio::select! {
        ended = in_order => Outcome::InOrder(ended),
        () = hurry => Outcome::Hurried,
        () = tokio::time::sleep(patience) => Outcome::Late,
    }
}

/// Clears the count of starts once the node has stayed up.
fn note_health(starts: Starts) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(HEALTHY_AFTER).await;
        starts.clear();
    })
}

/// What only a start needs does not stay in memory.
fn slim_down() -> JoinHandle<()> {
    tokio::spawn(async {
        tokio::time::sleep(STARTED_AFTER).await;
        pages::let_go();
    })
}

fn followed(ended: SyncEnd) -> Result<(), NodeError> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(NodeError::Sync(error.into())),
        Err(error) => Err(NodeError::Sync(error.into())),
    }
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|source| NodeError::Listen { what, address, source })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, NodeError> {
    listener.local_addr().map_err(NodeError::Front)
}

fn load(config: &NodeConfig) -> Result<(Starts, LastGood, Session), NodeError> {
    let files = LastGood::open(&config.state_dir).map_err(|source| state_error(config, source))?;
    let (starts, skip) = Starts::count(&config.state_dir);
    if skip > 0 {
        tracing::warn!(skip, "the node did not stay up after its last starts; it begins with an older file");
    }
    let began = Instant::now();
    let held = files.load(skip);
    if let Some(held) = &held {
        let (backends, revision, ms) = (held.len(), held.revision, began.elapsed().as_millis());
        tracing::info!(backends, revision, ms, "loaded the last-good file");
    }
    Ok((starts, files, Session::new(held)))
}

async fn serve_held(set: &BackendSet, session: &Session) -> Result<(), NodeError> {
    let began = Instant::now();
    let wanted = session.held().all();
    let backends = wanted.len();
    if !set.apply(wanted).await {
        return Err(NodeError::Sync(SetEnded.into()));
    }
    tracing::debug!(backends, ms = began.elapsed().as_millis(), "built what was held");
    Ok(())
}

fn state_error(config: &NodeConfig, source: io::Error) -> NodeError {
    NodeError::State { path: config.state_dir.display().to_string(), source }
}

fn boot_id() -> Result<[u8; 16], NodeError> {
    let mut boot_id = [0; 16];
    getrandom::fill(&mut boot_id).map_err(|_| NodeError::Randomness)?;
    Ok(boot_id)
}

fn identity(
    config: &NodeConfig,
    boot_id: [u8; 16],
    plugins: &Plugins,
    mcp_url: &str,
    admin_url: &str,
) -> Identity {
    Identity {
        control_plane: config.control_plane.clone(),
        node: config.name.clone(),
        boot_id,
        mcp_url: mcp_url.to_owned(),
        admin_url: admin_url.to_owned(),
        runtime_types: plugins.advertised(),
    }
}

#[cfg(test)]
mod tests;
