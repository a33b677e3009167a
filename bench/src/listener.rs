//! A listening socket whose address is printed, and the connections it accepts.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};

/// How long to wait when the process has run out of something.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Listens, and prints the address for whoever started this program.
///
/// # Errors
/// If the address is taken.
pub async fn listen(at: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(at).await.with_context(|| format!("listen on {at}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(listener)
}

/// The next connection, without Nagle's delay.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match try_accept(listener).await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(RETRY_AFTER).await,
        }
    }
}

async fn try_accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
