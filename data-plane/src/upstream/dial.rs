//! TCP, TLS and the HTTP handshake with one backend.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use omcp_core::GatewayError;
use tokio::time::{Instant, timeout_at};
use tower::{Service, ServiceExt};

use crate::alarm::Alarm;

type Payload = Full<Bytes>;

/// TCP probes while a connection is silent: a host that vanished ends its streams.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// HTTP/2 pings while idle, so that a half-open peer is noticed.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections to one URL.
pub struct Dialer {
    connector: HttpsConnector<HttpConnector>,
    target: Uri,
    timeout: Duration,
}

impl Dialer {
    pub fn new(target: &Uri, timeout: Duration) -> Self {
        // One for all backends: the roots of trust alone take a hundred KiB.
        static CONNECTOR: LazyLock<HttpsConnector<HttpConnector>> = LazyLock::new(connector);
        Self { connector: CONNECTOR.clone(), target: target.clone(), timeout }
    }

    pub async fn dial(&self) -> Result<Link, GatewayError> {
        tokio::time::timeout(self.timeout, self.connect()).await.unwrap_or_else(|_| {
            let ms = self.timeout.as_millis();
            Err(GatewayError::timeout(format!("connecting to {} took longer than {ms} ms", self.peer())))
        })
    }

    async fn connect(&self) -> Result<Link, GatewayError> {
        let mut connector = self.connector.clone();
        let connecting = async { connector.ready().await?.call(self.target.clone()).await };
        let io = connecting.await.map_err(|error| self.unreachable(error))?;
        if io.connected().is_negotiated_h2() {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .handshake(io)
                .await
                .map_err(|error| self.unreachable(error.into()))?;
            tokio::spawn(connection);
            return Ok(Link::Two(sender));
        }
        let (sender, connection) =
            http1::handshake(io).await.map_err(|error| self.unreachable(error.into()))?;
        tokio::spawn(connection);
        Ok(Link::One(sender, None))
    }

    fn unreachable(&self, error: Box<dyn std::error::Error + Send + Sync>) -> GatewayError {
        GatewayError::unreachable(format!("cannot connect to {}", self.peer())).with_source(error)
    }

    /// Host and port: the path may hold a secret.
    fn peer(&self) -> &str {
        self.target.authority().map_or("the backend", |authority| authority.as_str())
    }
}

fn connector() -> HttpsConnector<HttpConnector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_all_versions().wrap_connector(tcp)
}

/// A request to send. It is large, and goes through many hands.
pub type Outgoing = Box<Request<Payload>>;

/// Why a request has no answer, and the request if nothing of it was written. Boxed, so that answers are small.
pub type Unanswered = Box<(Option<Outgoing>, hyper::Error)>;

#[cold]
fn unanswered(mut error: TrySendError<Request<Payload>>) -> Unanswered {
    Box::new((error.take_message().map(Box::new), error.into_error()))
}

/// The sending half of one connection, and the alarm of who waits for an answer over it.
pub enum Link {
    One(http1::SendRequest<Payload>, Option<Alarm>),
    Two(http2::SendRequest<Payload>),
}

impl Link {
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Two(_))
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Self::One(sender, _) => sender.is_closed(),
            Self::Two(sender) => sender.is_closed(),
        }
    }

    /// A second handle, where the connection carries many requests at once.
    pub fn share(&self) -> Option<Self> {
        match self {
            Self::One(..) => None,
            Self::Two(sender) => Some(Self::Two(sender.clone())),
        }
    }

    /// Sends a request. If nothing of it was written, it comes back with the error.
    pub async fn send(&mut self, request: Outgoing) -> Result<Response<Incoming>, Unanswered> {
        let sent = match self {
            // A pooled connection waits for a request; one that is gone gives it back.
            Self::One(sender, _) => sender.try_send_request(*request).await,
            Self::Two(sender) => Box::pin(sender.try_send_request(*request)).await,
        };
        sent.map_err(unanswered)
    }

    /// The same with a deadline for the head of the answer; `None` when that is over.
    pub async fn send_until(
        &mut self,
        request: Outgoing,
        deadline: Instant,
    ) -> Option<Result<Response<Incoming>, Unanswered>> {
        let Self::One(sender, alarm) = self else {
            return Box::pin(timeout_at(deadline, self.send(request))).await.ok();
        };
        let alarm = alarm.get_or_insert_with(|| Alarm::at(deadline));
        alarm.set(deadline);
        let mut answer = pin!(sender.try_send_request(*request));
        let sent = poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(sent) => Poll::Ready(Some(sent)),
            Poll::Pending => alarm.poll(context).map(|()| None),
        });
        let sent = sent.await?;
        alarm.silence();
        Some(sent.map_err(unanswered))
    }
}
