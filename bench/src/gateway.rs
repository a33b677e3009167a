//! The programs of the gateway, and backends for them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use omcp_proto::v1::manifest_service_client::ManifestServiceClient;
use omcp_proto::v1::{ApplyManifestRequest, BackendSpec, Manifest, ManifestBackend};
use tonic::transport::Endpoint;

use crate::program::Program;

/// Backends applied at once: the most the control plane takes.
const PAGE: usize = 1000;

/// Where the programs are, and where they keep their files.
#[derive(Clone, Debug)]
pub struct Gateway {
    bin_dir: PathBuf,
    work_dir: PathBuf,
}

impl Gateway {
    /// Programs of one directory, files in another.
    pub fn new(bin_dir: &Path, work_dir: &Path) -> Self {
        Self { bin_dir: bin_dir.to_owned(), work_dir: work_dir.to_owned() }
    }

    /// Starts a control plane with an empty store.
    ///
    /// # Errors
    /// If it does not start.
    pub fn control_plane(&self, name: &str, core: usize) -> Result<Program> {
        let mut command = Command::new(self.bin_dir.join("omcp-control-plane"));
        command.arg("--db").arg(self.work_dir.join(name).with_extension("db"));
        command.args(["--admin-listen", "127.0.0.1:0", "--sync-listen", "127.0.0.1:0"]);
        Program::start(command, core, &["admin", "sync"])
    }

    /// Starts a node that knows nothing yet.
    ///
    /// # Errors
    /// If it does not start.
    pub fn node(&self, name: &str, control_plane: &Program, core: usize) -> Result<Program> {
        let mut command = Command::new(self.bin_dir.join("omcp-data-plane"));
        command.args([
            "--name",
            name,
            "--control-plane",
            &format!("http://{}", control_plane.address("sync")?),
        ]);
        command.arg("--state-dir").arg(self.work_dir.join(name));
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        Program::start(command, core, &["mcp", "admin"])
    }
}

/// An HTTP server as a backend.
pub fn http_backend(name: &str, address: SocketAddr, header: &str) -> ManifestBackend {
    let settings =
        serde_json::json!({"url": format!("http://{address}/mcp"), "headers": {"x-bench": header}});
    backend(name, "remote-http", &settings)
}

/// A command as a backend.
pub fn process_backend(name: &str, command: &Path, args: &[&str]) -> ManifestBackend {
    backend(name, "local-process", &serde_json::json!({"command": command, "args": args}))
}

fn backend(name: &str, runtime_type: &str, settings: &serde_json::Value) -> ManifestBackend {
    let spec = BackendSpec {
        runtime_type: runtime_type.to_owned(),
        settings_json: settings.to_string(),
        ..BackendSpec::default()
    };
    ManifestBackend { name: name.to_owned(), spec: Some(spec) }
}

/// Stores backends, as many at once as the control plane takes.
///
/// # Errors
/// If it refuses.
pub async fn apply(control_plane: SocketAddr, backends: &[ManifestBackend]) -> Result<()> {
    let channel = Endpoint::from_shared(format!("http://{control_plane}"))?.connect().await?;
    let mut client = ManifestServiceClient::new(channel);
    for page in backends.chunks(PAGE) {
        let manifest = Some(Manifest { backends: page.to_vec() });
        let request = ApplyManifestRequest { manifest, ..ApplyManifestRequest::default() };
        client.apply_manifest(request).await.context("apply backends")?;
    }
    Ok(())
}
