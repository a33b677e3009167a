//! Handing a request over to another node, once, over a direct connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, ORIGIN, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;
use omcp_core::{ErrorKind, GatewayError};
use omcp_mcp::token::content::NodeTag;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Members, hop};
use crate::backends::bridge::principal::Principal;
use crate::upstream::{Direct, SendError, Streamed};

/// For TCP to another node of the same network: a host that is gone should not hold a client up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests and streams at once that one other node answers: each is a connection.
pub const FORWARDS_MAX: usize = 4_096;

/// What is written anew for the next hop, or does not concern it: the guard has checked the origin.
const OF_THE_HOP: [HeaderName; 7] =
    [HOST, CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING, TE, UPGRADE, ORIGIN];

/// How long a node counts as gone after it was not there: a host that is gone costs every request a wait.
const AWAY: Duration = Duration::from_secs(1);

/// The connections to one node, and how many requests they may carry.
pub struct Way {
    direct: Direct,
    room: Arc<Semaphore>,
    missed: Mutex<Option<Instant>>,
}

impl Way {
    /// # Errors
    /// It is no URL.
    pub fn new(url: &str) -> Result<Self, GatewayError> {
        let direct = Direct::new(url, CONNECT_TIMEOUT)?;
        Ok(Self { direct, room: Arc::new(Semaphore::new(FORWARDS_MAX)), missed: Mutex::default() })
    }

    fn is_away(&self) -> bool {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < AWAY)
    }

    fn miss(&self) {
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// A request as the client sent it.
pub struct Handover<'a> {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub principal: &'a Principal,
    /// Until the head of the answer.
    pub timeout: Duration,
}

/// Why a request was not answered by another node.
#[derive(Debug)]
pub enum Failed {
    /// The node is not there: not a byte was sent, and what it held is gone with it.
    Gone,
    /// It may have done what it was asked for, or may not.
    Broken(GatewayError),
}

impl Members {
    /// Sends a request to the node that can answer it.
    ///
    /// # Errors
    /// As [`Failed`].
    pub async fn forward(&self, to: NodeTag, request: Handover<'_>) -> Result<Response<Streamed>, Failed> {
        let Some(member) = self.list.get(to).filter(|member| !member.way.is_away()) else {
            Self::count(&self.counts.unreachable);
            return Err(Failed::Gone);
        };
        let name = member.name();
        let place = member.way.room.clone().try_acquire_owned().map_err(|_| {
            let text = format!("{FORWARDS_MAX} requests wait for node {name} already; try again later");
            Failed::Broken(GatewayError::new(ErrorKind::Limit, text))
        })?;
        let timeout = request.timeout;
        let sending = std::pin::pin!(member.way.direct.send(self.marked(to, request)));
        let sent = tokio::time::timeout(timeout, sending).await;
        match sent {
            Ok(Ok(answer)) if answer.status().as_u16() == 421 => {
                tracing::warn!(
                    node = name,
                    "another node refuses the requests of this one: are they of one control plane, and their clocks right?"
                );
                Err(Failed::Broken(GatewayError::closed(format!(
                    "node {name} does not take requests of this node: are they of one control plane, and their clocks right?"
                ))))
            }
            Ok(Ok(answer)) => {
                Self::count(&self.counts.forwarded);
                Ok(answer.map(|body| body.holding(Some(place))))
            }
            Ok(Err(SendError::Unreachable(error))) => {
                Self::count(&self.counts.unreachable);
                member.way.miss();
                tracing::debug!(node = name, error = %error.chain(), "another node is not there");
                Err(Failed::Gone)
            }
            Ok(Err(SendError::Broken(error))) => {
                let text =
                    format!("node {name} broke off before it answered: whether the call ran is unknown");
                Err(Failed::Broken(GatewayError::closed(text).with_source(error)))
            }
            Err(_) => {
                let text = format!("node {name} did not answer within {} ms", timeout.as_millis());
                Err(Failed::Broken(GatewayError::timeout(text)))
            }
        }
    }

    fn marked(&self, to: NodeTag, request: Handover<'_>) -> Request<Full<Bytes>> {
        let Handover { method, uri, mut headers, body, principal, .. } = request;
        for name in OF_THE_HOP {
            headers.remove(name);
        }
        let ring = self.keys.ring();
        let mark = hop::mark(ring.active(), (&method, &uri), to, principal, &body);
        headers.insert(&hop::HEADER, mark);
        let mut marked = Request::new(Full::new(body));
        (*marked.method_mut(), *marked.uri_mut(), *marked.headers_mut()) = (method, uri, headers);
        marked
    }
}
