//! `tcp`, over TCP with a token and over a Unix socket: the peer listens.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use omcp_core::{RuntimeConfig, RuntimeRegistry};
use omcp_runtimes::conformance::{BadSettings, Fault, Peer, Subject};
use serde_json::{Value, json};

use super::program::Listening;

const TOKEN: &str = "kit-token";

/// Which kind of socket.
#[derive(Clone, Copy)]
pub enum Tcp {
    /// TCP, with the token handshake.
    Token,
    Unix,
}

#[async_trait]
impl Subject for Tcp {
    fn type_name(&self) -> &str {
        "tcp"
    }

    fn label(&self) -> String {
        match self {
            Self::Token => "tcp".to_owned(),
            Self::Unix => "tcp (Unix socket)".to_owned(),
        }
    }

    fn registry(&self) -> RuntimeRegistry {
        omcp_runtimes::builtin()
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        vec![
            BadSettings::new(json!({}), "endpoint"),
            BadSettings::new(json!({ "endpoint": "host-without-port" }), "endpoint"),
            BadSettings::new(json!({ "endpoint": "unix:relative" }), "endpoint"),
            BadSettings::new(json!({ "endpoint": "unix:/s", "tls": true }), "tls"),
            BadSettings::new(
                json!({ "endpoint": "h:1", "tls": { "ca_file": "/no/such/file" } }),
                "tls.ca_file",
            ),
            BadSettings::new(
                json!({ "endpoint": "h:1", "keep_alive_timeout_ms": 1 }),
                "keep_alive_timeout_ms",
            ),
        ]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        let peer = match self {
            Self::Token => Listening::start(&["--tcp", "127.0.0.1:0", "--token", TOKEN]).await?,
            Self::Unix => Listening::start(&["--unix", &socket_path()]).await?,
        };
        let token = matches!(self, Self::Token).then_some(TOKEN);
        let settings = json!({ "endpoint": peer.address(), "auth_token": token });
        Ok(Box::new(Started { peer, settings }))
    }
}

/// A path of its own for every peer.
fn socket_path() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("omcp-kit-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name).display().to_string()
}

struct Started {
    peer: Listening,
    settings: Value,
}

#[async_trait]
impl Peer for Started {
    fn config(&self) -> RuntimeConfig {
        RuntimeConfig::new("tcp", self.settings.to_string())
    }

    async fn kill(&mut self, _: Option<u32>) -> Result<(), Fault> {
        self.peer.kill().await
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.peer.restart().await
    }

    async fn stop(&mut self) -> Result<(), Fault> {
        self.peer.kill().await?;
        if let Some(path) = self.peer.address().strip_prefix("unix:") {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}
