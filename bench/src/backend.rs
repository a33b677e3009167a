//! The peer over Streamable HTTP, as fast as hyper allows: one thread, no checks.

mod body;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use self::body::Body;
use crate::awake::stay_awake_for;
use crate::listener;
use crate::peer::{Answer, Message};

/// Serves until the process is killed; `awake` means without sleeping between calls.
///
/// # Errors
/// If the address is taken.
#[tokio::main(flavor = "current_thread")]
pub async fn run(at: SocketAddr, awake: bool) -> Result<()> {
    let listener = listener::listen(at).await?;
    let calls = awake.then(|| Arc::new(Notify::new()));
    if let Some(calls) = &calls {
        tokio::spawn(stay_awake_for(calls.clone()));
    }
    loop {
        let stream = listener::accept(&listener).await;
        tokio::spawn(serve(stream, calls.clone()));
    }
}

async fn serve(stream: TcpStream, calls: Option<Arc<Notify>>) {
    let service = service_fn(|request| {
        if let Some(calls) = &calls {
            calls.notify_one();
        }
        answer(request)
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        eprintln!("connection: {error}");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.method() != Method::POST {
        return Ok(without_stream(request.method()));
    }
    let Ok(body) = request.into_body().collect().await else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    let body = body.to_bytes();
    Ok(match Message::read(&body) {
        Ok(message) => respond(&message),
        Err(_) => empty(StatusCode::BAD_REQUEST),
    })
}

/// A legacy client may ask for a stream or end its session; there is neither to speak of.
fn without_stream(method: &Method) -> Response<Body> {
    if method == Method::DELETE {
        return empty(StatusCode::OK);
    }
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
    response
}

fn respond(message: &Message<'_>) -> Response<Body> {
    match message.answer() {
        Answer::None => empty(StatusCode::ACCEPTED),
        Answer::Session => {
            let mut response = json(message, StatusCode::OK);
            response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("bench-session"));
            response
        }
        Answer::Result => json(message, StatusCode::OK),
        Answer::UnknownMethod if message.is_modern() => json(message, StatusCode::NOT_FOUND),
        Answer::UnknownMethod => json(message, StatusCode::OK),
        Answer::Stream => events(message),
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn json(message: &Message<'_>, status: StatusCode) -> Response<Body> {
    let mut out = Vec::with_capacity(256);
    message.write_result(&mut out);
    let mut response = Response::new(Body::whole(out.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn events(message: &Message<'_>) -> Response<Body> {
    let mut response = Response::new(Body::events(message));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    response
}
