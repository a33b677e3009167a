//! `/sse/<backend>`: HTTP+SSE for clients of 2024-11-05. One stream is one session; what the client
//! posts beside it is answered on the stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use http::{Method, Response};
use hyper::body::Incoming;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::Refusal;
use omcp_mcp::revision::Era;
use omcp_mcp::sse;

use super::body::{self, Body, Events};
use super::{Front, bridge_legacy, events, headers, relay_legacy, reply};
use crate::backends::lane::{Event, Inbox, Labels, Lane, Sink};
use crate::backends::slots::Opened;
use crate::backends::{Served, SessionGuard};
use crate::clients::Client as ClientAddress;
use crate::failure;
use crate::session::Room;
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
    served: Arc<Served>,
    link: Link,
    /// Everything for the client, whichever call it belongs to, already in the client's words.
    out: Arc<Inbox>,
    calls: Calls,
    _counted: SessionGuard,
    _room: Room,
}

/// GET: opens the stream. Its first event names the URL to post to.
pub async fn open(front: &Front, served: &Arc<Served>, address: &Arc<ClientAddress>) -> Response<Body> {
    match connect(front, served, address).await {
        Ok(client) => {
            let id = front.new_session_id();
            let endpoint = format!("/sse/{}/message?sessionId={id}", served.name());
            let entry = front.sse_clients.insert(id, client.clone());
            end_with_definition(&client);
            reply::event_stream(stream_of(client.out.clone(), endpoint, front.config.keep_alive, entry))
        }
        Err(error) => {
            served.note_failure(&error);
            reply::unavailable(&error)
        }
    }
}

/// A client goes on with a replaced definition until its time to drain is over.
fn end_with_definition(client: &Arc<Client>) {
    let (served, link) = (client.served.clone(), client.link.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = served.wait_closed() => link.close(),
            () = link.closed() => {}
        }
    });
}

async fn connect(
    front: &Front,
    served: &Arc<Served>,
    address: &Arc<ClientAddress>,
) -> Result<Arc<Client>, GatewayError> {
    let room = front.sessions.room(address)?;
    let eras = served.ready().await?;
    let out = Inbox::new();
    let link = if served.speaks_legacy(eras) == Some(false) {
        let bridge = bridge_legacy::bridge(served, out.clone()).await?;
        // What the server says between calls has nowhere else to go than this one stream.
        bridge.listens();
        Link::Bridge(bridge)
    } else {
        let Opened { connection, slot } = served.open_connection().await?;
        let mut options = served.lane_options(Era::Legacy, slot);
        options.unsolicited = Some(out.clone());
        Link::Lane(Lane::start(connection, options))
    };
    let counted = served.track_session(link.pid());
    Ok(Arc::new(Client {
        served: served.clone(),
        link,
        out,
        calls: Arc::default(),
        _counted: counted,
        _room: room,
    }))
}

fn stream_of(out: Arc<Inbox>, endpoint: String, keep_alive: Duration, entry: Entry) -> Events {
    let first = Bytes::from(format!("event: endpoint\ndata: {endpoint}\n\n"));
    let state = (Some(first), out, false, entry);
    Box::pin(stream::unfold(state, move |(first, out, ended, entry)| async move {
        if ended {
            return None;
        }
        if let Some(first) = first {
            return Some((first, (None, out, false, entry)));
        }
        match tokio::time::timeout(keep_alive, out.next()).await {
            Err(_) => Some((Bytes::from_static(sse::COMMENT_KEEPALIVE), (None, out, false, entry))),
            Ok(Event::Message(message) | Event::Final(message)) => {
                Some((events::encode(message.bytes()), (None, out, false, entry)))
            }
            Ok(Event::Lost(_) | Event::Unsent(_) | Event::Cancelled) => None,
        }
    }))
}

/// POST beside the stream: 202, and the answer travels on the stream.
pub async fn post(front: &Front, backend: &str, parts: &Parts, body: &mut Incoming) -> Response<Body> {
    match receive(front, backend, parts, body).await {
        Ok(()) => reply::accepted(),
        Err(refusal) => reply::refusal(&refusal),
    }
}

async fn receive(front: &Front, backend: &str, parts: &Parts, body: &mut Incoming) -> Result<(), Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::method_not_allowed("POST"));
    }
    let id = session_id(parts.uri.query().unwrap_or("")).ok_or_else(Refusal::session_required)?;
    let client = front.sse_clients.get(id).filter(|client| client.served.name().as_str() == backend);
    let client = client.ok_or_else(Refusal::session_not_found)?;
    if !headers::is_json(&parts.headers) {
        return Err(Refusal::unsupported_media_type());
    }
    let bytes = body::read(&parts.headers, body, &front.config).await?;
    let message = McpMessage::parse(bytes.clone()).map_err(|error| Refusal::not_a_message(&error, &bytes))?;
    client.take(message);
    Ok(())
}

fn session_id(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("sessionId="))
}

impl Client {
    fn take(&self, message: McpMessage) {
        match message.envelope().kind() {
            Kind::Request => self.request(&message),
            Kind::Notification if message.method() == Some(methods::CANCELLED) => self.cancel(&message),
            _ => {
                if let Err(error) = self.link.send(message) {
                    tracing::debug!(error = %error.chain(), "a message could not be forwarded");
                }
            }
        }
    }

    fn request(&self, message: &McpMessage) {
        let Some(labels) = Labels::of(message) else { return };
        if message.method() == Some(methods::PING) {
            self.out.event(Event::Message(McpMessage::trusted(relay_legacy::pong(labels.id()))));
            return;
        }
        let client_id = Bytes::copy_from_slice(labels.id());
        let backend = self.served.name().as_str().to_owned();
        let lost = labels.clone();
        let calls = self.calls.clone();
        let sink = Arc::new(Translated { backend, labels, out: self.out.clone(), calls });
        // Locked until the call is listed: its answer takes it off the list.
        let mut calls = self.lock();
        match self.link.call(message, self.served.runtime().call_timeout(), true, sink) {
            Ok(minted) => {
                calls.insert(client_id, minted);
            }
            Err(error) => {
                drop(calls);
                let answer = failure::message(lost.id(), self.served.name().as_str(), &error);
                self.out.event(Event::Message(McpMessage::trusted(answer.into())));
            }
        }
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
        self.link.close();
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
