//! [`Args`]: what the program is started with; [`NodeConfig`]: what a node needs to know.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

use crate::backends::BackendLimits;
use crate::front::config::FrontConfig;
use crate::limits::LimitArgs;

/// Longest name of a node, bytes: what control planes take.
const NAME_LEN_MAX: usize = 128;

/// A node of Open MCP Gateway: receives backend definitions and proxies MCP traffic to them.
#[derive(Clone, Debug, Parser)]
#[command(version, about)]
pub struct Args {
    /// Name of this node, unique in the fleet [default: the host name]
    #[arg(long, env = "OMCP_NODE_NAME")]
    pub name: Option<String>,
    /// Control plane to take definitions from
    #[arg(long, env = "OMCP_CONTROL_PLANE", value_name = "URL", default_value = "http://127.0.0.1:4182")]
    pub control_plane: String,
    /// Address to serve MCP on
    #[arg(long, env = "OMCP_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:4180")]
    pub listen: SocketAddr,
    /// Address to serve health, metrics and logs on
    #[arg(long, env = "OMCP_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:4183")]
    pub admin_listen: SocketAddr,
    /// Where the last-good files are kept [default: omcp/nodes/NAME in the user's state directory]
    #[arg(long, env = "OMCP_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where the files of ${file:NAME} references are
    #[arg(long, env = "OMCP_SECRETS_DIR", value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Listen on addresses that other machines reach, without encryption or authentication
    #[arg(long, env = "OMCP_INSECURE_LISTEN")]
    pub insecure_listen: bool,
    /// URL by which clients and other nodes reach the MCP listener [default: its address]
    #[arg(long, env = "OMCP_ADVERTISE_URL", value_name = "URL")]
    pub advertise_url: Option<String>,
    /// Host name that requests may be addressed to, besides loopback names (repeatable)
    #[arg(long = "allow-host", env = "OMCP_ALLOW_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub allow_hosts: Vec<String>,
    /// Origin of web pages that may call, besides loopback ones (repeatable)
    #[arg(long = "allow-origin", env = "OMCP_ALLOW_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origins: Vec<String>,
    /// Runtime type of a plugin to offer, and where the plugin is: unix:/PATH, http://HOST:PORT, or the
    /// command that starts it, split at spaces (repeatable; in the variable, one a line)
    #[arg(long = "plugin", env = "OMCP_PLUGINS", value_name = "TYPE=PLACE", value_delimiter = '\n')]
    pub plugins: Vec<PluginConfig>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// A runtime type that another process brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfig {
    /// What stands after `type:`, and what the plugin calls it.
    pub name: String,
    /// Where the plugin is.
    pub place: String,
}

impl FromStr for PluginConfig {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, place) = text.split_once('=').ok_or("write TYPE=PLACE")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(plain) {
            return Err("before '=' stands the name of a runtime type: letters, digits, '-', '_' or '.'");
        }
        if place.trim().is_empty() {
            return Err("after '=' stands where the plugin is: unix:/PATH, http://HOST:PORT or a command");
        }
        Ok(Self { name: name.to_owned(), place: place.trim().to_owned() })
    }
}

/// What a node needs to know.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub name: String,
    /// `http://HOST:PORT`.
    pub control_plane: String,
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub state_dir: PathBuf,
    pub secrets_dir: Option<PathBuf>,
    /// Whether listeners may be reached from other machines.
    pub insecure_listen: bool,
    pub advertise_url: Option<String>,
    /// Runtime types that other processes bring.
    pub plugins: Vec<PluginConfig>,
    /// Between the news that the node is not ready and the end of its listener.
    pub shutdown_delay: Duration,
    /// Limits and trust of the MCP listener, its drain time-out included.
    pub front: FrontConfig,
    /// How much its backends may use.
    pub backends: BackendLimits,
}

impl From<Args> for NodeConfig {
    fn from(args: Args) -> Self {
        let name = args.name.unwrap_or_else(host_name);
        Self {
            state_dir: args.state_dir.unwrap_or_else(|| default_state_dir(&name)),
            name,
            control_plane: args.control_plane,
            listen: args.listen,
            admin_listen: args.admin_listen,
            secrets_dir: args.secrets_dir,
            insecure_listen: args.insecure_listen,
            advertise_url: args.advertise_url,
            plugins: args.plugins,
            shutdown_delay: Duration::from_millis(args.limits.shutdown_delay_ms),
            front: FrontConfig {
                allowed_hosts: args.allow_hosts,
                allowed_origins: args.allow_origins,
                ..args.limits.front()
            },
            backends: args.limits.backends(),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error(
        "{flag} {address} is reached from other machines, and nothing there is encrypted or authenticated: use a loopback address, or add --insecure-listen if the network in front of it is trusted"
    )]
    Exposed { flag: &'static str, address: SocketAddr },
    #[error("--control-plane {0:?} is not an http:// URL with a host")]
    ControlPlane(String),
    #[error("--name {0:?} is not a node name: use 1 to {NAME_LEN_MAX} letters, digits, '-', '_' or '.'")]
    Name(String),
}

impl NodeConfig {
    /// # Errors
    /// The first setting that cannot be used.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        for (flag, address) in [("--listen", self.listen), ("--admin-listen", self.admin_listen)] {
            if !address.ip().is_loopback() && !self.insecure_listen {
                return Err(InvalidConfig::Exposed { flag, address });
            }
        }
        let url = self.control_plane.parse::<http::Uri>().ok();
        if !url.is_some_and(|url| url.scheme_str() == Some("http") && url.host().is_some()) {
            return Err(InvalidConfig::ControlPlane(self.control_plane.clone()));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let named = (1..=NAME_LEN_MAX).contains(&self.name.len()) && self.name.bytes().all(plain);
        if named { Ok(()) } else { Err(InvalidConfig::Name(self.name.clone())) }
    }

    /// The URL that the fleet is told, of the listener bound to `address`.
    pub fn mcp_url(&self, address: SocketAddr) -> String {
        self.advertise_url.clone().unwrap_or_else(|| url(address))
    }
}

/// The URL of a listener; one on all addresses is named by its host.
pub fn url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("http://{}:{}", host_name(), address.port());
    }
    format!("http://{address}")
}

fn host_name() -> String {
    let file = |path| std::fs::read_to_string(path).ok();
    let found = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| file("/proc/sys/kernel/hostname"))
        .or_else(|| file("/etc/hostname"));
    found
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "node".to_owned())
}

fn default_state_dir(name: &str) -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let base = state.or_else(home).unwrap_or_else(|| PathBuf::from("."));
    // A name may hold any visible character; a directory may not.
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    base.join("omcp/nodes").join(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> NodeConfig {
        Args::parse_from([&["node", "--name", "n"], args].concat()).into()
    }

    #[test]
    fn plugins_are_a_type_and_a_place() {
        let found = config(&["--plugin", "a=unix:/a", "--plugin", "b=python b.py --x=1"]).plugins;
        let told: Vec<_> = found.iter().map(|plugin| (plugin.name.as_str(), plugin.place.as_str())).collect();
        assert_eq!(told, [("a", "unix:/a"), ("b", "python b.py --x=1")]);
        for bad in ["a", "=x", "a=", "a b=x"] {
            assert!(bad.parse::<PluginConfig>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_without_a_word_of_consent() {
        assert_eq!(config(&[]).check(), Ok(()));
        assert_eq!(config(&["--listen", "[::1]:0"]).check(), Ok(()));
        for flag in ["--listen", "--admin-listen"] {
            let error = config(&[flag, "0.0.0.0:1"]).check().unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains("--insecure-listen"), "{error}");
            assert_eq!(config(&[flag, "0.0.0.0:1", "--insecure-listen"]).check(), Ok(()));
        }
    }

    #[test]
    fn a_control_plane_is_a_plain_url() {
        for bad in ["127.0.0.1:4182", "https://a:1", "http://", ""] {
            let error = config(&["--control-plane", bad]).check().unwrap_err();
            assert_eq!(error, InvalidConfig::ControlPlane(bad.to_owned()));
        }
    }

    #[test]
    fn a_name_is_one_that_control_planes_take() {
        let checked = |name: &str| NodeConfig { name: name.to_owned(), ..config(&[]) }.check();
        assert_eq!(checked("Node_1.example-host"), Ok(()));
        assert_eq!(checked(&"n".repeat(NAME_LEN_MAX)), Ok(()));
        for bad in ["a b", "a/b", "ä", "", &"n".repeat(NAME_LEN_MAX + 1)] {
            assert_eq!(checked(bad), Err(InvalidConfig::Name(bad.to_owned())));
        }
    }

    #[test]
    fn a_state_directory_is_one_directory() {
        let directory = default_state_dir("../../a b");
        assert!(directory.ends_with("omcp/nodes/______a_b"), "{directory:?}");
    }
}

#[cfg(test)]
mod limit_tests {
    use clap::Parser;

    use super::*;
    use crate::limits::{Limit, table};

    fn limits(args: &[&str]) -> Vec<Limit> {
        let config: NodeConfig = Args::try_parse_from([&["node"], args].concat()).unwrap().into();
        table(&config.front, config.backends, config.shutdown_delay)
    }

    #[test]
    fn the_options_and_the_reasons_have_the_same_defaults() {
        for limit in limits(&[]).iter().filter(|limit| limit.name != "memory") {
            assert_eq!(limit.value, limit.default, "{}", limit.name);
        }
    }

    #[test]
    fn every_option_of_the_table_changes_its_value() {
        for limit in limits(&[]).iter().filter(|limit| !limit.option.is_empty()) {
            let changed = limits(&[limit.option, "7"]);
            let now = changed.iter().find(|other| other.name == limit.name).unwrap();
            assert_ne!(now.value, limit.value, "{}", limit.option);
        }
    }
}
