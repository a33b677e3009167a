//! The gateway between the scripted client and the server of the suite.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::manifest::{http, manifest};
use crate::harness::omcp;

/// For the node to serve a backend, or to end it.
const ROLLOUT_LIMIT: &str = "20s";

/// A control plane and a node, by their URLs.
pub struct Gateway {
    pub control_plane: String,
    pub node: String,
}

impl Gateway {
    /// Puts a server of a certain era behind the gateway, or of one that the gateway finds out: `auto`. Where it
    /// is served.
    ///
    /// # Errors
    /// It is not served in time.
    pub fn register(&self, id: &str, url: &str, era: &str) -> Result<String> {
        let mut backend = http(id, url);
        backend["era"] = json!(era);
        self.omcp(&["apply", "-f", "-"], &manifest(&[backend]))?;
        Ok(format!("{}/mcp/{id}", self.node))
    }

    /// Takes it away again.
    ///
    /// # Errors
    /// The node goes on serving it.
    pub fn delete(&self, id: &str) -> Result<()> {
        self.omcp(&["delete", id, "--ignore-missing", "--yes"], "")
    }

    fn omcp(&self, arguments: &[&str], input: &str) -> Result<()> {
        let arguments = [arguments, &["--wait", "--wait-timeout", ROLLOUT_LIMIT]].concat();
        let ended = omcp::run(&self.control_plane, &arguments, input);
        ensure!(ended.code == 0, "omcp {} ended with {}:\n{}", arguments.join(" "), ended.code, ended.text());
        Ok(())
    }
}
