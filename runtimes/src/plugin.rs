//! `plugin`: a runtime type in another process, in any language, over gRPC (`omcp/plugin/v1/plugin.proto`).
//!
//! Each connection is an HTTP/2 connection of its own: a slow one holds up no other, and what breaks
//! breaks alone. In reading order:
//!
//! - [`settings`]: what stands beside `type: plugin`
//! - [`place`]: where a plugin listens
//! - [`program`]: a plugin's program that the node starts itself, once for all connections
//! - [`description`]: what a plugin says of itself, and settings checked against it
//! - [`describe`](mod@describe): asking it
//! - [`provider`]: a plugin as its node sees it
//! - [`connection`]: one stream of messages
//! - [`runtime`]: from a backend's settings to its connections
//! - [`offered`]: a plugin's type as one of the node's own
//! - [`serve`]: the other end, for authors
//! - [`wire`]: what both ends make of each other's errors

pub mod connection;
pub mod describe;
pub mod description;
pub mod offered;
pub mod place;
pub mod program;
pub mod provider;
pub mod runtime;
pub mod serve;
pub mod settings;
pub mod wire;

use std::path::Path;
use std::sync::Arc;

use omcp_core::{GatewayError, Runtime, RuntimeContext, RuntimeType};

use self::place::Place;
use self::program::Program;
use self::runtime::PluginRuntime;
use self::settings::PluginSettings;
use crate::process::{ProcessSpec, StopGrace};

pub use self::offered::OfferedType;
pub use self::provider::{Provider, Source};
pub use self::serve::{Listener, SOCKET_VARIABLE, Server, main, serve};

/// The type `plugin`.
#[derive(Debug)]
pub struct Plugin;

impl RuntimeType for Plugin {
    const NAME: &'static str = "plugin";
    type Settings = PluginSettings;

    fn create(
        &self,
        settings: PluginSettings,
        context: RuntimeContext,
    ) -> Result<Box<dyn Runtime>, GatewayError> {
        let provider = Arc::new(Provider::new(source(&settings, &context)?, settings.limits()));
        let wanted = settings.runtime.clone();
        let own = serde_json::Value::Object(settings.settings.clone());
        let runtime = PluginRuntime::new(provider, wanted, own, context).below("settings.");
        Ok(Box::new(runtime.with_call_timeout(settings.call_timeout_ms.map(|ms| ms.duration()))))
    }
}

fn source(settings: &PluginSettings, context: &RuntimeContext) -> Result<Source, GatewayError> {
    match (&settings.endpoint, &settings.command) {
        (Some(endpoint), None) => {
            let place: Place = endpoint
                .parse()
                .map_err(|reason: String| GatewayError::invalid_settings(format!("endpoint: {reason}")))?;
            Ok(Source::Listening(place))
        }
        (None, Some(command)) => Ok(Source::Program(Box::new(program(command, settings, context)?))),
        (Some(_), Some(_)) => Err(GatewayError::invalid_settings(
            "endpoint: leave it out where command is given: the node tells the program where to listen",
        )),
        (None, None) => Err(GatewayError::invalid_settings(
            "endpoint: say where the plugin listens, or which command starts it",
        )),
    }
}

fn program(
    command: &str,
    settings: &PluginSettings,
    context: &RuntimeContext,
) -> Result<Program, GatewayError> {
    let working_dir = settings.working_dir.as_deref();
    if let Some(dir) = working_dir.filter(|dir| !dir.is_dir()) {
        let text = format!("working_dir: {} is no directory on this node", dir.display());
        return Err(GatewayError::invalid_settings(text));
    }
    let path = crate::program::search_path(&context.env);
    let spec = ProcessSpec {
        program: crate::program::find(command, working_dir.unwrap_or(Path::new(".")), &path)?,
        args: settings.args.clone(),
        env: context.env.clone(),
        working_dir: settings.working_dir.clone(),
        private_dir: None,
    };
    let grace = StopGrace {
        stdin_closed: settings.stop_timeout_ms.duration(),
        terminated: settings.kill_timeout_ms.duration(),
    };
    Ok(Program::new(spec, grace, Arc::clone(&context.stderr)))
}

#[cfg(test)]
mod tests;
