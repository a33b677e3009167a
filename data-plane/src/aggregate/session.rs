//! [`AggregateSession`]: one legacy client with all backends of an endpoint. The handshake, the lists and the
//! log level are the gateway's own; whatever concerns one backend goes over its leg.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use omcp_core::{BackendName, GatewayError, McpMessage};
use omcp_mcp::aggregate::address::Address;
use omcp_mcp::aggregate::list::List;
use omcp_mcp::bridge::downlevel;
use omcp_mcp::bridge::level::Level;
use omcp_mcp::bridge::message::{Message, Owned};
use omcp_mcp::bridge::server::negotiated;
use omcp_mcp::envelope::Kind;
use omcp_mcp::refusal::{code, error_response};
use omcp_mcp::revision::{Era, Revision};
use omcp_mcp::{compose, json, methods};
use tokio::sync::watch;

use super::asks::Asks;
use super::leg::{Call, Leg};
use super::names::Names;
use super::opening::Hello;
use super::selection::Selection;
use super::view::View;
use super::views::Views;
use super::{changes, lists, refusals};
use crate::backends::Served;
use crate::backends::lane::{Event, Sink};
use crate::failure;
use crate::members::task_seals::TaskSeals;
use crate::session::link::Aggregated;

pub struct AggregateSession {
    views: Arc<Views>,
    selection: Selection,
    seals: TaskSeals,
    names: Arc<Names>,
    /// Known once it has shaken hands.
    hello: OnceLock<Arc<Hello>>,
    secret: String,
    legs: Mutex<HashMap<BackendName, Arc<Leg>>>,
    asks: Arc<Asks<Leg>>,
    /// Takes what belongs to no request of the client.
    general: Arc<dyn Sink>,
    next: AtomicU64,
    ended: watch::Sender<bool>,
    this: Weak<AggregateSession>,
}

impl AggregateSession {
    /// A session that waits for its client's `initialize`. `secret` is 128 random bits: who knows the id of a
    /// question may answer it.
    pub fn start(
        views: Arc<Views>,
        selection: Selection,
        seals: TaskSeals,
        names: Arc<Names>,
        secret: String,
        general: Arc<dyn Sink>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            views,
            selection,
            seals,
            names,
            hello: OnceLock::new(),
            secret: secret.clone(),
            legs: Mutex::default(),
            asks: Arc::new(Asks::new(secret)),
            general,
            next: AtomicU64::new(1),
            ended: watch::Sender::new(false),
            this: this.clone(),
        })
    }

    /// The client's handshake, answered from what is known of the backends: it waits for none of them.
    pub fn initialize(&self, request: &McpMessage) -> Bytes {
        let message = Message::new(request.bytes(), request.envelope());
        let revision = negotiated(message);
        let hello = Arc::new(Hello::new(request, revision, self.seals.clone(), self.secret.clone()));
        if self.hello.set(hello).is_err() {
            let text = "the session is initialized already";
            return error_response(&message.id(), code::INVALID_REQUEST, text, None).into();
        }
        let result = self.view().statement(Era::Legacy).handshake(&super::info(), revision);
        compose::response(&message.id(), result.to_string().as_bytes()).into()
    }

    /// The revision that was agreed on.
    pub fn revision(&self) -> Revision {
        self.hello.get().map_or(Revision::LATEST_LEGACY, |hello| hello.revision)
    }

    /// The answer that is the gateway's own, or what goes to one backend.
    fn route(&self, request: &McpMessage, message: Message<'_>) -> Route {
        let id = message.id();
        match (message.method(), self.hello.get()) {
            (methods::PING, _) => Route::here(compose::response(&id, b"{}")),
            (methods::INITIALIZE, _) => Route::Here(self.initialize(request)),
            (_, None) => {
                let text = "the session is not initialized";
                Route::here(error_response(&id, code::INVALID_REQUEST, text, None))
            }
            (methods::LOGGING_SET_LEVEL, Some(hello)) => Route::here(self.set_level(hello, request, message)),
            (method, _) if List::of_method(method).is_some() => {
                let list = List::of_method(method).unwrap_or(List::Tools);
                let (view, handles) = (self.view(), self.names.handles());
                let answer = lists::answer(&self.views, &view, list, message, Era::Legacy, handles);
                Route::Here(readable(answer, list, self.revision()))
            }
            (method, _) => match Address::of(message) {
                Some(address) => self.addressed(message, &address),
                None => self.unaddressed(request, message, method),
            },
        }
    }

    fn addressed(&self, message: Message<'_>, address: &Address) -> Route {
        let view = self.view();
        let (backend, original) = match self.names.owner(&view, address) {
            Ok(owner) => owner,
            Err(why) => return Route::Here(refusals::unowned(message, address, why, Era::Legacy)),
        };
        let request = McpMessage::trusted(address.readdress(message, &original));
        self.to(backend, message, request)
    }

    /// A method that is about nothing of ours: perhaps of the only backend that has extensions.
    fn unaddressed(&self, request: &McpMessage, message: Message<'_>, method: &str) -> Route {
        if refusals::is_known(method) {
            return Route::Here(refusals::malformed(message));
        }
        if methods::is_modern_only(method) {
            return Route::Here(refusals::no_such_method(message));
        }
        let view = self.view();
        match view.extended() {
            Some(backend) => self.to(backend, message, request.clone()),
            None => Route::Here(refusals::no_such_method(message)),
        }
    }

    fn to(&self, backend: &BackendName, message: Message<'_>, request: McpMessage) -> Route {
        match self.views.served(backend.as_str()) {
            Some(served) => Route::There(served, request),
            None => Route::Here(refusals::gone(message, backend)),
        }
    }

    fn view(&self) -> Arc<View> {
        self.views.view(&self.selection)
    }

    /// Remembered for legs to come, and told to those that are open.
    fn set_level(&self, hello: &Hello, request: &McpMessage, message: Message<'_>) -> Vec<u8> {
        let level = message.param("level").and_then(json::text);
        if level.and_then(|level| Level::parse(&level)).is_none() {
            return error_response(&message.id(), code::INVALID_PARAMS, "unknown log level", None);
        }
        hello.set_level(request.clone());
        self.lock().values().for_each(|leg| leg.tell(request));
        compose::response(&message.id(), b"{}")
    }

    /// The leg of a backend; a new one if there is none, or if it has ended or belongs to a definition that is
    /// replaced.
    fn leg(&self, served: Arc<Served>) -> Result<Arc<Leg>, GatewayError> {
        let hello = self.hello.get().ok_or_else(|| GatewayError::closed("the session is not initialized"))?;
        let mut legs = self.lock();
        if let Some(leg) = legs.get(served.name()).filter(|leg| leg.serves(&served)) {
            return Ok(leg.clone());
        }
        let name = served.name().clone();
        let (asks, names, general) = (self.asks.clone(), self.names.clone(), self.general.clone());
        let leg = Leg::open(served, hello.clone(), asks, names, general);
        if let Some(old) = legs.insert(name, leg.clone()) {
            old.retire();
        }
        Ok(leg)
    }

    fn notify(&self, notification: &McpMessage) {
        match notification.method() {
            Some(methods::PROGRESS) => {
                if let Some((leg, progress)) = self.asks.progressed(notification) {
                    leg.upgrade().into_iter().for_each(|leg| leg.send(progress.clone()));
                }
            }
            Some(methods::ROOTS_LIST_CHANGED) => {
                self.lock().values().for_each(|leg| leg.send(notification.clone()));
            }
            // The gateway has said so itself, or nobody would know whom it concerns.
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BackendName, Arc<Leg>>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a backend was told in the newest legacy revision; its results come in the client's.
fn readable(answer: Bytes, list: List, client: Revision) -> Bytes {
    let adapted = match Owned::scan(answer.clone()) {
        Ok(message) => downlevel::response(message.lend(), list.method(), client),
        Err(_) => None,
    };
    adapted.unwrap_or(answer)
}

/// Not at once: the caller may hold what the sink needs.
fn answer_later(sink: Arc<dyn Sink>, answer: Bytes) {
    tokio::spawn(async move { sink.event(Event::Final(McpMessage::trusted(answer))) });
}

/// Where a request is answered.
enum Route {
    Here(Bytes),
    There(Arc<Served>, McpMessage),
}

impl Route {
    fn here(answer: Vec<u8>) -> Self {
        Self::Here(answer.into())
    }
}

impl Aggregated for AggregateSession {
    fn call(
        &self,
        request: &McpMessage,
        can_be_asked: bool,
        sink: Arc<dyn Sink>,
    ) -> Result<u64, GatewayError> {
        if *self.ended.borrow() {
            return Err(GatewayError::closed("the session has ended"));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.route(request, Message::new(request.bytes(), request.envelope())) {
            Route::Here(answer) => answer_later(sink, answer),
            Route::There(served, sent) => {
                let backend = served.name().clone();
                let call = Call { number, request: sent, can_be_asked, client: sink.clone() };
                if let Err(error) = self.leg(served).and_then(|leg| leg.call(call)) {
                    let id = request.id().unwrap_or_default();
                    answer_later(sink, failure::message(id, backend.as_str(), &error).into());
                }
            }
        }
        Ok(number)
    }

    fn send(&self, message: McpMessage) {
        match message.envelope().kind() {
            Kind::Response | Kind::Error => {
                if let Some((leg, answer)) = self.asks.answered(&message)
                    && let Some(leg) = leg.upgrade()
                {
                    leg.send(answer);
                }
            }
            _ => self.notify(&message),
        }
    }

    fn cancel(&self, number: u64) {
        let legs: Vec<Arc<Leg>> = self.lock().values().cloned().collect();
        _ = legs.iter().any(|leg| leg.cancel(number));
    }

    fn listens(&self) {
        if !self.hello.get().is_some_and(|hello| hello.listens()) {
            return;
        }
        self.lock().values().for_each(|leg| leg.listens());
        let (views, selection, general) = (self.views.clone(), self.selection.clone(), self.general.clone());
        let mut ended = self.ended.subscribe();
        let this = self.this.clone();
        tokio::spawn(async move {
            let tell = |method: &'static str| {
                let message = McpMessage::trusted(compose::notification(method, None).into());
                this.strong_count() > 0 && general.event(Event::Message(message))
            };
            tokio::select! {
                () = changes::follow(views, selection, tell) => {}
                _ = ended.wait_for(|ended| *ended) => {}
            }
        });
    }

    fn close(&self) {
        self.ended.send_replace(true);
        let legs: Vec<Arc<Leg>> = self.lock().drain().map(|(_, leg)| leg).collect();
        legs.iter().for_each(|leg| leg.close());
    }

    fn is_open(&self) -> bool {
        !*self.ended.borrow()
    }

    fn in_flight(&self) -> usize {
        self.lock().values().map(|leg| leg.in_flight()).sum()
    }

    fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }
}

impl Drop for AggregateSession {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_knows_no_structured_content_sees_no_schema_of_it() {
        let tool = r#"{"name":"t","outputSchema":{"type":"object"}}"#;
        let answer = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tool}]}}}}"#));
        let shown = |client| readable(answer.clone(), List::Tools, client);
        assert_eq!(shown(Revision::V2025_06_18), answer);
        assert_eq!(
            shown(Revision::V2025_03_26),
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"t"}]}}"#
        );
    }
}
