//! [`PluginRuntime`]: from a backend's settings to its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use omcp_core::runtime::CALL_TIMEOUT;
use omcp_core::{BackendConnection, GatewayError, Runtime, RuntimeContext};
use serde_json::Value;

use super::connection::{PluginConnection, Target};
use super::provider::{Link, Provider};
use super::wire;
use crate::stderr::Rate;

pub struct PluginRuntime {
    provider: Arc<Provider>,
    /// The plugin's type; `None` means its only one.
    wanted: Option<String>,
    settings: Value,
    /// Where they stand in the backend's.
    below: &'static str,
    context: RuntimeContext,
    call_timeout: Option<Duration>,
    /// What the plugin said last, milliseconds; 0 if nothing.
    told_call_timeout_ms: AtomicU64,
    told_only_answers: AtomicBool,
}

impl PluginRuntime {
    /// `settings` are those of the plugin's type, references resolved.
    pub fn new(
        provider: Arc<Provider>,
        wanted: Option<String>,
        settings: Value,
        context: RuntimeContext,
    ) -> Self {
        Self {
            provider,
            wanted,
            settings,
            below: "",
            context,
            call_timeout: None,
            told_call_timeout_ms: AtomicU64::new(0),
            told_only_answers: AtomicBool::new(false),
        }
    }

    /// The settings stand below this path, dot included.
    #[must_use]
    pub fn below(self, below: &'static str) -> Self {
        Self { below, ..self }
    }

    /// What the backend says goes before what the plugin says.
    #[must_use]
    pub fn with_call_timeout(self, call_timeout: Option<Duration>) -> Self {
        Self { call_timeout, ..self }
    }
}

#[async_trait]
impl Runtime for PluginRuntime {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let Link { channel, description, run, local } = self.provider.link().await?;
        let kind = description.kind(self.wanted.as_deref())?;
        kind.check(&self.settings, self.below)?;
        let start = wire::start(kind.name(), &self.settings, &self.context);
        let target = Target { channel, plugin: description.to_string(), below: self.below, run, local };
        let stderr = Rate::new(Arc::clone(&self.context.stderr));
        let opened = PluginConnection::open(target, start, *self.provider.limits(), stderr).await?;
        let told =
            opened.call_timeout().map_or(0, |told| u64::try_from(told.as_millis()).unwrap_or(u64::MAX));
        self.told_call_timeout_ms.store(told, Ordering::Relaxed);
        self.told_only_answers.store(opened.only_answers(), Ordering::Relaxed);
        Ok(Box::new(opened))
    }

    fn call_timeout(&self) -> Duration {
        let told = match self.told_call_timeout_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        };
        self.call_timeout.or(told).unwrap_or(CALL_TIMEOUT)
    }

    fn only_answers(&self) -> bool {
        self.told_only_answers.load(Ordering::Relaxed)
    }
}
