//! [`Names`]: what one client calls the tasks of the backends. A token has another text each time it is made,
//! and a task has one name: what was sealed, or came from the client, is remembered for as long as the client
//! is spoken to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use omcp_core::BackendName;
use omcp_mcp::aggregate::address::{Address, Subject};
use omcp_mcp::aggregate::tasks::{OwnedTask, TaskNames};

use super::handles::Handles;
use super::view::{Unowned, View};

/// Names that are remembered; the oldest give way, and their tasks get others.
const NAMES_MAX: usize = 1_024;

/// Of one session, or of one request.
pub struct Names {
    handles: Handles,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    names: HashMap<OwnedTask, String>,
    by_age: VecDeque<OwnedTask>,
}

impl Names {
    pub fn new(handles: Handles) -> Self {
        Self { handles, known: Mutex::default() }
    }

    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// The task that the client calls `name`.
    pub fn task(&self, name: &str) -> Option<OwnedTask> {
        let task = self.handles.open_task(name)?;
        self.lock().remember(task.clone(), name.to_owned());
        Some(task)
    }

    /// Whose something is that a request names, and what the owner calls it.
    ///
    /// # Errors
    /// Nobody's, or not certainly one backend's.
    pub fn owner<'v>(&self, view: &'v View, address: &Address) -> Result<(&'v BackendName, String), Unowned> {
        if address.subject != Subject::Task {
            return view.owner(address.subject, &address.text);
        }
        let task = self.task(&address.text).ok_or(Unowned::Unknown)?;
        Ok((view.backend(&task.backend).ok_or(Unowned::Unknown)?, task.id))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remember(&mut self, task: OwnedTask, name: String) {
        if self.names.insert(task.clone(), name).is_some() {
            return;
        }
        if self.by_age.len() == NAMES_MAX {
            let oldest = self.by_age.pop_front();
            oldest.and_then(|oldest| self.names.remove(&oldest));
        }
        self.by_age.push_back(task);
    }
}

impl TaskNames for Names {
    fn name(&self, task: OwnedTask, ttl_ms: u64) -> Option<String> {
        if let Some(name) = self.lock().names.get(&task) {
            return Some(name.clone());
        }
        let sealed = self.handles.seal_task(&task, ttl_ms);
        let name = sealed
            .inspect_err(
                |error| tracing::debug!(backend = task.backend, error = %error.chain(), "a task has no name"),
            )
            .ok()?;
        self.lock().remember(task, name.clone());
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::aggregate::Selection;
    use crate::backends::bridge::principal::Principal;
    use crate::members::Members;

    fn names() -> Names {
        let members = Arc::new(Members::alone("here").unwrap());
        Names::new(Handles::new(members, &Selection::default(), Principal::anonymous()))
    }

    fn task(id: impl ToString) -> OwnedTask {
        OwnedTask { backend: "b".to_owned(), id: id.to_string() }
    }

    #[test]
    fn a_task_keeps_its_name() {
        let names = names();
        let first = names.name(task(1), 60_000).unwrap();
        assert_eq!(names.name(task(1), 60_000), Some(first.clone()));
        assert_ne!(names.name(task(2), 60_000), Some(first.clone()));
        let other = names.handles.seal_task(&task(1), 60_000).unwrap();
        assert_ne!(other, first);
        assert_eq!(names.task(&other), Some(task(1)));
        assert_eq!(names.name(task(1), 60_000), Some(other), "the client has the last word");
        assert_eq!(names.name(task("x".repeat(8 * 1024)), 60_000), None, "no token is so long");
    }

    #[test]
    fn the_oldest_name_gives_way() {
        let names = names();
        let first = names.name(task(0), 60_000);
        for id in 1..NAMES_MAX {
            names.name(task(id), 60_000);
        }
        assert_eq!(names.name(task(0), 60_000), first);
        names.name(task(NAMES_MAX), 60_000);
        assert_ne!(names.name(task(0), 60_000), first);
        assert_eq!(names.lock().names.len(), NAMES_MAX);
    }
}
