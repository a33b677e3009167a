//! The way to a backend that is an HTTP server: pooled connections, bytes streamed both ways.
//!
//! - [`direct`]: the same way to another node
//! - [`dial`]: TCP, TLS and the HTTP handshake
//! - [`pool`]: idle connections, newest first
//! - [`room`]: how many calls may be in flight, and how many wait
//! - [`streamed`]: an answer's body, which gives its connection back at the end

mod dial;
mod direct;
mod pool;
mod room;
mod streamed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use omcp_core::redaction::Redaction;
use omcp_core::{ErrorKind, GatewayError, HttpUpstream};
use tokio::time::{Instant, timeout_at};

use crate::fields;
pub use dial::Outgoing;
use dial::{Dialer, Link};
pub use direct::{Direct, SendError};
use pool::Pool;
use room::{Place, Room};
pub use streamed::Streamed;

/// The head of an answer, and its body to come.
type Answered = Result<Response<Streamed>, GatewayError>;

/// One HTTP endpoint and the connections to it.
pub struct Upstream {
    dialer: Dialer,
    pool: Arc<Pool>,
    target: Uri,
    path: PathAndQuery,
    host: HeaderValue,
    headers: HeaderMap,
    redaction: Redaction,
    room: Room,
}

impl Upstream {
    /// # Errors
    /// `InvalidSettings` if the URL or a header cannot be sent; the header's value is not repeated.
    pub fn new(
        settings: &HttpUpstream,
        calls_max: usize,
        redaction: Redaction,
    ) -> Result<Self, GatewayError> {
        let target: Uri = settings.url.parse().map_err(|_| invalid("url: is not a URL"))?;
        let authority = target.authority().ok_or_else(|| invalid("url: has no host"))?;
        let host =
            HeaderValue::from_str(authority.as_str()).map_err(|_| invalid("url: has an unusable host"))?;
        let path = target.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let headers = parse_headers(&settings.headers)?;
        let dialer = Dialer::new(&target, settings.connect_timeout);
        let room = Room::new(calls_max);
        Ok(Self { dialer, pool: Arc::new(Pool::default()), target, path, host, headers, redaction, room })
    }

    /// Sends one request and waits for the head of its answer.
    ///
    /// A pooled connection that turns out to be closed is replaced, as long as nothing of the request
    /// was sent.
    ///
    /// # Errors
    /// `Unreachable`, `Timeout` (connecting, or no head within `timeout`), `Closed`; `Limit` if a call finds
    /// as many in flight as there may be. What lasts for ever (a GET) is not counted.
    pub async fn send(&self, mut request: Outgoing, timeout: Duration) -> Answered {
        let place = if *request.method() == Method::POST { Some(self.room.enter().await?) } else { None };
        let deadline = Instant::now() + timeout;
        while let Some(mut link) = self.pool.take() {
            self.address(&mut request, &link);
            match link.send_until(request, deadline).await {
                Some(Ok(answer)) => return Ok(self.stream(answer, link, place)),
                Some(Err(unanswered)) => match *unanswered {
                    (Some(unsent), _) => request = unsent,
                    (None, error) => return Err(self.redaction.error(broken(error))),
                },
                None => return Err(self.redaction.error(late(timeout))),
            }
        }
        let answered = Box::pin(timeout_at(deadline, self.exchange_on_new(request, place))).await;
        answered.unwrap_or_else(|_| Err(late(timeout))).map_err(|error| self.redaction.error(error))
    }

    async fn exchange_on_new(&self, mut request: Outgoing, place: Option<Place>) -> Answered {
        let mut link = self.dialer.dial().await?;
        self.address(&mut request, &link);
        let answer = link.send(request).await.map_err(|unanswered| broken(unanswered.1))?;
        Ok(self.stream(answer, link, place))
    }

    /// A request with these header fields, and the configured ones.
    pub fn request(&self, method: Method, mut headers: HeaderMap, body: Bytes) -> Outgoing {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        let mut request = Box::new(Request::new(Full::new(body)));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        request
    }

    /// HTTP/1 wants the path and a Host, HTTP/2 the whole URL and no Host.
    fn address(&self, request: &mut Request<Full<Bytes>>, link: &Link) {
        if link.is_http2() {
            *request.uri_mut() = self.target.clone();
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
        } else {
            *request.uri_mut() = Uri::from(self.path.clone());
            fields::set(request.headers_mut(), &HOST, self.host.clone());
        }
    }

    fn stream(&self, answer: Response<Incoming>, link: Link, place: Option<Place>) -> Response<Streamed> {
        answer.map(|body| Streamed::new(body, link, &self.pool).holding(place))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("host", &self.host).finish_non_exhaustive()
    }
}

fn parse_headers(pairs: &[(String, String)]) -> Result<HeaderMap, GatewayError> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let key: HeaderName =
            name.parse().map_err(|_| invalid(format!("headers.{name}: is not a header name")))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| invalid(format!("headers.{name}: its value cannot be sent in a header")))?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

fn invalid(context: impl Into<String>) -> GatewayError {
    GatewayError::new(ErrorKind::InvalidSettings, context)
}

fn late(timeout: Duration) -> GatewayError {
    GatewayError::timeout(format!("no answer from the backend within {} ms", timeout.as_millis()))
}

fn broken(error: hyper::Error) -> GatewayError {
    GatewayError::closed("the backend broke off before it answered").with_source(error)
}
