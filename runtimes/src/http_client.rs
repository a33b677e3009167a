//! The HTTP client of the remote runtimes: pooled connections, no redirects, a deadline for dialling.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use omcp_core::GatewayError;
use tokio::time::timeout;
use tower::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connector = HttpsConnector<HttpConnector>;

/// Idle connections per backend; more would only wait to be closed by the peer.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Shorter than the 60 s after which common servers close, so that no request meets a closing socket.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// A stream may be silent for hours; this finds out that its peer is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What is read of a body that nobody asked for, so that its connection can be used again.
const UNWANTED_BODY_LEN_MAX: usize = 64 * 1024;
/// How long that may take.
const UNWANTED_BODY_WAIT: Duration = Duration::from_secs(5);

/// One pool of connections. Cloning is cheap and shares it.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<Dial, Full<Bytes>>,
}

impl HttpClient {
    /// `connect_timeout` is the deadline for name look-up, TCP and TLS together.
    pub fn new(connect_timeout: Duration) -> Self {
        let dial = Dial { connector: connector(), timeout: connect_timeout };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .build(dial);
        Self { client }
    }

    /// Sends one request and waits for the head of the answer, at most `wait`.
    ///
    /// # Errors
    /// `Unreachable`: no connection, so the request was not executed. `Closed`: the connection broke.
    /// `Timeout`. The host is named, the path is not: it may hold a secret.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        wait: Duration,
    ) -> Result<Response<Incoming>, GatewayError> {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        match timeout(wait, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => {
                Err(GatewayError::unreachable(format!("could not connect to {host}")).with_source(error))
            }
            Ok(Err(error)) => {
                Err(GatewayError::closed(format!("the connection to {host} broke")).with_source(error))
            }
            Err(_) => Err(GatewayError::timeout(format!("{host} did not answer in {} ms", wait.as_millis()))),
        }
    }
}

/// Reads a whole body.
///
/// # Errors
/// `Protocol`: it is longer than `len_max`, or breaks. `Timeout`: it does not end within `wait`.
pub async fn read_body(body: Incoming, len_max: usize, wait: Duration) -> Result<Bytes, GatewayError> {
    match timeout(wait, Limited::new(body, len_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(GatewayError::protocol(format!("the answer is longer than {len_max} bytes")))
        }
        Ok(Err(error)) => Err(GatewayError::closed("the answer broke off").with_source(error)),
        Err(_) => Err(GatewayError::timeout(format!("the answer did not end in {} ms", wait.as_millis()))),
    }
}

/// Reads a body that does not matter, within small bounds.
pub async fn drop_body(body: Incoming) {
    let _ = read_body(body, UNWANTED_BODY_LEN_MAX, UNWANTED_BODY_WAIT).await;
}

/// Shared, because the trusted roots are large.
fn connector() -> Connector {
    static CONNECTOR: OnceLock<Connector> = OnceLock::new();
    CONNECTOR.get_or_init(build_connector).clone()
}

fn build_connector() -> Connector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(KEEP_ALIVE));
    HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http)
}

/// Dials with one deadline for everything.
#[derive(Clone)]
struct Dial {
    connector: Connector,
    timeout: Duration,
}

impl Service<Uri> for Dial {
    type Response = <Connector as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (dial, wait) = (self.connector.call(uri), self.timeout);
        Box::pin(async move {
            let late = || format!("no connection in {} ms", wait.as_millis());
            timeout(wait, dial).await.map_err(|_| late())?
        })
    }
}
