//! [`Wire`]: one POST and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use omcp_mcp::sse::Decoder;
use serde_json::{Value as Json, json};

use super::{Listener, McpError};

/// Largest answer that is read, bytes: tools do return pictures and files.
const ANSWER_LEN_MAX: usize = 64 * 1024 * 1024;
/// Longest wait for TCP to a node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An HTTP endpoint.
#[derive(Debug)]
pub struct Wire {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    /// Longest wait for a whole answer.
    timeout: Duration,
    listener: Listener,
}

/// The JSON-RPC answer to a request, and the session it opened.
#[derive(Debug)]
pub struct Reply {
    message: Json,
    pub session: Option<String>,
}

impl Reply {
    pub fn into_result(mut self) -> Result<Json, McpError> {
        let error = self.message["error"].take();
        if error.is_null() {
            return Ok(self.message["result"].take());
        }
        let message = error["message"].as_str().unwrap_or("an error without a message").to_owned();
        let code = error["code"].as_i64().unwrap_or_default();
        Err(McpError::Rpc { code, message, data: error["data"].clone() })
    }
}

impl Wire {
    pub fn new(url: &str, timeout: Duration, listener: Listener) -> Result<Self, McpError> {
        let unusable = |why: &str| McpError::Unreachable { url: url.to_owned(), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|_| unusable("it is not a URL"))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(unusable("only http:// is spoken here"));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: uri,
            timeout,
            listener,
        })
    }

    /// Sends a request and waits for its answer; what comes before it goes to the listener.
    pub async fn post(&self, body: &Json, headers: &[(String, String)]) -> Result<Reply, McpError> {
        self.in_time(async {
            let response = self.send(Method::POST, body.to_string().into(), headers).await?;
            let session = header(&response, "mcp-session-id").map(str::to_owned);
            let message = self.answer(response, &body["id"], headers).await?;
            Ok(Reply { message, session })
        })
        .await
    }

    /// Sends what needs no answer.
    pub async fn post_only(&self, body: &Json, headers: &[(String, String)]) -> Result<(), McpError> {
        self.in_time(async {
            let response = self.send(Method::POST, body.to_string().into(), headers).await?;
            check_status(&response, &self.url)
        })
        .await
    }

    /// Ends a session; a server that does not want to know is left alone.
    pub async fn delete(&self, headers: &[(String, String)]) {
        let _ = self.in_time(self.send(Method::DELETE, Bytes::new(), headers)).await;
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, McpError>>) -> Result<T, McpError> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(end) => end,
            Err(_) => Err(McpError::Timeout(self.timeout)),
        }
    }

    async fn send(
        &self,
        method: Method,
        body: Bytes,
        headers: &[(String, String)],
    ) -> Result<Response<Incoming>, McpError> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| McpError::Protocol(error.to_string()))?;
        self.client.request(request).await.map_err(|error| self.unreachable(&error))
    }

    async fn answer(
        &self,
        response: Response<Incoming>,
        id: &Json,
        headers: &[(String, String)],
    ) -> Result<Json, McpError> {
        let kind = header(&response, "content-type").unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            return self.streamed(response, id, headers).await;
        }
        let status = response.status();
        let is_json = kind.starts_with("application/json");
        let url = self.url.clone();
        let refused = check_status(&response, &url);
        let bytes = self.whole(response).await?;
        let message: Json = match serde_json::from_slice(&bytes) {
            Ok(message) if is_json => message,
            _ => {
                return refused
                    .and(Err(McpError::Protocol(format!("HTTP {} without JSON", status.as_u16()))));
            }
        };
        if message["jsonrpc"] == "2.0" { Ok(message) } else { refused.map(|()| message) }
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, McpError> {
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_LEN_MAX);
        let read = body.collect().await.map_err(|error| McpError::Protocol(error.to_string()))?;
        Ok(read.to_bytes())
    }

    /// Reads an event stream up to the answer.
    async fn streamed(
        &self,
        response: Response<Incoming>,
        id: &Json,
        headers: &[(String, String)],
    ) -> Result<Json, McpError> {
        let mut body = response.into_body();
        let mut decoder = Decoder::new(ANSWER_LEN_MAX);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| McpError::Protocol(format!("the stream broke: {error}")))?;
            if let Ok(data) = frame.into_data() {
                decoder.push_chunk(data);
            }
            while let Some(event) =
                decoder.next_event().map_err(|error| McpError::Protocol(error.to_string()))?
            {
                let Ok(message) = serde_json::from_slice::<Json>(&event.data) else { continue };
                if message["id"] == *id && message.get("method").is_none() {
                    return Ok(message);
                }
                self.meanwhile(&message, headers).await;
            }
        }
        Err(McpError::Protocol("the stream ended without an answer".into()))
    }

    /// Passes a notification on; answers a ping, and declines any other request of the server.
    async fn meanwhile(&self, message: &Json, headers: &[(String, String)]) {
        match (message["method"].as_str(), message.get("id")) {
            (Some(method), None) => (self.listener)(method, &message["params"]),
            (Some("ping"), Some(id)) => {
                self.respond(&json!({"jsonrpc": "2.0", "id": id, "result": {}}), headers).await;
            }
            (Some(_), Some(id)) => {
                let error = json!({"code": -32601, "message": "not offered by this client"});
                self.respond(&json!({"jsonrpc": "2.0", "id": id, "error": error}), headers).await;
            }
            (None, _) => {}
        }
    }

    async fn respond(&self, body: &Json, headers: &[(String, String)]) {
        let _ = self.send(Method::POST, body.to_string().into(), headers).await;
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> McpError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        McpError::Unreachable { url: self.url.to_string(), why: cause.to_string() }
    }
}

fn check_status(response: &Response<Incoming>, url: &Uri) -> Result<(), McpError> {
    match response.status() {
        status if status.is_success() => Ok(()),
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(McpError::Auth(status.as_u16())),
        StatusCode::NOT_FOUND => Err(McpError::NotFound(url.path().to_owned())),
        status if status.is_server_error() => {
            Err(McpError::Unreachable { url: url.to_string(), why: format!("HTTP {}", status.as_u16()) })
        }
        status => Err(McpError::Protocol(format!("HTTP {}", status.as_u16()))),
    }
}

fn header<'a>(response: &'a Response<Incoming>, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}
