//! [`main`]: a plugin's whole program.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use omcp_core::RuntimeRegistry;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::{Listener, Server};
use crate::supervisor;

/// Where a node that starts a plugin tells it the path of the Unix socket to listen on.
pub const SOCKET_VARIABLE: &str = "OMCP_PLUGIN_SOCKET";
/// How long open streams may take to end once the program is told to.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// Serves `registry` as the plugin `name` until the program is told to end.
///
/// It listens where the node says that started it; started by somebody else, at the address that is its
/// one argument: `unix:/path` or `HOST:PORT`.
pub fn main(name: &str, version: &str, registry: RuntimeRegistry) -> ExitCode {
    supervisor::enter();
    let server = Server::new(name, version, registry);
    let served = tokio::runtime::Builder::new_multi_thread().enable_all().build().and_then(|runtime| {
        let served = runtime.block_on(run(server));
        // A thread that waits for standard input cannot be joined.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(server: Server) -> io::Result<()> {
    let (listener, by_node) = match std::env::var_os(SOCKET_VARIABLE) {
        Some(path) => (Listener::bind_unix(Path::new(&path)).await?, true),
        None => (Listener::bind(&address()?).await?, false),
    };
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = server.run(listener, async { drop(stopped.await) });
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => return ended,
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = node_gone(), if by_node => {}
    }
    drop(stopping);
    timeout(DRAIN_WAIT, served).await.unwrap_or(Ok(()))
}

fn address() -> io::Result<String> {
    std::env::args().nth(1).ok_or_else(|| {
        let text = format!("say where to listen (unix:/path or HOST:PORT), or set {SOCKET_VARIABLE}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// The node holds the other end of standard input for as long as it lives.
async fn node_gone() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while let Ok(1..) = input.read(&mut buffer).await {}
}
