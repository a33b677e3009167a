//! `docker`: the peer is a container, started by the runtime, once per connection.

use std::sync::Arc;

use async_trait::async_trait;
use omcp_core::{RuntimeConfig, RuntimeRegistry};
use omcp_runtimes::conformance::{BadSettings, Fault, Peer, Subject};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::harness::engine::Engine;
use crate::harness::process;

const IMAGE: &str = "localhost/omcp-kit-peer:1";

/// All checks share one engine, which starts with the first.
#[derive(Default)]
pub struct Docker {
    engine: OnceCell<Arc<Engine>>,
}

#[async_trait]
impl Subject for Docker {
    fn type_name(&self) -> &str {
        "docker"
    }

    fn registry(&self) -> RuntimeRegistry {
        omcp_runtimes::builtin()
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        let mount = json!([{ "type": "bind", "source": "data", "target": "/data" }]);
        vec![
            BadSettings::new(json!({}), ""),
            BadSettings::new(json!({ "image": "two words" }), "image"),
            BadSettings::new(json!({ "image": "i", "engine": "http://h:1" }), "engine"),
            BadSettings::new(json!({ "image": "i", "network": "container:other" }), "network"),
            BadSettings::new(json!({ "image": "i", "mounts": mount }), "mounts[0].source"),
            BadSettings::new(json!({ "image": "i", "memory_mib": 1 }), "memory_mib"),
        ]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        let engine = self.engine.get_or_try_init(|| spawn_blocking(|| Arc::new(prepare()))).await?;
        Ok(Box::new(Started { engine: Arc::clone(engine) }))
    }
}

fn prepare() -> Engine {
    let engine = Engine::start();
    engine.build(IMAGE, &process::program("static/omcp-kit-peer"), &["--stdio"]);
    engine
}

struct Started {
    engine: Arc<Engine>,
}

#[async_trait]
impl Peer for Started {
    fn config(&self) -> RuntimeConfig {
        let settings = json!({ "image": IMAGE, "engine": self.engine.address(), "pull_policy": "never" });
        RuntimeConfig::new("docker", settings.to_string())
    }

    async fn kill(&mut self, _: Option<u32>) -> Result<(), Fault> {
        let engine = Arc::clone(&self.engine);
        Ok(spawn_blocking(move || drop(engine.run(&["kill", "--all"]))).await?)
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
