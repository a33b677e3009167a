//! What may stand beside `type: docker`.

use omcp_core::GatewayError;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::settings::{MessageLen, Millis};

/// The kernel's own bound for process ids.
const PIDS_MAX: u32 = 4_194_304;
/// Below this no engine starts a container, MiB.
const MEMORY_MIB_MIN: u32 = 6;
/// What no machine has, MiB.
const MEMORY_MIB_MAX: u32 = 16 * 1024 * 1024;
const CPUS_MIN: f64 = 0.01;
const CPUS_MAX: f64 = 1024.0;

/// A container that speaks MCP on its standard input and output.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerSettings {
    /// Image to run; without a tag or digest, the tag `latest`. A digest keeps it from changing unseen.
    #[schemars(length(min = 1, max = 4096))]
    pub image: String,
    /// Program inside the container, in place of the image's entrypoint.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4096))]
    pub command: Option<String>,
    /// Arguments, one item each, in place of the image's command. May hold references.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub args: Vec<String>,
    /// Directory inside the container to start in. Default: the image's.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// User inside the container: a name or number, optionally with a group (`1000:1000`). Default: the
    /// image's, which often is root.
    #[serde(default)]
    pub user: Option<String>,
    /// What the container sees besides its image.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub mounts: Vec<Mount>,
    /// `none` (reaches nothing), `bridge`, `host`, or the name of a network of the engine. Default `none`.
    #[serde(default = "network")]
    #[schemars(length(min = 1, max = 255))]
    pub network: String,
    /// Memory, MiB, swap included; a container that needs more is killed. Default 1024.
    #[serde(default = "memory_mib")]
    #[schemars(range(min = MEMORY_MIB_MIN, max = MEMORY_MIB_MAX))]
    pub memory_mib: u32,
    /// Processor time, in processors; fractions are fine. Default 1.
    #[serde(default = "cpus")]
    #[schemars(range(min = CPUS_MIN, max = CPUS_MAX))]
    pub cpus: f64,
    /// Processes and threads at one time. Default 256.
    #[serde(default = "pids_max")]
    #[schemars(range(min = 1, max = PIDS_MAX))]
    pub pids_max: u32,
    /// Whether the image cannot be written to; what has to be written needs a mount. Default true.
    #[serde(default = "yes")]
    pub read_only_root: bool,
    /// Whether set-user-id programs gain nothing. Default true.
    #[serde(default = "yes")]
    pub no_new_privileges: bool,
    /// Capabilities taken away. Default `[ALL]`.
    #[serde(default = "all")]
    #[schemars(length(max = 64))]
    pub cap_drop: Vec<String>,
    /// Capabilities given back, for example `NET_BIND_SERVICE`. Default none.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub cap_add: Vec<String>,
    /// When the engine asks the registry for the image: `never`, `missing` (it has none) or `always`
    /// (once for each definition a node builds). Default `missing`.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// The engine's API: `unix:/path` or `tcp://host:port`, the latter neither encrypted nor
    /// authenticated. Whoever may use it is root on the engine's machine. Default
    /// `unix:/var/run/docker.sock`.
    #[serde(default = "engine")]
    #[schemars(length(min = 1, max = 4096))]
    pub engine: String,
    /// Time to reach the engine and hear its version, milliseconds. Default 5000.
    #[serde(default)]
    pub connect_timeout_ms: Millis<5_000>,
    /// Time to pull the image, all attempts together, milliseconds. Default 600000.
    #[serde(default)]
    pub pull_timeout_ms: Millis<600_000>,
    /// Time for each step of the engine (create, attach, start, inspect, remove), milliseconds. Default 30000.
    #[serde(default)]
    pub engine_timeout_ms: Millis<30_000>,
    /// Time from the first message sent to the first message received, milliseconds. Default 60000.
    #[serde(default)]
    pub start_timeout_ms: Millis<60_000>,
    /// Time for one call, milliseconds. Default 300000.
    #[serde(default)]
    pub call_timeout_ms: Millis<300_000>,
    /// Time the container may leave its input unread once 1 MiB is queued, milliseconds. Default 30000.
    #[serde(default)]
    pub write_timeout_ms: Millis<30_000>,
    /// Time to end by itself once its input is closed, milliseconds; then it gets its stop signal. Default 2000.
    #[serde(default)]
    pub stop_timeout_ms: Millis<2_000>,
    /// Time to end after the stop signal, milliseconds, rounded up to seconds; then it is killed. Default 3000.
    #[serde(default)]
    pub kill_timeout_ms: Millis<3_000>,
    /// Longest line, that is message, the container may write, bytes. Default 16777216 (16 MiB).
    #[serde(default)]
    pub line_len_max: MessageLen,
}

/// One thing that a container sees besides its image.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Mount {
    /// A file or directory of the engine's machine.
    Bind {
        /// Absolute path on the engine's machine. Where there is nothing, Docker refuses and Podman makes an
        /// empty directory.
        source: String,
        /// Absolute path inside the container.
        target: String,
        /// Whether the container cannot change it. Default true.
        #[serde(default = "yes")]
        read_only: bool,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Absolute path inside the container.
        target: String,
        /// Its size, MiB; counts as memory of the container. Default 64.
        #[serde(default = "tmpfs_mib")]
        #[schemars(range(min = 1, max = MEMORY_MIB_MAX))]
        size_mib: u32,
    },
}

/// When the registry is asked for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    Never,
    #[default]
    Missing,
    Always,
}

fn network() -> String {
    "none".to_owned()
}

fn memory_mib() -> u32 {
    1024
}

fn cpus() -> f64 {
    1.0
}

fn pids_max() -> u32 {
    256
}

fn tmpfs_mib() -> u32 {
    64
}

fn yes() -> bool {
    true
}

fn all() -> Vec<String> {
    vec!["ALL".to_owned()]
}

fn engine() -> String {
    "unix:/var/run/docker.sock".to_owned()
}

impl DockerSettings {
    /// What the schema cannot say, or a node has to refuse although nobody checked the schema.
    ///
    /// # Errors
    /// `InvalidSettings`, naming the field.
    pub fn check(&self) -> Result<(), GatewayError> {
        check("image", is_word(&self.image), "is no image reference")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let named = !self.network.is_empty() && self.network.bytes().all(plain);
        check("network", named, "is neither none, bridge, host nor the name of a network")?;
        let memory = (MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&self.memory_mib);
        check("memory_mib", memory, &format!("has to be {MEMORY_MIB_MIN} to {MEMORY_MIB_MAX}"))?;
        let cpus = (CPUS_MIN..=CPUS_MAX).contains(&self.cpus);
        check("cpus", cpus, &format!("has to be {CPUS_MIN} to {CPUS_MAX}"))?;
        let pids = (1..=PIDS_MAX).contains(&self.pids_max);
        check("pids_max", pids, &format!("has to be 1 to {PIDS_MAX}"))?;
        check("working_dir", self.working_dir.as_deref().is_none_or(is_absolute), "is no absolute path")?;
        check("user", self.user.as_deref().is_none_or(is_word), "is no user")?;
        check("command", !self.command.iter().any(|word| word.contains('\0')), "holds a NUL byte")?;
        for (index, arg) in self.args.iter().enumerate() {
            check(&format!("args[{index}]"), !arg.contains('\0'), "holds a NUL byte")?;
        }
        self.mounts.iter().enumerate().try_for_each(|(index, mount)| mount.check(index))
    }
}

impl Mount {
    fn check(&self, index: usize) -> Result<(), GatewayError> {
        let (Self::Bind { target, .. } | Self::Tmpfs { target, .. }) = self;
        check(&format!("mounts[{index}].target"), is_absolute(target), "is no absolute path")?;
        match self {
            Self::Bind { source, .. } => {
                check(&format!("mounts[{index}].source"), is_absolute(source), "is no absolute path")
            }
            Self::Tmpfs { size_mib, .. } => {
                let fits = (1..=MEMORY_MIB_MAX).contains(size_mib);
                check(&format!("mounts[{index}].size_mib"), fits, &format!("has to be 1 to {MEMORY_MIB_MAX}"))
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0')
}

fn check(field: &str, holds: bool, reason: &str) -> Result<(), GatewayError> {
    if holds { Ok(()) } else { Err(GatewayError::invalid_settings(format!("{field}: {reason}"))) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(settings: Value) -> Result<(), String> {
        let mut all = json!({ "image": "i" });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let settings: DockerSettings = serde_json::from_value(all).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        let bind = |source: &str, target: &str| json!({ "type": "bind", "source": source, "target": target });
        for (settings, refusal) in [
            (json!({ "image": "" }), "image: is no image reference"),
            (json!({ "network": "container:x" }), "network: is neither none, bridge, host nor"),
            (json!({ "memory_mib": 5 }), "memory_mib: has to be 6 to"),
            (json!({ "cpus": 0 }), "cpus: has to be 0.01 to 1024"),
            (json!({ "pids_max": 0 }), "pids_max: has to be 1 to"),
            (json!({ "working_dir": "srv" }), "working_dir: is no absolute path"),
            (json!({ "user": "a b" }), "user: is no user"),
            (json!({ "command": "a\0" }), "command: holds a NUL byte"),
            (json!({ "args": ["a", "b\0"] }), "args[1]: holds a NUL byte"),
            (json!({ "mounts": [bind("/a", "b")] }), "mounts[0].target: is no absolute path"),
            (json!({ "mounts": [bind("/a", "/b"), bind("a", "/b")] }), "mounts[1].source: is no absolute"),
            (
                json!({ "mounts": [{ "type": "tmpfs", "target": "/t", "size_mib": 0 }] }),
                "mounts[0].size_mib: has",
            ),
            (json!({ "mounts": [{ "type": "volume", "target": "/t" }] }), "unknown variant `volume`"),
            (json!({ "privileged": true }), "unknown field `privileged`"),
        ] {
            let told = checked(settings.clone()).unwrap_err();
            assert!(told.starts_with(refusal), "{settings}: {told}");
        }
        assert_eq!(
            checked(json!({ "network": "host", "user": "0:0", "mounts": [bind("/a", "/b")] })),
            Ok(())
        );
    }
}
