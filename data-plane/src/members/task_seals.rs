//! [`TaskSeals`]: the tasks of a legacy client's sessions, sealed with the keys of the fleet.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omcp_core::GatewayError;
use omcp_mcp::token::content::{HandleId, Task};
use omcp_mcp::token::{Binding, Purpose};

use super::Members;
use super::keys::random;
use crate::backends::bridge::principal::Principal;
use crate::backends::bridge::task_seal::TaskSeal;

/// Makes the seals of a client's sessions.
#[derive(Clone)]
pub struct TaskSeals {
    members: Arc<Members>,
    principal: Principal,
}

struct Seal {
    seals: TaskSeals,
    backend: String,
    session: HandleId,
}

impl TaskSeals {
    pub fn new(members: Arc<Members>, principal: Principal) -> Self {
        Self { members, principal }
    }

    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The seal of a new session with `backend`.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn of(&self, backend: &str) -> Result<Arc<dyn TaskSeal>, GatewayError> {
        let (seals, backend, session) = (self.clone(), backend.to_owned(), random()?);
        Ok(Arc::new(Seal { seals, backend, session }))
    }
}

impl Seal {
    fn binding(&self) -> Binding<'_> {
        let principal = self.seals.principal.as_str();
        Binding { purpose: Purpose::Task, endpoint: &self.backend, principal }
    }
}

impl TaskSeal for Seal {
    fn session(&self) -> HandleId {
        self.session
    }

    fn seal(&self, task: &Task, ttl_ms: u64) -> Result<String, GatewayError> {
        let lifetime = Duration::from_millis(ttl_ms);
        self.seals.members.keys().seal(self.binding(), lifetime, &task.to_bytes())
    }

    fn open(&self, id: &str) -> Option<Task> {
        Task::from_bytes(&self.seals.members.keys().open(self.binding(), id)?)
    }

    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_for_one_principal_at_one_endpoint() {
        let members = Arc::new(Members::alone("here").unwrap());
        let seals = |name| TaskSeals::new(members.clone(), Principal::named(name));
        let (alice, again) = (seals("alice").of("b").unwrap(), seals("alice").of("b").unwrap());
        let task = Task::Upstream { id: "t".to_owned() };
        let id = alice.seal(&task, 60_000).unwrap();
        assert_eq!((alice.open(&id), again.open(&id)), (Some(task.clone()), Some(task)));
        assert_ne!(alice.session(), again.session());
        for stranger in [seals("bob").of("b").unwrap(), seals("alice").of("c").unwrap()] {
            assert_eq!(stranger.open(&id), None);
        }
    }
}
