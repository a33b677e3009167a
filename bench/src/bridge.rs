//! The yardstick for pipes: HTTP in front of one process, and nothing else.
//!
//! The id of a request is replaced by a number of our own, the line goes to the process, the reply with
//! that number gets its id back. One task owns the pipe; queued lines leave in one write.

mod id;
mod pipe;

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use self::pipe::{Pipe, Send};
use crate::listener;

/// Lines that may wait for the pipe; more than the load ever has in flight.
const QUEUE_LEN: usize = 1024;

/// Serves until the process is killed.
///
/// # Errors
/// If the address is taken or the command does not start.
#[tokio::main]
pub async fn run(at: SocketAddr, command: &[String]) -> Result<()> {
    let mut child = start(command)?;
    let (queue, lines) = mpsc::channel(QUEUE_LEN);
    tokio::spawn(Pipe::new(&mut child)?.run(lines));
    let listener = listener::listen(at).await?;
    loop {
        let stream = listener::accept(&listener).await;
        tokio::spawn(serve(stream, queue.clone()));
    }
}

fn start(command: &[String]) -> Result<Child> {
    let (program, arguments) = command.split_first().context("the command is empty")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().with_context(|| format!("start {program}"))
}

async fn serve(stream: TcpStream, queue: mpsc::Sender<Send>) {
    let service = service_fn(|request| answer(request, &queue));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        eprintln!("connection: {error}");
    }
}

async fn answer(request: Request<Incoming>, queue: &mpsc::Sender<Send>) -> Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let Some(id) = id::find(&body) else {
        queue.send(Send { line: body, id: None }).await?;
        return Ok(accepted());
    };
    let (reply_to, reply) = oneshot::channel();
    queue.send(Send { line: body, id: Some((id, reply_to)) }).await?;
    Ok(json(reply.await?))
}

fn accepted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn json(reply: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
