//! The MCP listener: both eras of Streamable HTTP and HTTP+SSE, in front of every backend.
//!
//! - [`config`]: limits and trust
//! - [`guard`]: Host and Origin, before every path
//! - [`route`]: which door a path leads to
//! - [`aggregate`]: `/mcp`: many backends behind one endpoint
//! - [`endpoint`]: `/mcp/<backend>`: classify, admit, choose the mode
//! - [`transparent`]: mode T: bytes through to an HTTP backend ([`passing`], [`event_pipe`], [`hold`], [`owed`] on the way back)
//! - [`relay_modern`], [`relay_legacy`]: mode R: message by message over a lane ([`batch`], [`server_handles`])
//! - [`bridge_modern`], [`bridge_legacy`]: mode X: client and backend are of different eras
//!   ([`request_states`], [`task_ids`], [`task_listens`], [`cursors`], [`kept`])
//! - [`handles`], [`renamings`], [`forward`], [`reopen`]: what clients carry, requests that another node has to
//!   answer, and sessions whose node is gone
//! - [`sse_client`]: `/sse/<backend>`: clients of 2024-11-05
//! - [`arrived`], [`body`], [`headers`], [`events`], [`reply`]: what these are made of
//! - [`server`]: the accept loop ([`overload`]), [`connection`]: HTTP/1 or HTTP/2 ([`stall`]), [`entrance`]: its requests

pub mod aggregate;
pub mod arrived;
pub mod batch;
pub mod body;
pub mod bridge_legacy;
pub mod bridge_modern;
pub mod config;
pub mod connection;
pub mod cursors;
pub mod endpoint;
pub mod entrance;
pub mod event_pipe;
pub mod events;
pub mod forward;
pub mod guard;
pub mod handles;
pub mod headers;
pub mod hold;
pub mod kept;
pub mod overload;
pub mod owed;
pub mod passing;
pub mod pieces;
pub mod relay_legacy;
pub mod relay_modern;
pub mod renamings;
pub mod reopen;
pub mod reply;
pub mod request_states;
pub mod route;
pub mod server;
pub mod server_handles;
pub mod sse_client;
pub mod stall;
pub mod task_ids;
pub mod task_listens;
pub mod transparent;

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue, VARY,
};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use tokio::sync::watch;

use crate::aggregate::{Selection, Views};
use crate::backends::bridge::principal::Principal;
use crate::backends::{Served, Table};
use crate::clients::Client;
use crate::members::Members;
use crate::members::hop::Hop;
use crate::session::Sessions;
use omcp_mcp::refusal::Refusal;

use arrived::{Arrived, Said};
use body::Body;
use config::FrontConfig;
use guard::Trust;
use overload::Overload;
use renamings::Renamings;
use request_states::RequestStates;
use route::Route;
pub use server::serve;
use sse_client::SseClients;
use task_ids::TaskIds;

/// What every request needs. One per listener.
pub struct Front {
    pub(crate) config: FrontConfig,
    pub(crate) trust: Arc<Trust>,
    pub(crate) sessions: Sessions,
    pub(crate) renamings: Renamings,
    pub(crate) sse_clients: SseClients,
    pub(crate) request_states: RequestStates,
    pub(crate) task_ids: TaskIds,
    /// The node stops: streams that never end by themselves end now.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) overload: Overload,
    pub(crate) views: Arc<Views>,
    pub(crate) members: Arc<Members>,
    pub(crate) turns: reopen::Turns,
    table: Arc<Table>,
}

impl Front {
    pub fn new(table: Arc<Table>, config: FrontConfig, trust: Arc<Trust>, members: Arc<Members>) -> Self {
        let sessions = Sessions::new(config.sessions_max, config.session_idle, config.replay_window);
        let stopping = watch::Sender::new(false);
        let (sse_clients, request_states) = (SseClients::default(), RequestStates::new(members.clone()));
        let task_ids = TaskIds::new(members.clone());
        let overload = Overload::new(config.memory_max);
        let views = Arc::new(Views::new(table.clone()));
        Self {
            config,
            trust,
            sessions,
            renamings: Renamings::default(),
            sse_clients,
            request_states,
            task_ids,
            stopping,
            overload,
            views,
            members,
            turns: Default::default(),
            table,
        }
    }

    /// Answers one request that passed the guard.
    pub async fn answer(&self, mut request: Box<Arrived>, client: &Arc<Client>) -> Response<Body> {
        let Arrived { parts, said, body } = &mut *request;
        if parts.method == Method::OPTIONS {
            return preflight(&self.trust, said, &parts.headers);
        }
        let mut response = match Route::of(parts.uri.path()) {
            Route::Aggregate => Box::pin(aggregate::answer(self, client, parts, said, body)).await,
            Route::Mcp(name) => match self.served(name) {
                Some(served) => endpoint::answer(self, served, client, parts, said, body).await,
                None => reply::unknown_path(parts.uri.path()),
            },
            Route::SseAggregate if parts.method == Method::POST => {
                Box::pin(sse_client::post(self, None, parts, said, body)).await
            }
            Route::SseAggregate => self.sse_aggregate(client, parts),
            Route::Sse(name) => match self.table.get(name) {
                Some(served) => Box::pin(self.sse_client(&served, client, parts)).await,
                None => reply::unknown_path(parts.uri.path()),
            },
            Route::SseMessage(name) => Box::pin(sse_client::post(self, Some(name), parts, said, body)).await,
            Route::Unknown => reply::unknown_path(parts.uri.path()),
        };
        // Who is too slow is not waited for once more.
        if response.status().is_client_error() && response.status() != StatusCode::REQUEST_TIMEOUT {
            Box::pin(body::discard(body)).await;
        }
        if let Some(origin) = said.origin.first() {
            allow_origin(origin, &mut response);
        }
        response
    }

    /// The current definition of a backend.
    pub(crate) fn served(&self, name: &str) -> Option<Arc<Served>> {
        self.table.get(name)
    }

    async fn sse_client(&self, served: &Arc<Served>, client: &Arc<Client>, parts: &Parts) -> Response<Body> {
        match self.refuses_sse(&parts.method, &parts.headers) {
            Some(refusal) => refusal,
            None => sse_client::open(self, served, client, &principal(parts)).await,
        }
    }

    fn sse_aggregate(&self, client: &Arc<Client>, parts: &Parts) -> Response<Body> {
        if let Some(refusal) = self.refuses_sse(&parts.method, &parts.headers) {
            return refusal;
        }
        match Selection::of_query(parts.uri.query().unwrap_or("")) {
            Ok(selection) => sse_client::open_aggregate(self, selection, client, &principal(parts)),
            Err(refusal) => reply::refusal(&refusal),
        }
    }

    fn refuses_sse(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        if method != Method::GET {
            return Some(reply::method_not_allowed("GET"));
        }
        if !headers::Accepts::names_events(headers) {
            return Some(reply::refusal(&Refusal::not_acceptable("Accept must include text/event-stream")));
        }
        self.overload.refuses_streams().then(reply::overloaded)
    }
}

/// On whose behalf a request is made: as another node says, or nobody in particular.
pub(crate) fn principal(parts: &Parts) -> Principal {
    parts.extensions.get::<Hop>().map_or_else(Principal::anonymous, |hop| hop.principal.clone())
}

/// 128 random bits in visible ASCII.
pub(crate) fn random_id() -> String {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system provides randomness");
    bits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The origin was checked by the guard; a browser wants to read so.
fn allow_origin(origin: &HeaderValue, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    let exposed = HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate");
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

fn preflight(trust: &Trust, said: &Said, request: &HeaderMap) -> Response<Body> {
    let Some(origin) = said.origin.first().filter(|origin| trust.allows_origin(origin)) else {
        return reply::method_not_allowed("POST, GET, DELETE");
    };
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    allow_origin(origin, &mut response);
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("POST, GET, DELETE, OPTIONS");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
