//! `lambda`: the peer is a function behind an endpoint that answers Invoke. Invocations run side by side;
//! what the machine says to a call is what its invocation returns.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use omcp_core::{RuntimeConfig, RuntimeRegistry};
use omcp_runtimes::conformance::peer::{Action, Machine};
use omcp_runtimes::conformance::{Applies, BadSettings, Fault, Peer, Subject, Traits};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::harness::port::Port;

const PATH: &str = "/2015-03-31/functions/kit/invocations";

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

pub struct Lambda;

#[async_trait]
impl Subject for Lambda {
    fn type_name(&self) -> &str {
        "lambda"
    }

    fn registry(&self) -> RuntimeRegistry {
        omcp_runtimes::builtin()
    }

    fn traits(&self) -> Traits {
        let mut traits = Traits::request_response("an invocation has one answer and hears nothing else");
        traits.large = Applies::no("AWS carries 6 MiB at most");
        traits.in_flight = 8;
        traits
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        let arn = "arn:aws:lambda:eu-west-1:111122223333:function:kit";
        vec![
            BadSettings::new(json!({}), ""),
            BadSettings::new(json!({ "function": "two words" }), "function"),
            BadSettings::new(json!({ "function": arn, "region": "us-east-1" }), "region"),
            BadSettings::new(json!({ "function": "kit", "endpoint_url": "ftp://host" }), "endpoint_url"),
            BadSettings::new(json!({ "function": "kit", "access_key_id": "id" }), "secret_access_key"),
            BadSettings::new(json!({ "function": "kit", "concurrency_max": 0 }), "concurrency_max"),
        ]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        Ok(Box::new(Endpoint::start().await?))
    }
}

/// The endpoint, listening.
struct Endpoint {
    port: Port,
    /// None once it is gone.
    task: Option<JoinHandle<()>>,
}

impl Endpoint {
    async fn start() -> Result<Self, Fault> {
        let mut new = Self { port: Port::keep(), task: None };
        new.listen().await?;
        Ok(new)
    }

    async fn listen(&mut self) -> Result<(), Fault> {
        let listener = TcpListener::bind(self.port.address()).await?;
        self.task = Some(tokio::spawn(serve(listener)));
        Ok(())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Peer for Endpoint {
    fn config(&self) -> RuntimeConfig {
        let url = format!("http://{}", self.port.address());
        let settings = json!({
            "function": "kit", "region": "eu-west-1", "endpoint_url": url,
            "access_key_id": "id", "secret_access_key": "secret",
        });
        RuntimeConfig::new("lambda", settings.to_string())
    }

    async fn kill(&mut self, _: Option<u32>) -> Result<(), Fault> {
        let Some(task) = self.task.take() else { return Ok(()) };
        task.abort();
        // It is gone once its sockets are closed.
        let _ = task.await;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.kill(None).await?;
        self.listen().await
    }
}

/// Everything lives in this one task, so that its end is the end of all sockets.
async fn serve(listener: TcpListener) {
    let function = Arc::new(Function::default());
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted,
            () = function.died.notified() => return connections.shutdown().await,
        };
        let Ok((socket, _)) = socket else { continue };
        let function = Arc::clone(&function);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let function = Arc::clone(&function);
                async move { Ok::<_, Infallible>(function.invoked(request).await) }
            });
            // A client that goes away is no fault.
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

#[derive(Default)]
struct Function {
    machine: tokio::sync::Mutex<Machine>,
    /// Invocations that wait for what the machine says, by the id of the call.
    waiting: Mutex<HashMap<String, oneshot::Sender<Said>>>,
    died: Notify,
}

enum Said {
    Whole(String),
    Half(String),
}

impl Function {
    async fn invoked(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() != PATH {
            return answer(StatusCode::NOT_FOUND, "{}".into());
        }
        let Ok(payload) = request.into_body().collect().await.map(|body| body.to_bytes()) else {
            return answer(StatusCode::BAD_REQUEST, "{}".into());
        };
        let message: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let said = self.expect(&message["id"]);
        self.hear(&payload).await;
        match said {
            None => answer(StatusCode::OK, "{}".into()),
            Some(said) => match said.await {
                Ok(Said::Whole(text)) => answer(StatusCode::OK, text),
                Ok(Said::Half(text)) => half(text),
                // The call was never answered: another with its id came.
                Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, "{}".into()),
            },
        }
    }

    fn expect(&self, id: &Value) -> Option<oneshot::Receiver<Said>> {
        let (sender, receiver) = oneshot::channel();
        (!id.is_null()).then(|| {
            self.waiting.lock().expect("no panic while locked").insert(id.to_string(), sender);
            receiver
        })
    }

    /// While the machine stalls it hears nothing else either.
    async fn hear(&self, payload: &[u8]) {
        let mut machine = self.machine.lock().await;
        for action in machine.hear(payload) {
            match action {
                Action::Say { call, message: text } | Action::Babble { call, text } => {
                    self.say(&call, Said::Whole(text));
                }
                Action::BreakOff { call, text } => self.say(&call, Said::Half(text)),
                Action::Stall(pause) => sleep(pause).await,
                Action::Forget { .. } | Action::HangUp => {}
                Action::Die => self.died.notify_one(),
            }
        }
    }

    /// An invocation returns the first thing that is said to it.
    fn say(&self, call: &Value, said: Said) {
        if let Some(waiting) = self.waiting.lock().expect("no panic while locked").remove(&call.to_string()) {
            // Nobody waits any more.
            let _ = waiting.send(said);
        }
    }
}

fn answer(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::from(text).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// A body that breaks off.
fn half(text: String) -> Response<Body> {
    let frames = [Ok(Frame::data(Bytes::from(text))), Err(std::io::Error::other("told to break off"))];
    Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync())
}
