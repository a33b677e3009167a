//! [`Plugins`]: runtime types that this node offers and that live in other processes.
//!
//! A type is registered at once, so that what the node holds is built whether its plugin is up or not.
//! It is advertised once its plugin has introduced itself, since then its schema is known; the control
//! plane checks settings by it from then on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use omcp_core::{GatewayError, RuntimeRegistry, StderrSink};
use omcp_proto::v1::RuntimeType;
use omcp_runtimes::plugin::settings::Limits;
use omcp_runtimes::plugin::{OfferedType, Provider, Source};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::PluginConfig;
use omcp_runtimes::backoff::full_jitter;

/// How long the first hello waits for plugins; one that is later is advertised by another hello.
const START_WAIT: Duration = Duration::from_secs(3);
/// First wait before a plugin that did not introduce itself is asked again.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest such wait: what a person is willing to wait after a repair.
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// The types of a node, those of its plugins among them.
pub struct Plugins {
    registry: RuntimeRegistry,
    offered: Vec<Offered>,
    advertised: watch::Sender<Vec<RuntimeType>>,
}

#[derive(Clone)]
struct Offered {
    name: String,
    provider: Arc<Provider>,
}

impl Plugins {
    /// Adds the types of the plugins to `registry`. Nothing is started yet.
    ///
    /// # Errors
    /// A name is taken, or an address is none.
    pub fn offer(mut registry: RuntimeRegistry, plugins: &[PluginConfig]) -> Result<Self, GatewayError> {
        let mut places: Vec<(&str, Arc<Provider>)> = Vec::new();
        let mut offered = Vec::new();
        for PluginConfig { name, place } in plugins {
            let known = places.iter().find(|(known, _)| known == place).map(|(_, provider)| provider.clone());
            let provider = match known {
                Some(provider) => provider,
                None => {
                    let source = Source::parse(place, Arc::new(Logged(name.clone())))?;
                    Arc::new(Provider::new(source, Limits::default()))
                }
            };
            places.push((place, provider.clone()));
            registry = registry.with(OfferedType::new(name, provider.clone()))?;
            offered.push(Offered { name: name.clone(), provider });
        }
        let advertised = watch::Sender::new(advertised(&registry, &offered));
        Ok(Self { registry, offered, advertised })
    }

    pub fn registry(&self) -> &RuntimeRegistry {
        &self.registry
    }

    /// What the fleet is told of the types.
    pub fn advertised(&self) -> watch::Receiver<Vec<RuntimeType>> {
        self.advertised.subscribe()
    }

    /// Asks every plugin to introduce itself, and goes on following them until the tasks are dropped.
    pub async fn follow(self) -> JoinSet<()> {
        let first = self.offered.iter().map(|offered| async { offered.introduced().await });
        let known = timeout(START_WAIT, join_all(first)).await.unwrap_or_default();
        let plugins = Arc::new(self);
        plugins.advertise();
        let mut tasks = JoinSet::new();
        for (index, offered) in plugins.offered.iter().enumerate() {
            let known = known.get(index).copied().unwrap_or(false);
            tasks.spawn(keep_advertised(plugins.clone(), offered.clone(), known));
        }
        tasks
    }

    fn advertise(&self) {
        let new = advertised(&self.registry, &self.offered);
        self.advertised.send_if_modified(|told| {
            let changed = *told != new;
            *told = new;
            changed
        });
    }
}

impl Offered {
    fn is_known(&self) -> bool {
        let described = self.provider.described();
        described.borrow().as_ref().is_some_and(|described| described.kind(Some(&self.name)).is_ok())
    }

    /// Whether the plugin is known from now on. It is logged why not.
    async fn introduced(&self) -> bool {
        let linked = self.provider.link().await;
        let described = linked.and_then(|link| link.description.kind(Some(&self.name)).map(drop));
        match described {
            Ok(()) => tracing::info!(runtime_type = self.name, "plugin is there"),
            Err(error) => {
                let error = error.chain();
                tracing::warn!(runtime_type = self.name, %error, "plugin is not there; asking it again");
            }
        }
        self.is_known()
    }
}

/// Once it is known, connections hear of its changes.
async fn keep_advertised(plugins: Arc<Plugins>, offered: Offered, mut known: bool) {
    let mut described = offered.provider.described();
    let mut failures = 0;
    loop {
        failures += 1;
        let retry = sleep(full_jitter(failures, BACKOFF_FIRST, BACKOFF_MAX));
        tokio::select! {
            changed = described.changed() => if changed.is_err() { return },
            () = retry, if !known => known = offered.introduced().await,
        }
        known = known || offered.is_known();
        plugins.advertise();
    }
}

/// All types but those of plugins that have not introduced themselves.
fn advertised(registry: &RuntimeRegistry, offered: &[Offered]) -> Vec<RuntimeType> {
    let mut types = runtime_types(registry);
    let unknown: Vec<_> = offered.iter().filter(|offered| !offered.is_known()).collect();
    types.retain(|told| !unknown.iter().any(|offered| offered.name == told.name));
    types
}

/// What the node tells of the runtime types it offers.
pub fn runtime_types(registry: &RuntimeRegistry) -> Vec<RuntimeType> {
    let told = registry.describe().map(|kind| {
        let schema = kind.settings_schema.to_string();
        RuntimeType {
            name: kind.name,
            version: kind.version,
            origin: kind.origin.as_str().to_owned(),
            schema_hash: blake3::hash(schema.as_bytes()).as_bytes()[..16].to_vec(),
            settings_schema_json: schema,
        }
    });
    told.collect()
}

/// What a plugin's program writes goes to the node's log: it serves many backends.
struct Logged(String);

impl StderrSink for Logged {
    fn line(&self, line: &[u8]) {
        tracing::info!(plugin = self.0, line = ?String::from_utf8_lossy(line));
    }
}
