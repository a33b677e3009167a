//! `docker`: a container that speaks MCP on its standard input and output, on any engine with the Docker
//! API (Docker, Podman).
//!
//! Every connection is a container of its own, removed when the connection closes. In reading order:
//!
//! - [`settings`]: what may be asked for
//! - [`spec`]: the same, as the engine wants it
//! - [`engine`]: the API, its deadlines and its errors
//! - [`image`]: how the image gets onto the engine
//! - [`container`], [`orphans`]: a container's life, and what clears away those that lost their owner
//! - [`output`], [`connection`]: the conversation

pub mod connection;
pub mod container;
pub mod engine;
pub mod image;
pub mod orphans;
pub mod output;
pub mod settings;
pub mod spec;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::ContainerCreateBody;
use omcp_core::{
    BackendConnection, ErrorKind, GatewayError, NodeIdentity, Runtime, RuntimeContext, RuntimeType,
    StderrSink,
};

use self::connection::{DockerConnection, Waits};
use self::container::Container;
use self::engine::{Engine, EngineAddress};
use self::orphans::Orphans;
use self::output::Output;
use self::settings::DockerSettings;
use crate::lines::{LineConnection, LineLimits};

/// Random bytes in the name of a container: two of one backend have to differ.
const NAME_SUFFIX_LEN: usize = 6;

/// The type `docker`.
#[derive(Default)]
pub struct Docker {
    /// What each engine still holds of this node. One entry per address that was ever named.
    engines: Mutex<BTreeMap<EngineAddress, Arc<Orphans>>>,
}

impl RuntimeType for Docker {
    const NAME: &'static str = "docker";
    type Settings = DockerSettings;

    fn create(
        &self,
        settings: DockerSettings,
        context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        settings.check()?;
        let address: EngineAddress = settings.engine.parse()?;
        Ok(Box::new(DockerRuntime {
            orphans: self.orphans(&address, &context.node),
            address,
            spec: spec::spec(&settings, &context),
            name: format!("omcp-{}", context.backend),
            stderr: context.stderr,
            pulled: AtomicBool::new(false),
            settings,
        }))
    }
}

impl Docker {
    fn orphans(&self, address: &EngineAddress, node: &NodeIdentity) -> Arc<Orphans> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        let known = engines.entry(address.clone());
        known.or_insert_with(|| Arc::new(Orphans::new(node.clone()))).clone()
    }
}

struct DockerRuntime {
    address: EngineAddress,
    orphans: Arc<Orphans>,
    spec: ContainerCreateBody,
    /// Beginning of the name of its containers.
    name: String,
    stderr: Arc<dyn StderrSink>,
    /// Whether the registry has been asked, where it is to be asked once.
    pulled: AtomicBool,
    settings: DockerSettings,
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let settings = &self.settings;
        let wait = settings.engine_timeout_ms.duration();
        let engine = Engine::connect(self.address.clone(), settings.connect_timeout_ms.duration()).await?;
        self.orphans.sweep(&engine, wait).await;
        self.provide_image(&engine).await?;
        let limits = (settings.memory_mib, wait);
        let (orphans, name) = (self.orphans.clone(), self.container_name()?);
        let mut container = Container::create(engine, orphans, name, self.spec.clone(), limits).await?;
        match self.open(&container).await {
            Ok(lines) => Ok(Box::new(DockerConnection::new(lines, container, self.waits()))),
            Err(error) => {
                // The failure of the start is what matters; the removal has noted its own.
                let _ = container.remove().await;
                Err(error)
            }
        }
    }

    fn call_timeout(&self) -> Duration {
        self.settings.call_timeout_ms.duration()
    }
}

impl DockerRuntime {
    async fn provide_image(&self, engine: &Engine) -> Result<(), GatewayError> {
        image::provide(engine, &self.settings, !self.pulled.load(Ordering::Relaxed)).await?;
        self.pulled.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn open(&self, container: &Container) -> Result<connection::Lines, GatewayError> {
        let streams = container.attach().await?;
        container.start().await?;
        let limits = LineLimits {
            line_len_max: self.settings.line_len_max.bytes(),
            write_timeout: self.settings.write_timeout_ms.duration(),
            ..LineLimits::default()
        };
        let output = Output::new(streams.output, self.stderr.clone());
        Ok(LineConnection::new(output, streams.input, limits).telling(self.stderr.clone()))
    }

    fn container_name(&self) -> Result<String, GatewayError> {
        let mut suffix = [0; NAME_SUFFIX_LEN];
        getrandom::fill(&mut suffix).map_err(|error| {
            let text = format!("no randomness for the name of a container: {error}");
            GatewayError::new(ErrorKind::Internal, text)
        })?;
        let suffix: String = suffix.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{}-{suffix}", self.name))
    }

    fn waits(&self) -> Waits {
        Waits {
            start: self.settings.start_timeout_ms.duration(),
            stop: self.settings.stop_timeout_ms.duration(),
            kill: self.settings.kill_timeout_ms.duration(),
        }
    }
}
