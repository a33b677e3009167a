//! `/sse/<backend>` and `/sse`: HTTP+SSE for clients of 2024-11-05. One stream is one session; what the client
//! posts beside it is answered on the stream.

mod outlet;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use hyper::body::Incoming;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::Refusal;
use omcp_mcp::revision::{Era, Revision};

use super::arrived::Said;
use super::body::{self, Body};
use super::forward::Forward;
use super::{Front, bridge_legacy, random_id, relay_legacy, reply};
use crate::aggregate::Selection;
use crate::aggregate::session::AggregateSession;
use crate::backends::bridge::principal::Principal;
use crate::backends::lane::{Event, Inbox, Labels, Lane, Sink};
use crate::backends::slots::Opened;
use crate::backends::{Served, SessionGuard, SharedLegacy};
use crate::clients::Client as ClientAddress;
use crate::failure;
use crate::members::hop::Hop;
use crate::session::Room;
use crate::session::home::Home;
use crate::session::levels::Levels;
use crate::session::link::Link;

/// The open streams of this node.
#[derive(Default)]
pub struct SseClients {
    clients: Arc<Mutex<HashMap<String, Arc<Client>>>>,
}

/// The client's request ids -> ours, while they are in flight.
type Calls = Arc<Mutex<HashMap<Bytes, u64>>>;

/// One connected client.
struct Client {
    home: Home,
    principal: Principal,
    link: Link,
    /// The connection is not its own.
    shared: Option<Arc<SharedLegacy>>,
    /// Everything for the client, whichever call it belongs to, already in the client's words.
    out: Arc<Inbox>,
    calls: Calls,
    _counted: Option<SessionGuard>,
    _room: Room,
}

/// GET: opens the stream. Its first event names the URL to post to.
pub async fn open(
    front: &Front,
    served: &Arc<Served>,
    address: &Arc<ClientAddress>,
    principal: &Principal,
) -> Response<Body> {
    match connect(front, served, address, principal).await {
        Ok((id, client)) => begin(front, id, &client, &format!("/sse/{}/message", served.name())),
        Err(error) => {
            served.note_failure(&error);
            reply::unavailable(&error)
        }
    }
}

/// GET at `/sse`: the same, with all backends, or with those that are selected.
pub fn open_aggregate(
    front: &Front,
    selection: Selection,
    address: &Arc<ClientAddress>,
    principal: &Principal,
) -> Response<Body> {
    let opened = front.sessions.room(address).and_then(|room| {
        // What a client posts does not repeat what it has selected.
        Ok((room, front.new_session(Selection::ALL, principal, Revision::V2024_11_05, b"")?))
    });
    let (room, handle) = match opened {
        Ok(opened) => opened,
        Err(error) => return reply::unavailable(&error),
    };
    let out = Inbox::new();
    let home = Home::Aggregate(selection.to_string().into());
    let names = Arc::new(front.names(&selection, principal));
    let (views, seals) = (front.views.clone(), front.task_seals(principal));
    let session = AggregateSession::start(views, selection, seals, names, random_id(), out.clone());
    let client = Client::new(home, handle.principal, Link::Aggregate(session), None, out, room);
    begin(front, handle.id, &client, "/sse")
}

/// The stream of a client, which posts to `path`.
fn begin(front: &Front, id: String, client: &Arc<Client>, path: &str) -> Response<Body> {
    let endpoint = format!("{path}?sessionId={id}");
    let entry = front.sse_clients.insert(id, client.clone());
    let over = outlet::over(client.home.clone(), client.link.clone());
    let out = client.out.clone();
    reply::event_stream(outlet::stream(out, &endpoint, front.config.keep_alive, over, entry))
}

async fn connect(
    front: &Front,
    served: &Arc<Served>,
    address: &Arc<ClientAddress>,
    principal: &Principal,
) -> Result<(String, Arc<Client>), GatewayError> {
    let handle = front.new_session(served.name().as_str(), principal, Revision::V2024_11_05, b"")?;
    let room = front.sessions.room(address)?;
    let out = Inbox::new();
    let (link, shared) = link(front, served, principal, &out).await?;
    Ok((handle.id, Client::new(served.clone().into(), handle.principal, link, shared, out, room)))
}

/// What the client speaks with: a bridge to the other era, the connection that its circle shares, or one of its
/// own.
async fn link(
    front: &Front,
    served: &Arc<Served>,
    principal: &Principal,
    out: &Arc<Inbox>,
) -> Result<(Link, Option<Arc<SharedLegacy>>), GatewayError> {
    let eras = served.ready().await?;
    if !served.shakes_hands(eras).await {
        let bridge = bridge_legacy::bridge(front, served, principal, out.clone()).await?;
        // What the server says between calls has nowhere else to go than this one stream.
        bridge.listens();
        return Ok((Link::Bridge(bridge), None));
    }
    if let Some(circle) = served.circle(principal) {
        let shared = served.shared_legacy(circle, relay_legacy::HANDSHAKE_TIMEOUT).await?;
        let listener: Arc<dyn Sink> = out.clone();
        shared.listen(&listener);
        return Ok((Link::Lane(shared.lane().clone(), Levels::default()), Some(shared)));
    }
    let Opened { connection, slot } = served.session_connection().await?;
    let levels = Levels::default();
    let mut options = served.lane_options(Era::Legacy, slot);
    options.unsolicited = Some(levels.overhearing(out.clone()));
    Ok((Link::Lane(Lane::start(connection, options), levels), None))
}

/// POST beside the stream: 202, and the answer travels on the stream.
pub async fn post(
    front: &Front,
    backend: Option<&str>,
    parts: &Parts,
    said: &Said,
    body: &mut Incoming,
) -> Response<Body> {
    receive(front, backend, parts, said, body).await.unwrap_or_else(|refusal| reply::refusal(&refusal))
}

async fn receive(
    front: &Front,
    backend: Option<&str>,
    parts: &Parts,
    said: &Said,
    body: &mut Incoming,
) -> Result<Response<Body>, Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::method_not_allowed("POST"));
    }
    let id = session_id(parts.uri.query().unwrap_or("")).ok_or_else(Refusal::session_required)?;
    let (principal, hop) = (super::principal(parts), parts.extensions.get::<Hop>());
    let endpoint = backend.unwrap_or(Selection::ALL);
    let client = front.sse_clients.get(id).filter(|client| client.is_of(backend, &principal));
    let owner = match &client {
        Some(_) => None,
        None => front.owner_of(endpoint, &principal, id).filter(|_| hop.is_none()),
    };
    if client.is_none() && owner.is_none() {
        return Err(Refusal::session_not_found());
    }
    if !said.is_json {
        return Err(Refusal::unsupported_media_type());
    }
    let bytes = body::read(said, body, &front.config).await?;
    hop.map_or(Ok(()), |hop| hop.check_body(&bytes))?;
    if let Some(owner) = owner {
        let request = Forward {
            front,
            backend: endpoint,
            principal: &principal,
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            body: &bytes,
            // It is answered on the stream.
            call_max: Duration::ZERO,
        };
        return request.to(owner).await.ok_or_else(Refusal::session_not_found);
    }
    let message = McpMessage::parse(bytes.clone()).map_err(|error| Refusal::not_a_message(&error, &bytes))?;
    if let Some(client) = client {
        client.take(message);
    }
    Ok(reply::accepted())
}

fn session_id(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("sessionId="))
}

impl Client {
    fn new(
        home: Home,
        principal: Principal,
        link: Link,
        shared: Option<Arc<SharedLegacy>>,
        out: Arc<Inbox>,
        room: Room,
    ) -> Arc<Self> {
        let counted = home.track_session(link.pid());
        let calls = Arc::default();
        Arc::new(Self { home, principal, link, shared, out, calls, _counted: counted, _room: room })
    }

    /// What belongs to no call has nowhere else to go than this one stream.
    fn listens(&self, message: &McpMessage) {
        if message.is_method(methods::INITIALIZED) {
            self.link.listens();
        }
    }

    fn is_of(&self, backend: Option<&str>, principal: &Principal) -> bool {
        self.home.backend() == backend && self.principal == *principal
    }

    fn take(&self, message: McpMessage) {
        match message.envelope().kind() {
            Kind::Request => self.request(&message),
            Kind::Notification if message.is_method(methods::CANCELLED) => self.cancel(&message),
            // Their server has been told what it is to know, and asks nothing.
            _ if self.shared.is_some() => {}
            _ => {
                self.listens(&message);
                if let Err(error) = self.link.send(message) {
                    tracing::debug!(error = %error.chain(), "a message could not be forwarded");
                }
            }
        }
    }

    fn request(&self, message: &McpMessage) {
        let Some(labels) = Labels::of(message) else { return };
        if let Some(answer) = self.answer_here(message, &labels) {
            self.out.event(Event::Message(McpMessage::trusted(answer)));
            return;
        }
        let client_id = Bytes::copy_from_slice(labels.id());
        let backend = self.home.name().to_owned();
        let lost = labels.clone();
        let calls = self.calls.clone();
        let sink = Arc::new(Translated { backend, labels, out: self.out.clone(), calls });
        // Locked until the call is listed: its answer takes it off the list.
        let mut calls = self.lock();
        match self.link.call(message, self.home.call_timeout(), true, sink) {
            Ok(minted) => {
                calls.insert(client_id, minted);
            }
            Err(error) => {
                drop(calls);
                let answer = failure::message(lost.id(), self.home.name(), &error);
                self.out.event(Event::Message(McpMessage::trusted(answer.into())));
            }
        }
    }

    /// The gateway's own answer; that of a shared server to the handshake was given before.
    fn answer_here(&self, request: &McpMessage, labels: &Labels) -> Option<Bytes> {
        match (&self.shared, request.method()) {
            (Some(shared), Some(methods::INITIALIZE)) => Some(self.shake_hands(shared, request, labels)),
            (shared, _) => relay_legacy::answer_here(shared.is_some(), labels, request),
        }
    }

    fn shake_hands(&self, shared: &SharedLegacy, request: &McpMessage, labels: &Labels) -> Bytes {
        let Some((answer, agreement)) = shared.answer_to(request) else {
            return labels.restore_response(shared.answer());
        };
        if let Link::Lane(lane, levels) = &self.link {
            levels.agree(agreement, lane);
        }
        labels.restore_response(&answer)
    }

    fn cancel(&self, message: &McpMessage) {
        let id = message.envelope().request_id_param(message.bytes());
        if let Some(minted) = id.and_then(|id| self.lock().remove(id)) {
            self.link.cancel(minted, "cancelled by the client");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, u64>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.shared.is_none() {
            return self.link.close();
        }
        let calls: Vec<u64> = self.lock().drain().map(|(_, minted)| minted).collect();
        calls.into_iter().for_each(|minted| self.link.cancel(minted, "the session ended"));
    }
}

/// The events of one call, put into the client's words and onto its one stream.
struct Translated {
    backend: String,
    labels: Labels,
    out: Arc<Inbox>,
    calls: Calls,
}

impl Sink for Translated {
    fn event(&self, event: Event) -> bool {
        if event.is_last() {
            self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(self.labels.id());
        }
        let message = match event {
            Event::Message(message) => self.labels.restore_notification(&message),
            Event::Final(message) => self.labels.restore_response(&message),
            Event::Lost(error) | Event::Unsent(error) => {
                failure::message(self.labels.id(), &self.backend, &error).into()
            }
            Event::Cancelled => return true,
        };
        let taken = self.out.event(Event::Message(McpMessage::trusted(message)));
        if !taken {
            // A client that does not read its stream would wait for this for ever: it has to start anew.
            self.out.event(Event::Cancelled);
        }
        taken
    }
}

impl SseClients {
    fn insert(&self, id: String, client: Arc<Client>) -> Entry {
        self.lock().insert(id.clone(), client);
        Entry { id, clients: self.clients.clone() }
    }

    fn get(&self, id: &str) -> Option<Arc<Client>> {
        self.lock().get(id).cloned()
    }

    /// Ends each stream when its last call has ended: the node stops.
    pub fn end_when_quiet(&self) {
        self.lock().values().for_each(|client| client.link.close_when_quiet());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client is listed as long as its stream lives.
struct Entry {
    id: String,
    clients: Arc<Mutex<HashMap<String, Arc<Client>>>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
