//! [`Relay`]: between a client that writes lines and the gateway.
//!
//! Messages pass as they are, in either era. What Streamable HTTP wants beside them (headers, the session,
//! its stream, its end) is the business of the connection, which is the one nodes use for their own backends.

use std::collections::HashMap;
use std::future::pending;
use std::time::Duration;

use futures_util::future::select_all;
use omcp_core::{BackendConnection, GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_runtimes::answers;
use omcp_runtimes::lines::{LineConnection, LineLimits};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::failure::{Cause, Failure};

/// How long answers are waited for once the client has closed its end: a shell's pipe wants them, and a
/// client that wants none ends the program itself.
const ANSWERS_WAIT: Duration = Duration::from_secs(30);
/// How often a request is taken to another node, or to one that restarts.
const DIALS_MAX: u32 = 6;
/// Wait before the second of them; it doubles with each, to about three seconds in all.
const DIAL_WAIT: Duration = Duration::from_millis(100);
/// Time for another node to answer the handshake that the client has had with the one that is gone.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(30);

/// One client, and the node that serves it: another one when that cannot be reached any more.
pub struct Relay<R, W, D> {
    client: LineConnection<R, W>,
    /// The last one serves; the others finish what they were asked.
    nodes: Vec<Node>,
    /// Opens a conversation with any node.
    dial: D,
    /// Requests without an answer, by id.
    open: HashMap<Vec<u8>, Open>,
    /// How the client began, in the eras with a handshake.
    handshake: Vec<McpMessage>,
    /// Serial of the newest node.
    dialled: usize,
}

/// What a node said, or how it ended.
type Said = Result<Option<McpMessage>, GatewayError>;

struct Node {
    serial: usize,
    connection: Box<dyn BackendConnection>,
}

struct Open {
    request: McpMessage,
    /// The node that was asked.
    node: usize,
    /// How often it found nobody.
    unreached: u32,
}

impl<R, W, D> Relay<R, W, D>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    D: AsyncFnMut() -> Result<Box<dyn BackendConnection>, Failure>,
{
    /// # Errors
    /// No node is there.
    pub async fn new(input: R, output: W, mut dial: D) -> Result<Self, Failure> {
        let client = LineConnection::new(input, output, LineLimits::default());
        let nodes = vec![Node { serial: 0, connection: dial().await? }];
        Ok(Self { client, nodes, dial, open: HashMap::new(), handshake: Vec::new(), dialled: 0 })
    }

    /// Until the client closes its end and has its answers.
    ///
    /// # Errors
    /// One of the two broke off.
    pub async fn run(mut self) -> Result<(), Failure> {
        let end = match self.until_closed().await {
            Ok(()) => self.rest().await,
            broken => broken,
        };
        // What was queued for the client is worth more than a proper end of the session, but both are tried.
        let written = self.client.close_write().await.map_err(|error| of_client(&error));
        for mut node in self.nodes {
            if let Err(error) = node.connection.close().await {
                tracing::debug!(error = %error.chain(), "the session was not ended");
            }
        }
        end.and(written)
    }

    async fn until_closed(&mut self) -> Result<(), Failure> {
        loop {
            tokio::select! {
                line = self.client.recv() => match line.map_err(|error| of_client(&error))? {
                    Some(message) => self.ask(message).await?,
                    None => return Ok(()),
                },
                (node, said) = said(&mut self.nodes) => self.tell(node, said).await?,
            }
        }
    }

    /// The answers that are still to come. A subscription has none.
    async fn rest(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + ANSWERS_WAIT;
        while self.open.values().any(|open| open.request.method() != Some(methods::SUBSCRIPTIONS_LISTEN)) {
            tokio::select! {
                (node, said) = said(&mut self.nodes) => self.tell(node, said).await?,
                () = sleep_until(deadline) => break,
            }
        }
        Ok(())
    }

    async fn ask(&mut self, message: McpMessage) -> Result<(), Failure> {
        match message.method() {
            Some(methods::INITIALIZE) => self.handshake = vec![message.clone()],
            Some(methods::INITIALIZED) => self.handshake.push(message.clone()),
            _ => {}
        }
        self.send(message, 0).await
    }

    async fn send(&mut self, message: McpMessage, unreached: u32) -> Result<(), Failure> {
        // The end of a kept connection may have arrived just before the message. Its owner runs on this thread
        // and sees it first, so that nothing is written to a node that is gone.
        yield_now().await;
        if self.nodes.is_empty() && !self.find_node(&message, 0).await {
            return Err(ended());
        }
        let Some(node) = self.nodes.last_mut() else { return Err(ended()) };
        if let (Some(_), Some(id)) = (message.method(), message.id()) {
            let open = Open { request: message.clone(), node: node.serial, unreached };
            self.open.insert(id.to_vec(), open);
        }
        let (serial, sent) = (node.serial, node.connection.send(message).await);
        match sent {
            Ok(()) => Ok(()),
            Err(error) => self.lose(serial, &error).await,
        }
    }

    /// Passes on what a node said.
    async fn tell(&mut self, node: usize, said: Said) -> Result<(), Failure> {
        let message = match said {
            Ok(Some(message)) => message,
            Ok(None) => {
                return self.lose(node, &GatewayError::closed("the node ended the conversation")).await;
            }
            Err(error) => return self.lose(node, &error).await,
        };
        let answered = match (message.method(), message.id()) {
            (None, Some(id)) => self.open.remove(id),
            _ => None,
        };
        match answered {
            Some(open) if open.unreached < DIALS_MAX && is_unreachable(&message) => {
                self.ask_another(node, open, message).await?;
            }
            _ => self.client.send(&message).await.map_err(|error| of_client(&error))?,
        }
        let serving = self.nodes.last().map(|node| node.serial);
        self.nodes.retain(|node| {
            Some(node.serial) == serving || self.open.values().any(|open| open.node == node.serial)
        });
        Ok(())
    }

    /// What `node` was asked may have been done, so nobody else is asked; what comes next is for another one.
    async fn lose(&mut self, node: usize, error: &GatewayError) -> Result<(), Failure> {
        self.nodes.retain(|present| present.serial != node);
        let lost: Vec<_> = self.open.extract_if(|_, open| open.node == node).collect();
        for (id, _) in lost {
            let answer = answers::failure_of(&id, error);
            self.client.send(&answer).await.map_err(|error| of_client(&error))?;
        }
        Ok(())
    }

    /// Not a byte of the request has left for `node`: another may serve it. `refusal` is the answer if none
    /// does.
    async fn ask_another(&mut self, node: usize, open: Open, refusal: McpMessage) -> Result<(), Failure> {
        // Somebody else may have found another one meanwhile.
        let found = self.nodes.last().is_some_and(|last| last.serial != node)
            || self.find_node(&open.request, open.unreached).await;
        match found {
            true => self.send(open.request, open.unreached + 1).await,
            false => self.client.send(&refusal).await.map_err(|error| of_client(&error)),
        }
    }

    /// Whether another node is there for `request`, which found nobody `unreached` times.
    async fn find_node(&mut self, request: &McpMessage, unreached: u32) -> bool {
        for dials in unreached..DIALS_MAX {
            if dials > 0 {
                sleep(DIAL_WAIT * 2u32.pow(dials - 1)).await;
            }
            match self.change_node(request).await {
                Ok(()) => return true,
                Err(failure) => tracing::debug!(why = failure.why, "no node took over"),
            }
        }
        false
    }

    async fn change_node(&mut self, request: &McpMessage) -> Result<(), Failure> {
        let mut connection = (self.dial)().await?;
        let begins = [methods::INITIALIZE, methods::INITIALIZED].map(Some).contains(&request.method());
        if !begins {
            for message in self.handshake.clone() {
                repeat(connection.as_mut(), message).await.map_err(|error| of_gateway(&error))?;
            }
        }
        self.dialled += 1;
        self.nodes.push(Node { serial: self.dialled, connection });
        Ok(())
    }
}

/// The next message of any node, and which.
async fn said(nodes: &mut [Node]) -> (usize, Said) {
    if nodes.is_empty() {
        return pending().await;
    }
    let all = nodes.iter_mut().map(|Node { serial, connection }| {
        let serial = *serial;
        Box::pin(async move { (serial, connection.recv().await) })
    });
    select_all(all).await.0
}

/// Says what the client said to another node, which the client need not know of.
async fn repeat(gateway: &mut dyn BackendConnection, message: McpMessage) -> Result<(), GatewayError> {
    let id = message.id().map(<[u8]>::to_vec);
    gateway.send(message).await?;
    let Some(id) = id else {
        return Ok(());
    };
    let answer = async {
        while let Some(answer) = gateway.recv().await? {
            if answer.method().is_none() && answer.id() == Some(&id) {
                return match answer.envelope().kind() {
                    Kind::Error => Err(GatewayError::protocol("the node refuses the handshake")),
                    _ => Ok(()),
                };
            }
        }
        Err(GatewayError::closed("the node ended the conversation"))
    };
    match timeout(HANDSHAKE_WAIT, answer).await {
        Ok(end) => end,
        Err(_) => Err(GatewayError::timeout("the node does not answer the handshake")),
    }
}

/// Whether the connection says this, not the node: what a node cannot reach it calls by name.
fn is_unreachable(answer: &McpMessage) -> bool {
    let Ok(Refusal { error }) = serde_json::from_slice(answer.bytes()) else {
        return false;
    };
    error.data == json!({ "reason": GatewayError::unreachable("").code() })
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    data: Json,
}

fn ended() -> Failure {
    Failure::new(Cause::Unreachable, "talk to the gateway", "it ended the conversation")
}

fn of_gateway(error: &GatewayError) -> Failure {
    Failure::new(Cause::Unreachable, "talk to the gateway", error.chain()).fix("see `omcp nodes`")
}

fn of_client(error: &GatewayError) -> Failure {
    Failure::new(Cause::Failed, "talk to the client", error.chain())
}

#[cfg(test)]
mod tests;
