//! The node's own pages: health, state, logs and metrics. They tell the truth without a control plane.
//!
//! - [`pages`]: what each of them says
//! - [`metrics`]: the Prometheus text
//!
//! `GET /healthz`, `/readyz`, `/config`, `/metrics`, `/backends/NAME/logs?lines=N&follow=1`.

pub mod metrics;
pub mod pages;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::acceptor::Acceptor;
use crate::front::body::Body;
use crate::front::config::FrontConfig;
use crate::front::guard::{Guard, Trust};
pub use pages::Admin;

/// Connections at once: probes, a scraper and a few people who follow logs.
const CONNECTIONS_MAX: usize = 64;
/// For the header block of a request; longer is a slow-loris.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the pages for as long as the future is polled.
pub async fn serve(listener: TcpListener, pages: Arc<Admin>) {
    let Ok(address) = listener.local_addr() else { return };
    let trust = Arc::new(Trust::new(&FrontConfig::default(), address));
    let service = Arc::new(Guard { trust, inner: Pages(pages) });
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut acceptor = Acceptor::new("node administration", listener);
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let stream = TokioIo::new(acceptor.accept().await.0);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(stream, service.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "an admin connection ended early");
            }
            drop(permit);
        });
    }
}

struct Pages(Arc<Admin>);

impl Service<Request<Incoming>> for Pages {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let pages = self.0.clone();
        Box::pin(async move {
            let known = request.method() == Method::GET || request.method() == Method::HEAD;
            Ok(if known { pages.answer(request.uri()).await } else { pages::not_allowed() })
        })
    }
}
