//! `local-process`: the peer is started by the runtime, once per connection.

use async_trait::async_trait;
use omcp_core::{RuntimeConfig, RuntimeRegistry};
use omcp_runtimes::conformance::{BadSettings, Fault, Peer, Subject};
use serde_json::json;

use super::program;

pub struct LocalProcess;

#[async_trait]
impl Subject for LocalProcess {
    fn type_name(&self) -> &str {
        "local-process"
    }

    fn registry(&self) -> RuntimeRegistry {
        omcp_runtimes::builtin()
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        vec![
            BadSettings::new(json!({}), "command"),
            BadSettings::new(json!({ "command": "no-such-program" }), "command"),
            BadSettings::new(json!({ "command": "sh", "working_dir": "/no/such/folder" }), "working_dir"),
            BadSettings::new(json!({ "command": "sh", "call_timeout_ms": 0 }), "call_timeout_ms"),
        ]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        Ok(Box::new(Started))
    }
}

struct Started;

#[async_trait]
impl Peer for Started {
    fn config(&self) -> RuntimeConfig {
        let settings = json!({ "command": program::path(), "args": ["--stdio"] });
        RuntimeConfig::new("local-process", settings.to_string())
    }

    async fn kill(&mut self, pid: Option<u32>) -> Result<(), Fault> {
        program::kill(pid.ok_or("the connection has no process")?)
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
