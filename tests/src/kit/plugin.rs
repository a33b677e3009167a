//! Any subject once more, its type served as a plugin; and the example plugins, which a node starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use omcp_core::runtime::NoStderr;
use omcp_core::{RuntimeConfig, RuntimeRegistry, SettingsSchema};
use omcp_runtimes::conformance::{BadSettings, Fault, Peer, Subject, Traits};
use omcp_runtimes::plugin::settings::Limits;
use omcp_runtimes::plugin::{Listener, OfferedType, Provider, Source, serve};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::program::{self, Listening};

/// The type of another subject, behind the plugin protocol.
pub struct Served<S> {
    inner: S,
    plugin: OnceCell<Plugin>,
}

/// A served registry, and the node's view of it.
struct Plugin {
    provider: Arc<Provider>,
    _folder: TempDir,
}

/// The type of an example plugin. Its programs front the kit's peer on a TCP port.
pub struct Example {
    name: &'static str,
    command: fn() -> String,
    provider: OnceCell<Arc<Provider>>,
}

impl Example {
    pub fn rust() -> Self {
        let command = || program::beside("omcp-example-plugin").display().to_string();
        Self { name: "rust-lines", command, provider: OnceCell::new() }
    }

    pub fn python() -> Self {
        let command = || {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugin-runtime/python");
            format!("{} {}", python().display(), folder.join("plugin.py").display())
        };
        Self { name: "python-lines", command, provider: OnceCell::new() }
    }
}

/// The interpreter with the packages of the Python example, as `cargo xtask setup` installs it.
fn python() -> PathBuf {
    let debug = program::beside("omcp-kit");
    let target = debug.ancestors().nth(2).expect("programs stand two folders below the target folder");
    target.join("tools/plugin/bin/python")
}

#[async_trait]
impl Subject for Example {
    fn type_name(&self) -> &str {
        self.name
    }

    fn registry(&self) -> RuntimeRegistry {
        offering(self.name, self.provider.get().expect("a peer was started first"))
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        vec![
            BadSettings::new(json!({}), "endpoint"),
            BadSettings::new(json!({ "endpoint": 1 }), "endpoint"),
            BadSettings::new(json!({ "endpoint": "no port" }), "endpoint"),
            BadSettings::new(json!({ "endpoint": "h:1", "connect_timeout_ms": 0 }), "connect_timeout_ms"),
        ]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        let provider = self.provider.get_or_try_init(|| described((self.command)()));
        provider.await?;
        let listening = Listening::start(&["--tcp", "127.0.0.1:0"]).await?;
        Ok(Box::new(Behind { name: self.name, listening }))
    }
}

/// A peer on a TCP port behind an example plugin.
struct Behind {
    name: &'static str,
    listening: Listening,
}

#[async_trait]
impl Peer for Behind {
    fn config(&self) -> RuntimeConfig {
        RuntimeConfig::new(self.name, json!({ "endpoint": self.listening.address() }).to_string())
    }

    async fn kill(&mut self, _: Option<u32>) -> Result<(), Fault> {
        self.listening.kill().await
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.listening.restart().await
    }
}

/// A plugin that has introduced itself: from then on settings are checked by its own schema.
async fn described(address: String) -> Result<Arc<Provider>, Fault> {
    let source = Source::parse(&address, Arc::new(NoStderr))?;
    let provider = Arc::new(Provider::new(source, Limits::default()));
    provider.link().await?;
    Ok(provider)
}

fn offering(name: &str, provider: &Arc<Provider>) -> RuntimeRegistry {
    let offered = OfferedType::new(name, Arc::clone(provider));
    RuntimeRegistry::new().with(offered).expect("one type has no namesake")
}

impl<S: Subject> Served<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, plugin: OnceCell::new() }
    }

    async fn plugin(&self) -> Result<Plugin, Fault> {
        let folder = tempfile::tempdir()?;
        let address = format!("unix:{}/plugin.sock", folder.path().display());
        let listener = Listener::bind(&address).await?;
        let registry = self.inner.registry();
        tokio::spawn(async move { serve("kit", env!("CARGO_PKG_VERSION"), registry, listener).await });
        Ok(Plugin { provider: described(address).await?, _folder: folder })
    }
}

#[async_trait]
impl<S: Subject> Subject for Served<S> {
    fn type_name(&self) -> &str {
        self.inner.type_name()
    }

    fn label(&self) -> String {
        format!("{} as a plugin", self.inner.label())
    }

    fn registry(&self) -> RuntimeRegistry {
        let plugin = self.plugin.get().expect("a peer was started first");
        offering(self.inner.type_name(), &plugin.provider)
    }

    fn traits(&self) -> Traits {
        self.inner.traits()
    }

    /// Those that the schema refuses: what only the plugin's code can tell shows when it connects.
    fn bad_settings(&self) -> Vec<BadSettings> {
        let registry = self.inner.registry();
        let kind = registry.get(self.type_name()).expect("the type is in its registry");
        let schema = SettingsSchema::compile(self.type_name(), kind.settings_schema()).expect("a schema");
        let mut bad = self.inner.bad_settings();
        bad.retain(|bad| !schema.violations(&bad.settings).is_empty());
        bad
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        self.plugin.get_or_try_init(|| self.plugin()).await?;
        self.inner.start().await
    }
}
