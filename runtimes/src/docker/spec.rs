//! [`spec`]: settings as the API of an engine wants them.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount as ApiMount, MountTmpfsOptions, MountType,
};
use omcp_core::RuntimeContext;

use super::orphans::{LABEL_BACKEND, LABEL_BOOT_ID, LABEL_NODE, LABEL_NODE_ID};
use super::settings::{DockerSettings, Mount};

const MIB: i64 = 1024 * 1024;
const NANO: f64 = 1e9;
/// Anybody may write, as in every temporary directory.
const TMPFS_MODE: i64 = 0o1777;

/// What a container of this backend is made of. Holds the backend's environment: never logged.
pub fn spec(settings: &DockerSettings, context: &RuntimeContext) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(settings.image.clone()),
        entrypoint: settings.command.clone().map(|command| vec![command]),
        cmd: Some(settings.args.clone()).filter(|args| !args.is_empty()),
        working_dir: settings.working_dir.clone(),
        user: settings.user.clone(),
        env: Some(environment(&context.env)),
        labels: Some(labels(context)),
        open_stdin: Some(true),
        // When the node dies, the input ends; a server of MCP ends with its input.
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        host_config: Some(host(settings)),
        ..ContainerCreateBody::default()
    }
}

fn host(settings: &DockerSettings) -> HostConfig {
    let memory = i64::from(settings.memory_mib) * MIB;
    // Safe: settings.check bounds it to what fits.
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the settings")]
    let nano_cpus = (settings.cpus * NANO) as i64;
    HostConfig {
        network_mode: Some(settings.network.clone()),
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(nano_cpus),
        pids_limit: Some(i64::from(settings.pids_max)),
        readonly_rootfs: Some(settings.read_only_root),
        cap_drop: Some(settings.cap_drop.clone()),
        cap_add: Some(settings.cap_add.clone()),
        security_opt: settings.no_new_privileges.then(|| vec!["no-new-privileges".to_owned()]),
        mounts: Some(settings.mounts.iter().map(mount).collect()),
        // What the container says is read here; the engine would keep all of it in a file.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..HostConfig::default()
    }
}

fn mount(mount: &Mount) -> ApiMount {
    match mount {
        Mount::Bind { source, target, read_only } => ApiMount {
            typ: Some(MountType::BIND),
            source: Some(source.clone()),
            target: Some(target.clone()),
            read_only: Some(*read_only),
            ..ApiMount::default()
        },
        Mount::Tmpfs { target, size_mib } => ApiMount {
            typ: Some(MountType::TMPFS),
            target: Some(target.clone()),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: Some(i64::from(*size_mib) * MIB),
                mode: Some(TMPFS_MODE),
                options: None,
            }),
            ..ApiMount::default()
        },
    }
}

fn environment(env: &BTreeMap<String, String>) -> Vec<String> {
    env.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn labels(context: &RuntimeContext) -> HashMap<String, String> {
    let node = &context.node;
    let labels = [
        (LABEL_NODE, &*node.name),
        (LABEL_NODE_ID, &*node.id),
        (LABEL_BOOT_ID, &*node.boot_id),
        (LABEL_BACKEND, context.backend.as_str()),
    ];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
