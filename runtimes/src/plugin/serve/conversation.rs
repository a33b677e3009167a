//! One open stream: a connection of one runtime, and the task that owns it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use omcp_core::{
    BackendConnection, BackendName, ErrorKind, GatewayError, McpMessage, Runtime, RuntimeContext,
    RuntimeRegistry, StderrSink,
};
use omcp_proto::plugin::v1::open_request::Body as Request;
use omcp_proto::plugin::v1::open_response::Body as Response;
use omcp_proto::plugin::v1::{OpenRequest, OpenResponse, Opened, Start};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::plugin::wire;

/// How long a node may take to say what it wants.
const START_WAIT: Duration = Duration::from_secs(10);
/// Diagnostic lines that the node has not taken yet; more are dropped.
const LINES_MAX: usize = 256;
/// How long the last of them may take.
const LINES_WAIT: Duration = Duration::from_millis(500);

type Requests = Streaming<OpenRequest>;
type Responses = mpsc::Sender<Result<OpenResponse, Status>>;

/// Serves one stream to its end. Foreign code that panics ends this stream and nothing else.
pub async fn run(registry: Arc<RuntimeRegistry>, mut requests: Requests, responses: Responses) {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    let mut lines = tokio::spawn(pass_on(lines, responses.clone()));
    let conversed = converse(&registry, &mut requests, &responses, Arc::new(Lines(sender)));
    let conversed = AssertUnwindSafe(conversed).catch_unwind().await;
    if timeout(LINES_WAIT, &mut lines).await.is_err() {
        lines.abort();
    }
    let error = match conversed {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => GatewayError::new(ErrorKind::Internal, "the runtime panicked"),
    };
    // Nobody is left to be told if this fails.
    let _ = say(&responses, Response::Failure(wire::failure(&error))).await;
}

async fn converse(
    registry: &RuntimeRegistry,
    requests: &mut Requests,
    responses: &Responses,
    stderr: Arc<dyn StderrSink>,
) -> Result<(), GatewayError> {
    let start = started(requests).await?;
    let runtime = create(registry, start, stderr)?;
    let mut connection = tokio::select! {
        connected = runtime.connect() => connected?,
        () = responses.closed() => return Ok(()),
    };
    let opened = Opened {
        pid: connection.pid().unwrap_or(0),
        call_timeout_ms: u32::try_from(runtime.call_timeout().as_millis()).unwrap_or(u32::MAX),
        only_answers: runtime.only_answers(),
    };
    let ended = match say(responses, Response::Opened(opened)).await {
        Ok(()) => exchange(connection.as_mut(), requests, responses).await,
        Err(Gone) => Ok(()),
    };
    let closed = connection.close().await;
    ended.and(closed)
}

async fn started(requests: &mut Requests) -> Result<Start, GatewayError> {
    let first = timeout(START_WAIT, requests.message()).await;
    match first.ok().and_then(Result::ok).flatten().and_then(|request| request.body) {
        Some(Request::Start(start)) => {
            wire::check_protocol("the node", start.protocol, start.protocol)?;
            Ok(start)
        }
        _ => Err(GatewayError::protocol("the stream did not begin with Start")),
    }
}

fn create(
    registry: &RuntimeRegistry,
    start: Start,
    stderr: Arc<dyn StderrSink>,
) -> Result<Box<dyn Runtime>, GatewayError> {
    let backend: BackendName = start
        .backend
        .parse()
        .map_err(|_| GatewayError::protocol(format!("{:?} is no name of a backend", start.backend)))?;
    let Some(kind) = registry.get(&start.runtime_type) else {
        let text = format!("the plugin has no runtime type {:?}", start.runtime_type);
        return Err(GatewayError::new(ErrorKind::UnknownRuntime, text));
    };
    let node = wire::node(&start);
    kind.create(&start.settings_json, RuntimeContext { backend, env: start.env, stderr, node })
}

/// Passes messages on both ways until one side ends.
async fn exchange(
    connection: &mut dyn BackendConnection,
    requests: &mut Requests,
    responses: &Responses,
) -> Result<(), GatewayError> {
    // Received from the backend, and not yet taken by the node. Meanwhile the node is still heard.
    let mut waiting = None;
    loop {
        tokio::select! {
            request = requests.message() => match request {
                Ok(Some(OpenRequest { body: Some(Request::Message(bytes)) })) => {
                    connection.send(checked(bytes)?).await?;
                }
                Ok(Some(_)) => {}
                // The node closed the connection, or is gone.
                Ok(None) | Err(_) => return Ok(()),
            },
            room = responses.reserve(), if waiting.is_some() => match (room, waiting.take()) {
                (Ok(room), Some(message)) => room.send(Ok(response(Response::Message(message)))),
                _ => return Ok(()),
            },
            message = connection.recv(), if waiting.is_none() => match message? {
                Some(message) => waiting = Some(message.into_bytes()),
                None => return Ok(()),
            },
        }
    }
}

fn checked(bytes: Bytes) -> Result<McpMessage, GatewayError> {
    McpMessage::parse(bytes).map_err(|error| {
        GatewayError::protocol("the node sent what is no json-rpc message").with_source(error)
    })
}

/// The node no longer listens.
struct Gone;

async fn say(responses: &Responses, body: Response) -> Result<(), Gone> {
    responses.send(Ok(response(body))).await.map_err(|_| Gone)
}

fn response(body: Response) -> OpenResponse {
    OpenResponse { body: Some(body) }
}

/// Takes diagnostic lines for the node; those that find the queue full are dropped.
struct Lines(mpsc::Sender<Bytes>);

impl StderrSink for Lines {
    fn line(&self, line: &[u8]) {
        let _ = self.0.try_send(Bytes::copy_from_slice(line));
    }
}

async fn pass_on(mut lines: mpsc::Receiver<Bytes>, responses: Responses) {
    while let Some(line) = lines.recv().await {
        if say(&responses, Response::StderrLine(line)).await.is_err() {
            return;
        }
    }
}
