//! The accept loop: connections in, answers out, a drained end.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::ready;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use omcp_mcp::refusal::Refusal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::arrived::Arrived;
use super::body::Body;
use super::config::FrontConfig;
use super::guard::Trust;
use super::stall::Stalling;
use super::{Front, reply};
use crate::acceptor::Acceptor;
use crate::alarm::Alarms;
use crate::backends::Table;
use crate::clients::{Client, Clients, Held, Holding};
use crate::members::hop::Hop;
use crate::members::{Members, hop};

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
    let graceful = GracefulShutdown::new();
    // Dropped at the end, which cuts what is still open.
    let mut connections = JoinSet::new();
    let mut acceptor = Acceptor::new("MCP", listener);
    tokio::select! {
        () = accept(&mut acceptor, &front, &graceful, &mut connections) => {}
        () = front.sessions.sweep() => {}
        () = front.overload.watch() => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    drop(acceptor);
    drain(&front, graceful).await;
    Ok(())
}

/// Streams that never end by themselves are ended at once, calls may finish.
async fn drain(front: &Front, graceful: GracefulShutdown) {
    front.stopping.send_replace(true);
    front.sse_clients.end_when_quiet();
    let drained = tokio::time::timeout(front.config.drain_timeout, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::info!("streams were still open at the end of the drain time and are cut");
    }
    front.sessions.close_all().await;
}

async fn accept(
    acceptor: &mut Acceptor,
    front: &Arc<Front>,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let room = Arc::new(Semaphore::new(front.config.connections_max));
    let clients = Clients::new(front.config.clients);
    let http = protocol(&front.config);
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
        let service = Arc::new(Entrance { front: front.clone(), client, held: Mutex::new(Some(held)) });
        let connection = connection(stream, &front.config, &http, service, graceful);
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
}

fn connection(
    stream: TcpStream,
    config: &FrontConfig,
    http: &auto::Builder<TokioExecutor>,
    service: Door,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    drop(stream.set_nodelay(true));
    let stream = Stalling::new(stream, config.write_stall);
    let mut http = http.clone();
    http.http1().timer(Alarms::default());
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
type Door = Arc<Entrance>;

/// Tells requests of clients, which the guard looks at, from those that another node hands over: there the guard
/// has seen them, and no limit of a client counts.
struct Entrance {
    front: Arc<Front>,
    client: Arc<Client>,
    /// The connection, as long as it is a client's.
    held: Mutex<Option<Held>>,
}

impl Entrance {
    /// The request of a client.
    fn answer(&self, request: Box<Arrived>) -> Answer {
        if let Err(refusal) = self.front.trust.check(&request.parts.uri, &request.said) {
            return refused(&refusal);
        }
        let (front, client) = (self.front.clone(), self.client.clone());
        Box::pin(async move {
            let Some(_call) = client.hold(Holding::Call) else {
                return Ok(reply::too_many("your address has as many calls in flight as it may"));
            };
            Ok(held(front.answer(request, &client).await, &client))
        })
    }

    /// One that another node hands over.
    fn hand_over(&self, mut request: Box<Arrived>, hop: Hop) -> Answer {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        request.parts.headers.remove(&hop::HEADER);
        request.parts.extensions.insert(hop);
        let (front, client) = (self.front.clone(), self.client.clone());
        Box::pin(async move { Ok(front.answer(request, &client).await) })
    }
}

/// An answer to come.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<Incoming>> for Entrance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = Arrived::new(request);
        let Some(mark) = request.said.hop.first() else { return self.answer(request) };
        match self.front.members.hop(&request.parts.method, &request.parts.uri, mark) {
            Ok(hop) => self.hand_over(request, hop),
            Err(refusal) => refused(&refusal),
        }
    }
}

#[cold]
fn refused(refusal: &Refusal) -> Answer {
    Box::pin(ready(Ok(reply::refusal(refusal))))
}

/// Counts a stream of the client until it ends.
fn held(response: Response<Body>, client: &Arc<Client>) -> Response<Body> {
    if !matches!(response.body(), Body::Events(_)) {
        return response;
    }
    let Some(held) = client.hold(Holding::Stream) else {
        return reply::too_many("your address has as many streams open as it may");
    };
    response.map(|body| match body {
        Body::Events(events) => Body::Events(Box::pin(events.inspect(move |_| _ = &held))),
        body => body,
    })
}
