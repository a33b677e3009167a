//! A small HTTP server for tests: records every request and answers as a closure says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use omcp_core::{BackendConnection, DynRuntimeType, GatewayError, McpMessage, Runtime, RuntimeContext};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The id of the JSON-RPC message in the body, as text.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].to_string()
    }

    pub(crate) fn rpc(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start(
        handler: impl Fn(Seen) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, handler) = (Arc::new(Mutex::new(Vec::new())), Arc::new(handler));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (record, handler) = (Arc::clone(&record), Arc::clone(&handler));
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let (record, handler) = (Arc::clone(&record), Arc::clone(&handler));
                        async move {
                            let request = read(request).await;
                            record.lock().unwrap().push(request.clone());
                            Ok::<_, Infallible>(handler(request).await)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for a request that `wanted` likes.
    pub(crate) async fn request(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        for _ in 0..500 {
            if let Some(seen) = self.seen().into_iter().find(&wanted) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no such request among {:#?}", self.seen());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(request: Request<Incoming>) -> Seen {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Seen {
        method: head.method,
        path: head.uri.path_and_query().unwrap().to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(crate) fn answer(status: u16, media_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).boxed_unsync();
    Response::builder().status(status).header("content-type", media_type).body(body).unwrap()
}

pub(crate) fn json(body: impl Into<String>) -> Answer {
    answer(200, "application/json", body.into())
}

pub(crate) fn result(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
}

pub(crate) fn events(body: impl Into<String>) -> Answer {
    answer(200, "text/event-stream", body.into())
}

/// An event stream that lives as long as its sender.
pub(crate) fn live_events() -> (mpsc::UnboundedSender<String>, Answer) {
    let (sender, receiver) = mpsc::unbounded_channel::<String>();
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let text = receiver.recv().await?;
        Some((Ok(Frame::data(Bytes::from(text))), receiver))
    });
    let body = StreamBody::new(frames).boxed_unsync();
    let head = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
    (sender, head.body(body).unwrap())
}

pub(crate) fn build(
    kind: &dyn DynRuntimeType,
    settings: &serde_json::Value,
) -> Result<Box<dyn Runtime>, GatewayError> {
    let context = RuntimeContext {
        backend: "b".parse().unwrap(),
        env: std::collections::BTreeMap::new(),
        stderr: Arc::new(omcp_core::runtime::NoStderr),
        node: omcp_core::NodeIdentity::default(),
    };
    kind.create(&settings.to_string(), context)
}

pub(crate) fn message(text: impl Into<String>) -> McpMessage {
    McpMessage::parse(text.into().into()).unwrap()
}

pub(crate) fn request(id: u64, method: &str) -> McpMessage {
    message(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{}}}}"#))
}

pub(crate) fn notification(method: &str) -> McpMessage {
    message(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#))
}

/// The next message within some seconds, decoded.
pub(crate) async fn next(connection: &mut dyn BackendConnection) -> serde_json::Value {
    let received =
        tokio::time::timeout(Duration::from_secs(10), connection.recv()).await.expect("a message in time");
    serde_json::from_slice(received.unwrap().unwrap().bytes()).unwrap()
}

/// Lets the connection work until something has happened elsewhere; nothing may arrive meanwhile.
pub(crate) async fn work_until(connection: &mut dyn BackendConnection, happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        let received = tokio::time::timeout(Duration::from_millis(10), connection.recv()).await;
        assert!(received.is_err(), "{received:?}");
    }
    panic!("it did not happen");
}

/// Lets the connection work for a moment in which nothing arrives.
pub(crate) async fn idle(connection: &mut dyn BackendConnection) {
    let received = tokio::time::timeout(Duration::from_millis(100), connection.recv()).await;
    assert!(received.is_err(), "{received:?}");
}
