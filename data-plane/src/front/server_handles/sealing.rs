//! [`Sealing`]: handles of one modern server, sealed for one principal.

use std::sync::Arc;
use std::time::Duration;

use omcp_core::{BackendName, GatewayError};
use omcp_mcp::bridge::state::Fingerprint;
use omcp_mcp::token::content::{RequestState, Task};
use omcp_mcp::token::{Binding, Purpose};

use crate::backends::bridge::principal::Principal;
use crate::members::Members;

/// For a client to come back with answers.
const STATE_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Sealing {
    members: Arc<Members>,
    pub backend: BackendName,
    principal: Principal,
}

impl Sealing {
    pub fn new(members: Arc<Members>, backend: BackendName, principal: Principal) -> Self {
        Self { members, backend, principal }
    }

    /// A state that the server gave in answer to `request`.
    ///
    /// # Errors
    /// It is too long, or there is no randomness.
    pub fn state(&self, state: String, request: Fingerprint) -> Result<String, GatewayError> {
        let content = RequestState::Upstream { request, state }.to_bytes();
        self.members.keys().seal(self.binding(Purpose::RequestState), STATE_LIFETIME, &content)
    }

    /// The server's own, if `request` is the one that it was given for.
    pub fn open_state(&self, sealed: &str, request: Fingerprint) -> Option<String> {
        let content = self.members.keys().open(self.binding(Purpose::RequestState), sealed)?;
        match RequestState::from_bytes(&content)? {
            RequestState::Upstream { request: of, state } if of == request => Some(state),
            _ => None,
        }
    }

    /// A task that the server keeps for so long.
    ///
    /// # Errors
    /// As of a state.
    pub fn task(&self, id: String, ttl_ms: u64) -> Result<String, GatewayError> {
        let content = Task::Upstream { id }.to_bytes();
        self.members.keys().seal(self.binding(Purpose::Task), Duration::from_millis(ttl_ms), &content)
    }

    pub fn open_task(&self, sealed: &str) -> Option<String> {
        let content = self.members.keys().open(self.binding(Purpose::Task), sealed)?;
        match Task::from_bytes(&content)? {
            Task::Upstream { id } => Some(id),
            _ => None,
        }
    }

    fn binding(&self, purpose: Purpose) -> Binding<'_> {
        Binding { purpose, endpoint: self.backend.as_str(), principal: self.principal.as_str() }
    }
}
