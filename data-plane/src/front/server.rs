//! The accept loop: connections in, answers out, a drained end.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Front;
use super::body::Body;
use super::config::FrontConfig;
use super::guard::{Guard, Trust};
use crate::backends::Table;

/// After an accept error such as "too many open files": spinning would make it worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves MCP on `listener` until `shutdown` turns true; then lets requests finish for
/// `config.drain_timeout` and ends all sessions.
///
/// # Errors
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    table: Arc<Table>,
    config: FrontConfig,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let trust = Arc::new(Trust::new(&config, listener.local_addr()?));
    let front = Arc::new(Front::new(table, config, trust.clone()));
    let service = Arc::new(Guard { trust, inner: Answer(front.clone()) });
    let graceful = GracefulShutdown::new();
    // Dropped at the end, which cuts what is still open.
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &front, service, &graceful, &mut connections) => {}
        () = front.sessions.sweep() => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    drop(listener);
    drain(&front, graceful).await;
    Ok(())
}

/// Streams that never end by themselves are ended at once, calls may finish.
async fn drain(front: &Front, graceful: GracefulShutdown) {
    front.sessions.end_streams();
    front.sse_clients.close_all();
    front.stopping.send_replace(true);
    let drained = tokio::time::timeout(front.config.drain_timeout, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::info!("streams were still open at the end of the drain time and are cut");
    }
    front.sessions.close_all().await;
}

async fn accept(
    listener: &TcpListener,
    front: &Front,
    service: Door,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let room = Arc::new(Semaphore::new(front.config.connections_max));
    let http = protocol(&front.config);
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(stream, &http, service.clone(), graceful);
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
}

fn connection(
    stream: TcpStream,
    http: &auto::Builder<TokioExecutor>,
    service: Door,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    drop(stream.set_nodelay(true));
    let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    async move {
        if let Err(error) = watched.await {
            tracing::trace!(%error, "a client connection ended early");
        }
    }
}

fn protocol(config: &FrontConfig) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.header_len_max.max(8 * 1024))
        .max_headers(config.headers_max);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(u32::try_from(config.header_len_max).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    http
}

/// What every connection talks to.
type Door = Arc<Guard<Answer>>;

/// [`Front::answer`] as a service.
struct Answer(Arc<Front>);

impl Service<Request<Incoming>> for Answer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let front = self.0.clone();
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}
