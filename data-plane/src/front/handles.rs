//! What clients carry for the gateway, made and read: session ids. Each is bound to an endpoint and a
//! principal; whatever is wrong with one, it is unknown.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use omcp_core::lifecycle::Recovery;
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::revision::Revision;
use omcp_mcp::token::content::{self, Kept, NodeTag};
use omcp_mcp::token::{Binding, Purpose};

use super::Front;
use crate::aggregate::handles::Handles;
use crate::aggregate::{Names, Selection};
use crate::backends::Served;
use crate::backends::bridge::principal::Principal;
use crate::clients::Client;
use crate::members::keys::random;
use crate::members::task_seals::TaskSeals;
use crate::session::{Handle, LIFETIME, Session};

/// Longest handshake that is carried in a session id, bytes: ids go with every request.
const SEED_LEN_MAX: usize = 1536;
/// For an HTTP server's own session: whether it lives is for the server to say, and this is what the keys
/// allow.
const UPSTREAM_LIFETIME: Duration = LIFETIME;

/// What a request names by `Mcp-Session-Id`.
pub enum Named {
    /// It names no session.
    Nothing,
    /// One that lives here.
    Here(Arc<Session>),
    /// One of the HTTP server behind the endpoint.
    Upstream(Renamed),
    /// One that lives on a node, or did: not here.
    Kept(Kept),
    /// It names something, and that is no session, or not this client's.
    Unknown,
}

impl Named {
    /// The session, if it lives here.
    pub fn here(self) -> Option<Arc<Session>> {
        match self {
            Self::Here(session) => Some(session),
            _ => None,
        }
    }

    /// What a session of ours has negotiated.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Here(session) => Some(session.revision()),
            Self::Kept(kept) => Some(kept.revision),
            _ => None,
        }
    }
}

/// A session of an HTTP server: its own id, and what the client knows it by.
#[derive(Clone)]
pub struct Renamed {
    pub theirs: HeaderValue,
    pub ours: HeaderValue,
}

fn binding<'a>(endpoint: &'a str, principal: &'a Principal) -> Binding<'a> {
    Binding { purpose: Purpose::Session, endpoint, principal: principal.as_str() }
}

/// Who opens a session.
#[derive(Clone)]
pub struct Opener<'a> {
    pub client: &'a Arc<Client>,
    pub principal: &'a Principal,
    /// What it was known by, if it is opened anew.
    pub again: Option<Handle>,
}

impl Opener<'_> {
    /// What its client is to know the session by. `hello` is its `initialize`.
    pub(super) fn handle(
        self,
        front: &Front,
        served: &Served,
        revision: Revision,
        hello: &McpMessage,
    ) -> Result<Handle, GatewayError> {
        if let Some(again) = self.again {
            return Ok(again);
        }
        let seed = match served.lifecycle().recovery {
            Recovery::Recreate => hello.envelope().params_range().map_or(&b""[..], |at| &hello.bytes()[at]),
            Recovery::None => b"",
        };
        // A client that says so much about itself has to say it again.
        let seed = if seed.len() > SEED_LEN_MAX { b"" } else { seed };
        front.new_session(served.name().as_str(), self.principal, revision, seed)
    }
}

impl Front {
    /// A handle on a session that is to live here.
    pub(crate) fn new_session(
        &self,
        endpoint: &str,
        principal: &Principal,
        revision: Revision,
        seed: &[u8],
    ) -> Result<Handle, GatewayError> {
        let kept = Kept { owner: self.members.me(), id: random()?, revision, seed: seed.to_vec() };
        let reopenable = (!seed.is_empty()).then_some(kept.id);
        let content = content::Session::Kept(kept).to_bytes();
        let id = self.members.keys().seal(binding(endpoint, principal), LIFETIME, &content)?;
        Ok(Handle { id, principal: principal.clone(), reopenable })
    }

    /// What a client's sessions seal their tasks with.
    pub(crate) fn task_seals(&self, principal: &Principal) -> TaskSeals {
        TaskSeals::new(self.members.clone(), principal.clone())
    }

    /// What a client of many backends calls their tasks.
    pub(crate) fn names(&self, selection: &Selection, principal: &Principal) -> Names {
        Names::new(Handles::new(self.members.clone(), selection, principal.clone()))
    }

    /// What the client is to know a session of an HTTP server by.
    pub(super) fn rename_session(
        &self,
        endpoint: &str,
        principal: &Principal,
        theirs: &HeaderValue,
    ) -> Result<HeaderValue, GatewayError> {
        let id = theirs.to_str().map_err(|_| unusable())?.to_owned();
        let content = content::Session::Upstream { id }.to_bytes();
        let ours = self.members.keys().seal(binding(endpoint, principal), UPSTREAM_LIFETIME, &content)?;
        HeaderValue::from_str(&ours).map_err(|_| unusable())
    }

    /// The session that a request names. `kept_here` says that sessions of this endpoint may live on a node.
    pub(super) fn named_session(
        &self,
        endpoint: &str,
        principal: &Principal,
        given: Option<&HeaderValue>,
        kept_here: bool,
    ) -> Named {
        let Some(given) = given else { return Named::Nothing };
        let Ok(id) = given.to_str() else { return Named::Unknown };
        // What lives here is found by its name, and nothing has to be opened.
        if kept_here && let Some(session) = self.sessions.get(id, endpoint, principal) {
            return Named::Here(session);
        }
        if let Some(theirs) = self.renamings.theirs(endpoint, principal, given) {
            return Named::Upstream(Renamed { theirs, ours: given.clone() });
        }
        match self.open_session(endpoint, principal, id) {
            Some(content::Session::Upstream { id }) => match HeaderValue::try_from(id) {
                Ok(theirs) => {
                    self.renamings.learn(endpoint, principal, given, &theirs);
                    Named::Upstream(Renamed { theirs, ours: given.clone() })
                }
                Err(_) => Named::Unknown,
            },
            Some(content::Session::Kept(kept)) => {
                let here = if kept_here { None } else { self.sessions.get(id, endpoint, principal) };
                here.map_or(Named::Kept(kept), Named::Here)
            }
            None => Named::Unknown,
        }
    }

    /// The node on which a session lives that is none of this one.
    pub(super) fn owner_of(&self, endpoint: &str, principal: &Principal, id: &str) -> Option<NodeTag> {
        match self.open_session(endpoint, principal, id)? {
            content::Session::Kept(kept) => Some(kept.owner).filter(|owner| *owner != self.members.me()),
            content::Session::Upstream { .. } => None,
        }
    }

    fn open_session(&self, endpoint: &str, principal: &Principal, id: &str) -> Option<content::Session> {
        let content = self.members.keys().open(binding(endpoint, principal), id)?;
        content::Session::from_bytes(&content)
    }
}

fn unusable() -> GatewayError {
    let text = "the server's session id is not visible ASCII, as it has to be";
    GatewayError::new(omcp_core::ErrorKind::Protocol, text)
}
