//! Carries the kit's peer over HTTP: Streamable HTTP at `/mcp` and HTTP+SSE at `/sse`. Every session is a
//! [`Machine`] of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use omcp_runtimes::conformance::peer::{Action, Machine};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::fixture::reply::{self, Reply};
use crate::fixture::state::random_id;

const SESSION_HEADER: &str = "mcp-session-id";
/// So long half an event needs to leave before the process may end.
const FLUSH_WAIT: Duration = Duration::from_millis(100);

/// Serves for ever. `crash` ends the process.
pub async fn serve(listener: TcpListener, crash: fn()) -> std::io::Result<()> {
    let server = Arc::new(Server { sessions: Mutex::default(), crash });
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let server = Arc::clone(&server);
                async move { Ok::<_, Infallible>(server.answer(request).await) }
            });
            http1::Builder::new().serve_connection(TokioIo::new(socket), service).await
        });
    }
}

struct Server {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    crash: fn(),
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let session = |id: Option<&str>| {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.get(id.unwrap_or_default()).cloned()
        };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match (&method, path.as_str()) {
            (&Method::GET, "/sse") => self.open_sse(),
            (&Method::POST, "/message") => match session(request.uri().query()) {
                Some(session) => session.take(body(request).await, self.crash).await,
                None => reply::empty(StatusCode::NOT_FOUND),
            },
            (&Method::POST, "/mcp") => {
                let id = request.headers().get(SESSION_HEADER).and_then(|id| id.to_str().ok());
                let known = session(id);
                self.exchange(known, body(request).await).await
            }
            (&Method::DELETE, "/mcp") => reply::empty(StatusCode::OK),
            _ => reply::empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// One POST of Streamable HTTP.
    async fn exchange(&self, known: Option<Arc<Session>>, message: Bytes) -> Reply {
        let heard: Value = serde_json::from_slice(&message).unwrap_or_default();
        let mut new_id = None;
        let session = match known {
            Some(session) => session,
            None if heard["method"] == "initialize" => {
                let (id, session) = self.new_session(None);
                new_id = Some(id);
                session
            }
            None => return reply::empty(StatusCode::NOT_FOUND),
        };
        if heard["id"].is_null() || heard["method"].is_null() {
            return session.take(message, self.crash).await;
        }
        let mut reply = stream(session.open(&heard["id"]));
        if let Some(id) = new_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            reply.headers_mut().insert(SESSION_HEADER, id);
        }
        let crash = self.crash;
        tokio::spawn(async move { session.take(message, crash).await });
        reply
    }

    /// The one stream of an HTTP+SSE session, which names its endpoint first.
    fn open_sse(&self) -> Reply {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (id, _) = self.new_session(Some(sender.clone()));
        sender.send(reply::event(None, Some("endpoint"), &format!("/message?{id}"))).ok();
        stream(receiver)
    }

    fn new_session(&self, common: Option<Stream>) -> (String, Arc<Session>) {
        let (id, session) = (random_id(), Arc::new(Session { common, ..Session::default() }));
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(id.clone(), Arc::clone(&session));
        (id, session)
    }
}

type Stream = mpsc::UnboundedSender<Bytes>;

#[derive(Default)]
struct Session {
    /// Held while actions are done, so that they are done in order.
    machine: tokio::sync::Mutex<Machine>,
    /// HTTP+SSE: where everything goes.
    common: Option<Stream>,
    /// Streamable HTTP: the stream of each call, by its id.
    calls: Mutex<HashMap<String, Stream>>,
}

impl Session {
    fn open(&self, call: &Value) -> mpsc::UnboundedReceiver<Bytes> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.calls().insert(call.to_string(), sender);
        receiver
    }

    /// Hears a message and does what the machine says.
    async fn take(&self, message: Bytes, crash: fn()) -> Reply {
        let mut machine = self.machine.lock().await;
        for action in machine.hear(&message) {
            match action {
                Action::Say { call, message } => {
                    self.say(&call, reply::event(None, None, &message));
                    if is_answer(&call, &message) {
                        self.calls().remove(&call.to_string());
                    }
                }
                Action::Babble { call, text } => self.say(&call, reply::event(None, None, &text)),
                Action::BreakOff { call, text } => {
                    self.say(&call, format!("data: {text}").into());
                    sleep(FLUSH_WAIT).await;
                    crash();
                }
                Action::Forget { call } => drop(self.calls().remove(&call.to_string())),
                Action::Stall(pause) => sleep(pause).await,
                Action::HangUp => self.calls().clear(),
                Action::Die => crash(),
            }
        }
        reply::empty(StatusCode::ACCEPTED)
    }

    /// A client that is gone hears nothing.
    fn say(&self, call: &Value, event: Bytes) {
        let stream = self.common.clone().or_else(|| self.calls().get(&call.to_string()).cloned());
        if let Some(stream) = stream {
            stream.send(event).ok();
        }
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<String, Stream>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_answer(call: &Value, message: &str) -> bool {
    let said: Value = serde_json::from_str(message).unwrap_or_default();
    said["method"].is_null() && said["id"] == *call
}

fn stream(receiver: mpsc::UnboundedReceiver<Bytes>) -> Reply {
    reply::events(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

async fn body(request: Request<Incoming>) -> Bytes {
    request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default()
}
