//! [`RequestStates`]: what modern clients carry from one round of a call to the next. They hold a name;
//! what it stands for stays here, with whom and what it was given for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use omcp_mcp::bridge::failure::Reason;
use omcp_mcp::bridge::limits::SUSPENSION_MS;
use omcp_mcp::bridge::state::RequestState;
use tokio::time::Instant;

use crate::backends::bridge::legacy_lane::LegacyLane;
use crate::backends::bridge::principal::Principal;

/// States kept on a node; the oldest give way. A client that comes back later starts its call again.
const STATES_MAX: usize = 16 * 1024;
/// As long as a suspended call waits.
const LIFETIME: Duration = Duration::from_millis(SUSPENSION_MS);

/// A handle on all states of a node. Cheap to clone.
#[derive(Clone, Default)]
pub struct RequestStates(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    by_name: HashMap<String, Entry>,
    by_age: VecDeque<(Instant, String)>,
}

#[derive(Clone)]
struct Entry {
    principal: Principal,
    backend: String,
    lane: LegacyLane,
    state: RequestState,
}

impl RequestStates {
    /// Keeps a state and names it.
    pub fn seal(
        &self,
        principal: &Principal,
        backend: &str,
        lane: LegacyLane,
        state: RequestState,
    ) -> String {
        let name = super::random_id();
        let entry = Entry { principal: principal.clone(), backend: backend.to_owned(), lane, state };
        let now = Instant::now();
        let mut kept = self.lock();
        while kept.by_age.len() >= STATES_MAX || kept.by_age.front().is_some_and(|(until, _)| *until <= now) {
            let oldest = kept.by_age.pop_front();
            oldest.and_then(|(_, name)| kept.by_name.remove(&name));
        }
        kept.by_age.push_back((now + LIFETIME, name.clone()));
        kept.by_name.insert(name.clone(), entry);
        name
    }

    /// What a name stands for, and the lane that gave it.
    ///
    /// # Errors
    /// One for every name that is none, or is somebody else's; another for a lane that is gone.
    pub fn open(
        &self,
        principal: &Principal,
        backend: &str,
        name: &str,
    ) -> Result<(LegacyLane, RequestState), Reason> {
        let entry = self.lock().by_name.get(name).cloned();
        let mine = |entry: &Entry| entry.principal == *principal && entry.backend == backend;
        let Entry { lane, state, .. } = entry.filter(mine).ok_or(Reason::InvalidRequestState)?;
        match state {
            RequestState::Suspended { .. } if !lane.is_open() => Err(Reason::InteractionLost),
            state => Ok((lane, state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
