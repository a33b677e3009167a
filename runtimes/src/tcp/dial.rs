//! [`Dialer`]: from an endpoint to a stream that is ready for lines.

use std::io;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper_util::client::legacy::connect::HttpConnector;
use omcp_core::GatewayError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};
use tower::Service;

use super::endpoint::Endpoint;
use super::tls::TlsClient;
use crate::backoff::full_jitter;

/// First pause after a refusal: a program that was restarted listens again within some ten milliseconds.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How often a silent peer is asked for a sign of life before it is given up.
const KEEP_ALIVE_PROBES: u32 = 3;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connected socket of any kind.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// What it takes to connect.
pub struct Dialer {
    pub endpoint: Endpoint,
    pub tls: Option<TlsClient>,
    /// For everything together.
    pub connect_timeout: Duration,
    /// For trying again what was refused.
    pub reconnect_timeout: Duration,
    /// In which the death of the peer's machine is found.
    pub keep_alive_timeout: Duration,
}

impl Dialer {
    /// # Errors
    /// `Unreachable`, `Timeout`.
    pub async fn dial(&self) -> Result<Box<dyn Socket>, GatewayError> {
        let until = Instant::now() + self.connect_timeout;
        match timeout_at(until, self.patiently()).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(error)) => {
                Err(GatewayError::unreachable(format!("could not connect to {}", self.endpoint))
                    .with_source(error))
            }
            Err(_) => {
                let wait_ms = self.connect_timeout.as_millis();
                Err(GatewayError::timeout(format!("no connection to {} in {wait_ms} ms", self.endpoint)))
            }
        }
    }

    /// Tries again while the peer may be restarting.
    async fn patiently(&self) -> Result<Box<dyn Socket>, BoxError> {
        let until = Instant::now() + self.reconnect_timeout;
        let mut failures = 0;
        loop {
            let error = match self.once().await {
                Ok(socket) => return Ok(socket),
                Err(error) => error,
            };
            failures += 1;
            let pause = full_jitter(failures, PAUSE_FIRST, PAUSE_MAX);
            if !is_refusal(&*error) || Instant::now() + pause >= until {
                return Err(error);
            }
            tracing::debug!(endpoint = %self.endpoint, failures, "refused; trying again");
            sleep(pause).await;
        }
    }

    async fn once(&self) -> Result<Box<dyn Socket>, BoxError> {
        match &self.endpoint {
            Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Endpoint::Tcp(authority) => {
                let socket = self.tcp(authority).await?;
                match &self.tls {
                    None => Ok(Box::new(socket)),
                    Some(TlsClient { connector, server_name }) => {
                        Ok(Box::new(connector.connect(server_name.clone(), socket).await?))
                    }
                }
            }
        }
    }

    /// The connector of the HTTP client knows how to try several addresses of one name.
    pub(super) async fn tcp(&self, authority: &Authority) -> Result<TcpStream, BoxError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.connect_timeout));
        // Half of the time it may be silent; the other half it is asked.
        connector.set_keepalive(Some(self.keep_alive_timeout / 2));
        connector.set_keepalive_interval(Some(self.keep_alive_timeout / (2 * KEEP_ALIVE_PROBES)));
        connector.set_keepalive_retries(Some(KEEP_ALIVE_PROBES));
        // Keep-alive rests while something that was sent is not acknowledged; this bounds that.
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(self.keep_alive_timeout));
        let uri = Uri::builder().scheme("tcp").authority(authority.clone()).path_and_query("/").build()?;
        Ok(connector.call(uri).await?.into_inner())
    }
}

/// Nobody listens there now, and nothing was said.
fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
        }
        cause = error.source();
    }
    false
}
