//! One address in front of all nodes, where every request is handed to any of them.

use std::io;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::Balancer;

struct Door {
    balancer: Balancer,
    client: Client<HttpConnector, Incoming>,
}

/// Opens one on a free loopback port, for as long as the runtime lives, and says where.
///
/// # Errors
/// No port is free.
pub async fn open(balancer: Balancer) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    // A node may close an idle connection at any time, and requests cannot be sent twice.
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    tokio::spawn(accept(listener, Arc::new(Door { balancer, client })));
    Ok(url)
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&door)));
    }
}

async fn serve(stream: TcpStream, door: Arc<Door>) {
    // Events must not wait for the acknowledgement of those before.
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| door.pass(request));
    // A client may go away at any time.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

impl Door {
    /// Bodies are streams in both directions, and whoever goes away takes the other side along.
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Error> {
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let target = format!("{}{path}", self.balancer.any());
        *request.uri_mut() = target.parse().expect("a path that came in a request fits into another");
        self.client.request(request).await
    }
}
