//! The yardstick for HTTP: a reverse proxy of hyper and nothing else.
//!
//! One hyper server, a pool of hyper client connections, bodies streamed both ways, no header looked at.

mod pool;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use self::pool::{Pool, Streamed};
use crate::listener;

/// Serves until the process is killed.
///
/// # Errors
/// If the address is taken.
#[tokio::main]
pub async fn run(at: SocketAddr, to: SocketAddr) -> Result<()> {
    let listener = listener::listen(at).await?;
    let pool = Arc::new(Pool::new(to));
    loop {
        let stream = listener::accept(&listener).await;
        tokio::spawn(serve(stream, pool.clone()));
    }
}

async fn serve(stream: TcpStream, pool: Arc<Pool>) {
    let service = service_fn(|request| forward(request, &pool));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        eprintln!("connection: {error}");
    }
}

async fn forward(request: Request<Incoming>, pool: &Arc<Pool>) -> Result<Response<Streamed>> {
    let mut connection = pool.take().await?;
    let response = connection.send_request(request).await?;
    Ok(response.map(|body| Streamed::new(body, connection, pool.clone())))
}
