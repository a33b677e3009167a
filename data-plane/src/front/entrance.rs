//! [`Entrance`]: where the requests of one connection come in.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use omcp_mcp::refusal::Refusal;

use super::arrived::Arrived;
use super::body::Body;
use super::{Front, reply};
use crate::clients::{Client, Held, Holding};
use crate::members::hop::{self, Hop};

/// What every connection talks to.
pub type Door = Arc<Entrance>;

/// Tells requests of clients, which the guard looks at, from those that another node hands over: there the guard
/// has seen them, and no limit of a client counts.
pub struct Entrance {
    front: Arc<Front>,
    client: Arc<Client>,
    /// The connection, as long as it is a client's.
    held: Mutex<Option<Held>>,
}

impl Entrance {
    pub fn new(front: Arc<Front>, client: Arc<Client>, held: Held) -> Door {
        Arc::new(Self { front, client, held: Mutex::new(Some(held)) })
    }

    /// The request of a client.
    fn answer(&self, request: Box<Arrived>) -> Answer {
        if let Err(refusal) = self.front.trust.check(&request.parts.uri, &request.said) {
            return refused(&refusal);
        }
        let (front, client) = (self.front.clone(), self.client.clone());
        Box::pin(async move {
            let Some(_call) = client.hold(Holding::Call) else {
                return Ok(reply::too_many("your address has as many calls in flight as it may"));
            };
            Ok(held(front.answer(request, &client).await, &client))
        })
    }

    /// One that another node hands over.
    fn hand_over(&self, mut request: Box<Arrived>, hop: Hop) -> Answer {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        request.parts.headers.remove(&hop::HEADER);
        request.parts.extensions.insert(hop);
        let (front, client) = (self.front.clone(), self.client.clone());
        Box::pin(async move { Ok(front.answer(request, &client).await) })
    }
}

/// An answer to come.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<Incoming>> for Entrance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = Arrived::new(request);
        let Some(mark) = request.said.hop.first() else { return self.answer(request) };
        match self.front.members.hop(&request.parts.method, &request.parts.uri, mark) {
            Ok(hop) => self.hand_over(request, hop),
            Err(refusal) => refused(&refusal),
        }
    }
}

#[cold]
fn refused(refusal: &Refusal) -> Answer {
    Box::pin(ready(Ok(reply::refusal(refusal))))
}

/// Counts a stream of the client until it ends.
fn held(response: Response<Body>, client: &Arc<Client>) -> Response<Body> {
    if !matches!(response.body(), Body::Events(_)) {
        return response;
    }
    let Some(held) = client.hold(Holding::Stream) else {
        return reply::too_many("your address has as many streams open as it may");
    };
    response.map(|body| match body {
        Body::Events(events) => Body::Events(Box::pin(events.inspect(move |_| _ = &held))),
        body => body,
    })
}
