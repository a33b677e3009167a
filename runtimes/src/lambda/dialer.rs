//! [`Dialer`]: the SDK's requests over the HTTP client that every remote runtime uses.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient as SdkHttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use omcp_core::{ErrorKind, GatewayError};

use super::LambdaSettings;
use super::function::ANSWER_LEN_MAX;
use crate::http_client::{HttpClient, read_body};

/// One pool of connections per backend: for Lambda, and for whoever gives out credentials.
#[derive(Clone)]
pub struct Dialer {
    client: HttpClient,
    connect_timeout: Duration,
    wait: Duration,
}

impl Dialer {
    pub fn new(settings: &LambdaSettings) -> Self {
        let connect_timeout = settings.connect_timeout_ms.duration();
        // The deadline of the call passes before this one, and says more.
        let wait = settings.call_timeout_ms.duration() * 2;
        Self { client: HttpClient::new(connect_timeout), connect_timeout, wait }
    }

    /// Sends a request and reads the whole answer.
    async fn exchange(self, request: HttpRequest) -> Result<HttpResponse, GatewayError> {
        let request = request.try_into_http1x().map_err(unusable)?;
        let request = request.map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
        let request: Request<Full<Bytes>> = request;
        let (head, body) = self.client.send(request, self.wait).await?.into_parts();
        let body = read_body(body, ANSWER_LEN_MAX, self.wait).await?;
        HttpResponse::try_from(http::Response::from_parts(head, SdkBody::from(body))).map_err(unusable)
    }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> GatewayError {
    GatewayError::new(ErrorKind::Internal, "the AWS SDK and the HTTP client differ").with_source(error)
}

impl HttpConnector for Dialer {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let exchange = self.clone().exchange(request);
        HttpConnectorFuture::new(async move { exchange.await.map_err(connector_error) })
    }
}

/// The error itself is the source: [`super::failure`] takes it out again.
fn connector_error(error: GatewayError) -> ConnectorError {
    match error.kind() {
        ErrorKind::Timeout => ConnectorError::timeout(error.into()),
        ErrorKind::Unreachable => ConnectorError::io(error.into()).never_connected(),
        ErrorKind::Closed => ConnectorError::io(error.into()),
        _ => ConnectorError::other(error.into(), None),
    }
}

impl SdkHttpClient for Dialer {
    /// Some sources of credentials are given up sooner than a function: most machines lack them.
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let mut dialer = self.clone();
        dialer.wait = settings.read_timeout().unwrap_or(self.wait).min(self.wait);
        if let Some(sooner) = settings.connect_timeout().filter(|wanted| *wanted < self.connect_timeout) {
            dialer.client = HttpClient::new(sooner);
        }
        SharedHttpConnector::new(dialer)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("connect_timeout", &self.connect_timeout).finish_non_exhaustive()
    }
}
