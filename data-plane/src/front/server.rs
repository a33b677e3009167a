//! The accept loop: connections in, answers out, a drained end.

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Front;
use super::config::FrontConfig;
use super::connection::Protocols;
use super::entrance::Entrance;
use super::guard::Trust;
use crate::acceptor::Acceptor;
use crate::backends::Table;
use crate::clients::Clients;
use crate::members::Members;

/// Serves MCP on `listener` until `shutdown` turns true; then lets requests finish for
/// `config.drain_timeout` and ends all sessions.
///
/// # Errors
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    table: Arc<Table>,
    config: FrontConfig,
    members: Arc<Members>,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let trust = Arc::new(Trust::new(&config, listener.local_addr()?));
    let front = Arc::new(Front::new(table, config, trust, members));
    // Dropped at the end, which cuts what is still open.
    let mut connections = JoinSet::new();
    let mut acceptor = Acceptor::new("MCP", listener);
    tokio::select! {
        () = accept(&mut acceptor, &front, &mut connections) => {}
        () = front.sessions.sweep() => {}
        () = front.overload.watch() => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    drop(acceptor);
    drain(&front, &mut connections).await;
    Ok(())
}

/// Streams that never end by themselves are ended at once, calls may finish.
async fn drain(front: &Front, connections: &mut JoinSet<()>) {
    front.stopping.send_replace(true);
    front.sse_clients.end_when_quiet();
    let over = async { while connections.join_next().await.is_some() {} };
    let drained = tokio::time::timeout(front.config.drain_timeout, over).await;
    if drained.is_err() {
        tracing::info!("streams were still open at the end of the drain time and are cut");
    }
    front.sessions.close_all().await;
}

async fn accept(acceptor: &mut Acceptor, front: &Arc<Front>, connections: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(front.config.connections_max));
    let clients = Clients::new(front.config.clients);
    let protocols = Arc::new(Protocols::new(&front.config));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let (stream, address) = acceptor.accept().await;
        while connections.try_join_next().is_some() {}
        if front.overload.refuses_connections() {
            tracing::debug!(%address, "a connection is refused: memory runs out");
            continue;
        }
        let Some((client, held)) = clients.connect(address.ip()) else {
            tracing::debug!(%address, "a connection is refused: its address has as many as it may");
            continue;
        };
        let door = Entrance::new(front.clone(), client, held);
        connections.spawn(protocols.clone().serve(stream, door, front.stopping.subscribe(), permit));
    }
}
