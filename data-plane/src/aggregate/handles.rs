//! [`Handles`]: what clients of one endpoint of many backends carry for the gateway, sealed for this endpoint
//! and one principal. Whatever is wrong with one, it is none.

use std::sync::Arc;
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_mcp::aggregate::list::List;
use omcp_mcp::aggregate::page::Cursor;
use omcp_mcp::aggregate::tasks::OwnedTask;
use omcp_mcp::token::{Binding, Purpose};

use super::selection::Selection;
use crate::backends::bridge::principal::Principal;
use crate::members::Members;
use crate::members::keys::CURSOR_LIFETIME;

/// Seals and opens them. Cheap to clone.
#[derive(Clone)]
pub struct Handles {
    members: Arc<Members>,
    endpoint: Arc<str>,
    principal: Principal,
}

impl Handles {
    pub fn new(members: Arc<Members>, selection: &Selection, principal: Principal) -> Self {
        Self { members, endpoint: selection.to_string().into(), principal }
    }

    /// The text of a cursor.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn seal_cursor(&self, cursor: &Cursor) -> Result<String, GatewayError> {
        self.members.keys().seal(self.binding(Purpose::Cursor), CURSOR_LIFETIME, &cursor.to_bytes())
    }

    pub fn open_cursor(&self, text: &str, list: List) -> Option<Cursor> {
        Cursor::from_bytes(&self.members.keys().open(self.binding(Purpose::Cursor), text)?, list)
    }

    /// The text of a `taskId`.
    ///
    /// # Errors
    /// The backend's own id is too long, or there is no randomness.
    pub fn seal_task(&self, task: &OwnedTask, ttl_ms: u64) -> Result<String, GatewayError> {
        let lifetime = Duration::from_millis(ttl_ms);
        self.members.keys().seal(self.binding(Purpose::Task), lifetime, &task.to_bytes())
    }

    pub fn open_task(&self, text: &str) -> Option<OwnedTask> {
        OwnedTask::from_bytes(&self.members.keys().open(self.binding(Purpose::Task), text)?)
    }

    fn binding(&self, purpose: Purpose) -> Binding<'_> {
        Binding { purpose, endpoint: &self.endpoint, principal: self.principal.as_str() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_for_one_principal_at_one_endpoint() {
        let members = Arc::new(Members::alone("here").unwrap());
        let handles = |query, name| {
            let selection = Selection::of_query(query).unwrap();
            Handles::new(members.clone(), &selection, Principal::named(name))
        };
        let alice = handles("", "alice");
        let task = OwnedTask { backend: "b".to_owned(), id: "7".to_owned() };
        let sealed = alice.seal_task(&task, 60_000).unwrap();
        assert_eq!(alice.open_task(&sealed), Some(task.clone()));
        for stranger in [handles("", "bob"), handles("tags=a", "alice")] {
            assert_eq!(stranger.open_task(&sealed), None);
        }
        assert_eq!(alice.open_cursor(&sealed, List::Tools), None, "it has another purpose");
        assert_eq!(alice.open_task(&alice.seal_task(&task, 0).unwrap()), None, "it has had its time");
    }
}
