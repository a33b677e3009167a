//! A real node that starts with nothing and receives everything.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{TEST_CORE, backend_name};
use crate::gateway::Gateway;
use crate::load::connection::Connection;
use crate::load::request::{Request, check};
use crate::load::{Era, Target, Tool};
use crate::process;
use crate::program::Program;

/// How long a node may take until it serves.
const SERVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a cold start took.
#[derive(Clone, Copy, Debug)]
pub struct Cold {
    /// From starting the program until it says that it is ready.
    pub ready: Duration,
    /// From starting the program until a call to the last backend is answered.
    pub served: Duration,
    /// Resident memory of the control plane afterwards.
    pub control_plane_bytes: u64,
    /// Resident memory of the node afterwards.
    pub node_bytes: u64,
}

/// Starts a node and waits until it serves; both programs share the core under test.
///
/// # Errors
/// If it does not.
#[tokio::main(flavor = "current_thread")]
pub async fn measure(
    gateway: &Gateway,
    name: &str,
    control_plane: &Program,
    backends: usize,
) -> Result<Cold> {
    let began = Instant::now();
    let node = gateway.node(name, control_plane, TEST_CORE)?;
    let ready = tokio::time::timeout(SERVE_TIMEOUT, until_ready(node.address("admin")?));
    ready.await.context("the node does not become ready")?;
    let ready = began.elapsed();
    call_last(node.address("mcp")?, backends).await.with_context(|| node.last_words())?;
    let served = began.elapsed();
    Ok(Cold {
        ready,
        served,
        control_plane_bytes: process::resident_bytes(control_plane.pid())?,
        node_bytes: process::resident_bytes(node.pid())?,
    })
}

async fn until_ready(admin: SocketAddr) {
    while !is_ready(admin).await.unwrap_or(false) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn is_ready(admin: SocketAddr) -> Result<bool> {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    Ok(Connection::open(admin).await?.exchange(request.as_bytes()).await?.status == 200)
}

async fn call_last(mcp: SocketAddr, backends: usize) -> Result<()> {
    let Some(last) = backends.checked_sub(1) else { bail!("there are no backends to call") };
    let path = format!("/mcp/{}", backend_name(last));
    let target =
        Target { to: mcp, path, era: Era::Modern, tool: Tool::Echo, share_session: false, awake: false };
    let mut request = Request::modern(&target);
    let id = request.next_id();
    let mut connection = Connection::open(mcp).await?;
    check(connection.exchange(request.bytes()).await?, &id, Tool::Echo)
}
