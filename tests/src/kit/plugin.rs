//! Any subject once more, its type served as a plugin over a Unix socket.

use std::sync::Arc;

use async_trait::async_trait;
use omcp_core::runtime::NoStderr;
use omcp_core::{RuntimeRegistry, SettingsSchema};
use omcp_runtimes::conformance::{BadSettings, Fault, Peer, Subject, Traits};
use omcp_runtimes::plugin::settings::Limits;
use omcp_runtimes::plugin::{Listener, OfferedType, Provider, Source, serve};
use tempfile::TempDir;
use tokio::sync::OnceCell;

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
        let source = Source::parse(&address, Arc::new(NoStderr))?;
        let provider = Arc::new(Provider::new(source, Limits::default()));
        // Settings are checked by the plugin's own schema from now on.
        provider.link().await?;
        Ok(Plugin { provider, _folder: folder })
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
        let offered = OfferedType::new(self.inner.type_name(), plugin.provider.clone());
        RuntimeRegistry::new().with(offered).expect("one type has no namesake")
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
