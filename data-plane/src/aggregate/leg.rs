//! [`Leg`]: the part of a legacy client's session that belongs to one backend: a session of its own there,
//! opened when it is first needed. Calls wait until it is open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::aggregate::list;
use omcp_mcp::aggregate::message::Passage;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use tokio::sync::watch;

use super::asks::Asks;
use super::names::Names;
use super::opening::{self, Hello, Opened};
use crate::backends::Served;
use crate::backends::lane::{Event, Sink};
use crate::failure;
use crate::session::link::Link;

/// Calls that wait until a backend has shaken hands.
const WAITING_MAX: usize = 64;

pub struct Leg {
    served: Arc<Served>,
    asks: Arc<Asks<Leg>>,
    names: Arc<Names>,
    state: Mutex<State>,
    closed: watch::Sender<bool>,
    this: Weak<Leg>,
}

enum State {
    Opening(Vec<Call>),
    Open {
        opened: Opened,
        /// The session's numbers of calls in flight -> the link's.
        placed: HashMap<u64, u64>,
    },
    Ended,
}

/// A call of the client, addressed to this backend.
pub struct Call {
    /// The session's number for it.
    pub number: u64,
    pub request: McpMessage,
    pub can_be_asked: bool,
    pub client: Arc<dyn Sink>,
}

impl Leg {
    /// Begins to open it. What belongs to no call goes to `general`.
    pub fn open(
        served: Arc<Served>,
        hello: Arc<Hello>,
        asks: Arc<Asks<Leg>>,
        names: Arc<Names>,
        general: Arc<dyn Sink>,
    ) -> Arc<Self> {
        let leg = Arc::new_cyclic(|this| Self {
            served,
            asks,
            names,
            state: Mutex::new(State::Opening(Vec::new())),
            closed: watch::Sender::new(false),
            this: this.clone(),
        });
        let unasked = Arc::new(Unasked { leg: leg.this.clone(), client: general });
        tokio::spawn(live(leg.clone(), hello, unasked));
        leg
    }

    /// Whether calls to `current`, which serves its backend now, may go over it.
    pub fn serves(&self, current: &Arc<Served>) -> bool {
        let open = match &*self.lock() {
            State::Opening(_) => true,
            State::Open { opened, .. } => opened.link.is_open(),
            State::Ended => false,
        };
        open && Arc::ptr_eq(&self.served, current)
    }

    /// Starts a call.
    ///
    /// # Errors
    /// `Limit` if too many wait or are in flight, `Closed` if it has ended.
    pub fn call(&self, call: Call) -> Result<(), GatewayError> {
        match &mut *self.lock() {
            State::Opening(waiting) if waiting.len() >= WAITING_MAX => {
                let context =
                    format!("{WAITING_MAX} calls of this session wait for the backend to start already");
                Err(GatewayError::new(ErrorKind::Limit, context))
            }
            State::Opening(waiting) => {
                waiting.push(call);
                Ok(())
            }
            State::Open { opened, placed } => self.place(call, opened, placed),
            State::Ended => Err(GatewayError::closed("the session with the backend has ended")),
        }
    }

    /// Gives a call up. False if it is none of this leg's.
    pub fn cancel(&self, number: u64) -> bool {
        let mut state = self.lock();
        match &mut *state {
            State::Opening(waiting) => {
                let Some(at) = waiting.iter().position(|call| call.number == number) else { return false };
                let call = waiting.remove(at);
                drop(state);
                call.client.event(Event::Cancelled);
                true
            }
            State::Open { opened, placed } => match placed.get(&number) {
                Some(minted) => {
                    opened.link.cancel(*minted, "cancelled by the client");
                    true
                }
                None => false,
            },
            State::Ended => false,
        }
    }

    /// Sends a notification or an answer of the client, if it is open.
    pub fn send(&self, message: McpMessage) {
        if let State::Open { opened, .. } = &*self.lock()
            && !opened.is_shared()
            && let Err(error) = opened.link.send(message)
        {
            tracing::debug!(backend = %self.served.name(), error = %error.chain(), "a message could not be forwarded");
        }
    }

    /// Sends a request of the gateway's own, of which the answer tells nothing, if it is open.
    pub fn tell(&self, request: &McpMessage) {
        if let State::Open { opened, .. } = &*self.lock() {
            opened.tell(request, &self.served);
        }
    }

    /// The client hears of changes from now on.
    pub fn listens(&self) {
        if let State::Open { opened, .. } = &*self.lock() {
            opened.link.listens();
        }
    }

    pub fn in_flight(&self) -> usize {
        match &*self.lock() {
            State::Opening(waiting) => waiting.len(),
            State::Open { placed, .. } => placed.len(),
            State::Ended => 0,
        }
    }

    /// Another leg has taken its place: it ends when its last call has.
    pub fn retire(&self) {
        if let State::Open { opened, .. } = &*self.lock()
            && let Link::Lane(lane, _) = &opened.link
            && !opened.is_shared()
        {
            lane.close_when_quiet();
        }
    }

    pub fn close(&self) {
        let before = std::mem::replace(&mut *self.lock(), State::Ended);
        self.closed.send_replace(true);
        match before {
            State::Opening(waiting) => {
                let error = Arc::new(GatewayError::closed("the session has ended"));
                waiting.iter().for_each(|call| self.lose(call, &error));
            }
            State::Open { opened, placed } if opened.is_shared() => {
                placed.values().for_each(|minted| opened.link.cancel(*minted, "the session ended"));
            }
            State::Open { opened, .. } => opened.link.close(),
            State::Ended => {}
        }
    }

    fn place(&self, call: Call, opened: &Opened, placed: &mut HashMap<u64, u64>) -> Result<(), GatewayError> {
        let Call { number, request, can_be_asked, client } = call;
        let heard = Arc::new(Heard::new(self, number, &request, client));
        let timeout = self.served.runtime().call_timeout();
        placed.insert(number, opened.link.call(&request, timeout, can_be_asked, heard)?);
        Ok(())
    }

    fn lose(&self, call: &Call, error: &Arc<GatewayError>) {
        let heard = Heard::new(self, call.number, &call.request, call.client.clone());
        heard.client.event(heard.failure(error));
    }

    /// It is open: what waited goes on.
    fn opened(&self, opened: Opened) -> bool {
        let mut state = self.lock();
        let State::Opening(waiting) = &mut *state else {
            return false;
        };
        let waiting = std::mem::take(waiting);
        let mut placed = HashMap::new();
        let mut refused = Vec::new();
        for call in waiting {
            let (number, request, client) = (call.number, call.request.clone(), call.client.clone());
            if let Err(error) = self.place(call, &opened, &mut placed) {
                refused.push((Call { number, request, can_be_asked: false, client }, Arc::new(error)));
            }
        }
        *state = State::Open { opened, placed };
        drop(state);
        refused.iter().for_each(|(call, error)| self.lose(call, error));
        true
    }

    /// It could not be opened.
    fn failed(&self, error: GatewayError) {
        let State::Opening(waiting) = std::mem::replace(&mut *self.lock(), State::Ended) else {
            return;
        };
        self.served.note_failure(&error);
        let error = Arc::new(error);
        waiting.iter().for_each(|call| self.lose(call, &error));
    }

    fn forget(&self, number: u64) {
        if let State::Open { placed, .. } = &mut *self.lock() {
            placed.remove(&number);
        }
    }

    /// A message of the backend as the client gets it; `None` if it gets none.
    fn translate(&self, message: McpMessage, method: &str) -> Option<McpMessage> {
        let passage = Passage { backend: self.served.name().as_str(), method, tasks: &*self.names };
        match (message.envelope().kind(), message.method()) {
            (Kind::Request, _) => Some(self.asks.ask(self.this.clone(), passage, &message)),
            (Kind::Notification, Some(methods::CANCELLED)) => self.asks.withdrawn(&self.this, &message),
            (Kind::Notification, Some(changed)) if list::is_change(changed) => {
                // The client hears of it when it is known what there is now.
                self.served.list_later();
                None
            }
            _ => Some(match passage.message(Message::new(message.bytes(), message.envelope())) {
                Some(bytes) => McpMessage::trusted(bytes),
                None => message,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens it, and keeps it until it ends.
async fn live(leg: Arc<Leg>, hello: Arc<Hello>, unasked: Arc<dyn Sink>) {
    let mut closed = leg.closed.subscribe();
    let end = async { drop(closed.wait_for(|closed| *closed).await) };
    let served = leg.served.clone();
    let work = async {
        let opened = match opening::open(&served, &hello, unasked).await {
            Ok(opened) => opened,
            Err(error) => return leg.failed(error),
        };
        served.note_success();
        let link = opened.link.clone();
        if !leg.opened(opened) {
            return link.close();
        }
        tokio::select! {
            () = link.closed() => {}
            () = served.wait_closed() => leg.close(),
        }
    };
    tokio::select! {
        () = work => {}
        () = end => {}
    }
}

/// The events of one call.
struct Heard {
    leg: Weak<Leg>,
    number: u64,
    backend: String,
    method: String,
    id: Bytes,
    client: Arc<dyn Sink>,
}

impl Heard {
    fn new(leg: &Leg, number: u64, request: &McpMessage, client: Arc<dyn Sink>) -> Self {
        let id = request.envelope().id_range().map(|at| request.bytes().slice(at)).unwrap_or_default();
        let method = request.method().unwrap_or_default().to_owned();
        let backend = leg.served.name().as_str().to_owned();
        Self { leg: leg.this.clone(), number, backend, method, id, client }
    }

    /// Said here, because only here it is known whose failure it is.
    fn failure(&self, error: &GatewayError) -> Event {
        Event::Final(McpMessage::trusted(failure::message(&self.id, &self.backend, error).into()))
    }
}

impl Sink for Heard {
    fn event(&self, event: Event) -> bool {
        let Some(leg) = self.leg.upgrade() else {
            let error = GatewayError::closed("the session has ended");
            return if event.is_last() { self.client.event(self.failure(&error)) } else { true };
        };
        if event.is_last() {
            leg.forget(self.number);
        }
        let event = match event {
            Event::Message(message) => match leg.translate(message, &self.method) {
                Some(message) => Event::Message(message),
                None => return true,
            },
            Event::Final(message) => match leg.translate(message, &self.method) {
                Some(message) => Event::Final(message),
                None => return true,
            },
            Event::Lost(error) | Event::Unsent(error) => self.failure(&error),
            Event::Cancelled => Event::Cancelled,
        };
        self.client.event(event)
    }
}

/// What the backend says on its own account.
struct Unasked {
    leg: Weak<Leg>,
    client: Arc<dyn Sink>,
}

impl Sink for Unasked {
    fn event(&self, event: Event) -> bool {
        // The end of one leg is not the end of the session.
        if let (Event::Message(message), Some(leg)) = (event, self.leg.upgrade())
            && let Some(message) = leg.translate(message, "")
        {
            self.client.event(Event::Message(message));
        }
        true
    }
}
