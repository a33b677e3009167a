//! `remote-http` and `remote-sse`: the peer listens.

use async_trait::async_trait;
use omcp_core::{RuntimeConfig, RuntimeRegistry};
use omcp_runtimes::conformance::{BadSettings, Death, Fault, Peer, Subject, Traits};
use serde_json::json;

use super::program::Listening;

/// Which of the two transports.
#[derive(Clone, Copy)]
pub enum Http {
    Streamable,
    Sse,
}

impl Http {
    fn path(self) -> &'static str {
        match self {
            Self::Streamable => "mcp",
            Self::Sse => "sse",
        }
    }
}

#[async_trait]
impl Subject for Http {
    fn type_name(&self) -> &str {
        match self {
            Self::Streamable => "remote-http",
            Self::Sse => "remote-sse",
        }
    }

    fn registry(&self) -> RuntimeRegistry {
        omcp_runtimes::builtin()
    }

    fn traits(&self) -> Traits {
        let mut traits = Traits::duplex();
        if let Self::Streamable = self {
            // Each request has a stream of its own, and dies alone.
            traits.death = Death::Calls;
        }
        traits
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        vec![
            BadSettings::new(json!({}), "url"),
            BadSettings::new(json!({ "url": "ftp://h/" }), "url"),
            BadSettings::new(json!({ "url": "http://h/", "headers": { "Host": "x" } }), "headers.Host"),
            BadSettings::new(json!({ "url": "http://h/", "call_timeout_ms": 0 }), "call_timeout_ms"),
        ]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        let peer = Listening::start(&["--http", "127.0.0.1:0"]).await?;
        let settings = json!({ "url": format!("http://{}/{}", peer.address(), self.path()) });
        Ok(Box::new(Started { peer, config: RuntimeConfig::new(self.type_name(), settings.to_string()) }))
    }
}

struct Started {
    peer: Listening,
    config: RuntimeConfig,
}

#[async_trait]
impl Peer for Started {
    fn config(&self) -> RuntimeConfig {
        self.config.clone()
    }

    async fn kill(&mut self, _: Option<u32>) -> Result<(), Fault> {
        self.peer.kill().await
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.peer.restart().await
    }

    async fn stop(&mut self) -> Result<(), Fault> {
        self.peer.kill().await
    }
}
