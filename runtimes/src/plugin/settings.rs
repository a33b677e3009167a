//! [`PluginSettings`]: what stands beside `type: plugin`; [`Limits`]: how long a node waits for a plugin.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::settings::{MessageLen, Millis};

/// How long a plugin may take to end a connection: as long as process runtimes take in the worst case.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// A runtime in another process, in any language, spoken to over gRPC.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginSettings {
    /// Where the plugin listens: `unix:/path` or `http://host:port`. Nothing is encrypted, and settings
    /// travel with their references resolved, so use TCP on one machine or in a trusted network only.
    /// Either this or `command`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4096))]
    pub endpoint: Option<String>,
    /// The plugin's program, started by the node without a shell, once for this backend, and started
    /// again when it has ended. It listens on the Unix socket whose path is in OMCP_PLUGIN_SOCKET.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4096))]
    pub command: Option<String>,
    /// Arguments of `command`, one item each. May hold references.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub args: Vec<String>,
    /// Directory that `command` is started in; has to exist on every node. Default: the node's own.
    #[serde(default)]
    pub working_dir: Option<PathBuf>,
    /// Which runtime type of the plugin. Default: its only one.
    #[serde(default)]
    #[schemars(length(min = 1, max = 128))]
    pub runtime: Option<String>,
    /// The settings of that runtime type, checked against the schema that the plugin describes.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Time for `command` to listen on its socket, milliseconds. Default 15000.
    #[serde(default)]
    pub start_timeout_ms: Millis<15_000>,
    /// Time to connect to the plugin, milliseconds. Default 5000.
    #[serde(default)]
    pub connect_timeout_ms: Millis<5_000>,
    /// Time for the plugin to describe itself, milliseconds. Default 5000.
    #[serde(default)]
    pub describe_timeout_ms: Millis<5_000>,
    /// Time for the plugin to reach the backend, milliseconds. Default 30000.
    #[serde(default)]
    pub open_timeout_ms: Millis<30_000>,
    /// Time for one call, milliseconds. Default: what the plugin says, else 300000.
    #[serde(default)]
    pub call_timeout_ms: Option<Millis>,
    /// Time the plugin may leave messages unread once 1 MiB is queued, milliseconds. Default 30000.
    #[serde(default)]
    pub write_timeout_ms: Millis<30_000>,
    /// Time for `command` to end by itself once its input is closed, milliseconds; then it gets SIGTERM.
    /// Default 2000.
    #[serde(default)]
    pub stop_timeout_ms: Millis<2_000>,
    /// Time to end after SIGTERM, milliseconds; then it gets SIGKILL. Default 3000.
    #[serde(default)]
    pub kill_timeout_ms: Millis<3_000>,
    /// Longest message the plugin may send, bytes. Default 16777216 (16 MiB).
    #[serde(default)]
    pub message_len_max: MessageLen,
}

/// How long a node waits for a plugin, and how much it takes of it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub start: Duration,
    pub connect: Duration,
    pub describe: Duration,
    pub open: Duration,
    pub write: Duration,
    pub close: Duration,
    pub message_len_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            start: ms(15_000),
            connect: ms(5_000),
            describe: ms(5_000),
            open: ms(30_000),
            write: ms(30_000),
            close: CLOSE_WAIT,
            message_len_max: MessageLen::default().bytes(),
        }
    }
}

impl PluginSettings {
    pub fn limits(&self) -> Limits {
        Limits {
            start: self.start_timeout_ms.duration(),
            connect: self.connect_timeout_ms.duration(),
            describe: self.describe_timeout_ms.duration(),
            open: self.open_timeout_ms.duration(),
            write: self.write_timeout_ms.duration(),
            close: CLOSE_WAIT,
            message_len_max: self.message_len_max.bytes(),
        }
    }
}
