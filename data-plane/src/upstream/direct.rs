//! [`Direct`]: another node: one host, any path.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version};
use http_body_util::Full;
use omcp_core::GatewayError;

use super::dial::{Dialer, Link, Outgoing};
use super::pool::Pool;
use super::streamed::Streamed;
use super::{broken, invalid};

/// One host and the connections to it.
pub struct Direct {
    dialer: Dialer,
    pool: Arc<Pool>,
    base: Uri,
    host: HeaderValue,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum SendError {
    /// Nothing was sent.
    Unreachable(GatewayError),
    /// Something was.
    Broken(GatewayError),
}

impl Direct {
    /// # Errors
    /// `InvalidSettings` if it is no URL with a host.
    pub fn new(url: &str, connect_timeout: Duration) -> Result<Self, GatewayError> {
        let base: Uri = url.parse().map_err(|_| invalid("is not a URL"))?;
        let authority = base.authority().filter(|_| base.scheme().is_some());
        let authority = authority.ok_or_else(|| invalid("is not a URL with a host"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| invalid("has an unusable host"))?;
        Ok(Self { dialer: Dialer::new(&base, connect_timeout), pool: Arc::default(), base, host })
    }

    /// Sends a request; its URI is the path.
    ///
    /// # Errors
    /// As [`SendError`].
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Streamed>, SendError> {
        let mut request = Box::new(request);
        while let Some(link) = self.pool.take() {
            match self.send_on(link, request).await {
                Ok(response) => return Ok(response),
                Err((Some(unsent), _)) => request = unsent,
                Err((None, error)) => return Err(SendError::Broken(error)),
            }
        }
        let link = self.dialer.dial().await.map_err(SendError::Unreachable)?;
        self.send_on(link, request).await.map_err(|(unsent, error)| match unsent {
            Some(_) => SendError::Unreachable(error),
            None => SendError::Broken(error),
        })
    }

    async fn send_on(
        &self,
        mut link: Link,
        mut request: Outgoing,
    ) -> Result<Response<Streamed>, (Option<Outgoing>, GatewayError)> {
        self.address(&mut request, &link);
        match link.send(request).await {
            Ok(response) => Ok(response.map(|body| Streamed::new(body, link, &self.pool))),
            Err(unanswered) => {
                let (unsent, error) = *unanswered;
                Err((unsent, broken(error)))
            }
        }
    }

    /// HTTP/1 wants the path and a Host, HTTP/2 the whole URL and no Host.
    fn address(&self, request: &mut Request<Full<Bytes>>, link: &Link) {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        if !link.is_http2() {
            *request.uri_mut() = Uri::from(path);
            request.headers_mut().insert(HOST, self.host.clone());
            return;
        }
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path);
        // A base with scheme and host and a path make a URL.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
    }
}
