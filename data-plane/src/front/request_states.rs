//! [`RequestStates`]: what modern clients carry from one round of a call to the next, sealed. A call that
//! waits is kept here, and its state names it and this node; one that is only sent again is all in its state,
//! which any node can read.

use std::sync::Arc;
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_mcp::bridge::failure::Reason;
use omcp_mcp::bridge::limits::SUSPENSION_MS;
use omcp_mcp::bridge::state::RequestState;
use omcp_mcp::token::content::{self, NodeTag};
use omcp_mcp::token::{Binding, Purpose};

use super::kept::Kept;
use crate::backends::bridge::legacy_lane::LegacyLane;
use crate::backends::bridge::principal::Principal;
use crate::members::Members;

/// States kept on a node; the oldest give way. A client that comes back later starts its call again.
const STATES_MAX: usize = 16 * 1024;
/// As long as a suspended call waits.
const LIFETIME: Duration = Duration::from_millis(SUSPENSION_MS);

/// A handle on all states of a node. Cheap to clone.
#[derive(Clone)]
pub struct RequestStates {
    kept: Arc<Kept<Entry>>,
    members: Arc<Members>,
}

#[derive(Clone)]
struct Entry {
    lane: LegacyLane,
    state: RequestState,
}

/// What a state stands for.
pub enum Opened {
    /// A call that waits on this lane.
    Waiting(LegacyLane, RequestState),
    /// A call to be sent again.
    Again(RequestState),
    /// A call that waits on another node.
    Elsewhere(NodeTag),
}

fn binding<'a>(backend: &'a str, principal: &'a Principal) -> Binding<'a> {
    Binding { purpose: Purpose::RequestState, endpoint: backend, principal: principal.as_str() }
}

impl RequestStates {
    pub fn new(members: Arc<Members>) -> Self {
        Self { kept: Arc::new(Kept::new(STATES_MAX)), members }
    }

    /// Seals a state for its client.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn seal(
        &self,
        principal: &Principal,
        backend: &str,
        lane: LegacyLane,
        state: RequestState,
    ) -> Result<String, GatewayError> {
        let content = match state {
            RequestState::Resend { request } => content::RequestState::Resend { request },
            state @ RequestState::Suspended { .. } => {
                let id = self.kept.keep(Entry { lane, state }, LIFETIME)?;
                content::RequestState::Kept { owner: self.members.me(), id }
            }
        };
        self.members.keys().seal(binding(backend, principal), LIFETIME, &content.to_bytes())
    }

    /// What a state stands for.
    ///
    /// # Errors
    /// One for everything that is no state, or is somebody else's; another for a call whose lane is gone.
    pub fn open(&self, principal: &Principal, backend: &str, state: &str) -> Result<Opened, Reason> {
        let content = self.members.keys().open(binding(backend, principal), state);
        let content = content.and_then(|content| content::RequestState::from_bytes(&content));
        let (owner, id) = match content.ok_or(Reason::InvalidRequestState)? {
            content::RequestState::Resend { request } => {
                return Ok(Opened::Again(RequestState::Resend { request }));
            }
            content::RequestState::Kept { owner, id } => (owner, id),
            // Of another era, in which the backend spoke before.
            content::RequestState::Upstream { .. } => return Err(Reason::InvalidRequestState),
        };
        if owner != self.members.me() {
            return Ok(Opened::Elsewhere(owner));
        }
        // What a node has kept is gone with it, or with its time.
        let Entry { lane, state } = self.kept.get(&id).ok_or(Reason::InteractionLost)?;
        if lane.is_open() { Ok(Opened::Waiting(lane, state)) } else { Err(Reason::InteractionLost) }
    }
}

#[cfg(test)]
mod tests {
    use omcp_mcp::bridge::state::Fingerprint;

    use super::*;

    fn states(name: &str) -> RequestStates {
        RequestStates::new(Arc::new(Members::alone(name).unwrap()))
    }

    fn sealed(states: &RequestStates, content: &content::RequestState) -> String {
        let alice = Principal::named("alice");
        states.members.keys().seal(binding("b", &alice), LIFETIME, &content.to_bytes()).unwrap()
    }

    #[test]
    fn a_state_says_who_can_go_on_with_it() {
        let states = states("here");
        let (alice, bob) = (Principal::named("alice"), Principal::named("bob"));
        let request = Fingerprint::from_bytes([1; 32]);
        let again = sealed(&states, &content::RequestState::Resend { request });
        let opened = states.open(&alice, "b", &again);
        assert!(
            matches!(opened, Ok(Opened::Again(RequestState::Resend { request: found })) if found == request)
        );
        let owner = NodeTag::of("elsewhere");
        let far = sealed(&states, &content::RequestState::Kept { owner, id: [1; 16] });
        assert!(matches!(states.open(&alice, "b", &far), Ok(Opened::Elsewhere(found)) if found == owner));
        let gone = sealed(&states, &content::RequestState::Kept { owner: NodeTag::of("here"), id: [1; 16] });
        assert!(matches!(states.open(&alice, "b", &gone), Err(Reason::InteractionLost)));
        for (principal, backend, state) in
            [(&bob, "b", &again), (&alice, "c", &again), (&bob, "b", &far), (&bob, "b", &gone)]
        {
            let refused = states.open(principal, backend, state);
            assert!(matches!(refused, Err(Reason::InvalidRequestState)), "{backend}");
        }
    }
}
