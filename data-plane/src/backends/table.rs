//! [`Table`]: the served definition of each backend, by name. Swapped as a whole, so that what belongs
//! together appears together.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use omcp_core::BackendName;

use super::edition::Edition;
use super::served::Served;

/// What each name leads to at one moment.
pub type Routes = HashMap<BackendName, Arc<Served>>;

/// Read by every request, written by the set alone.
#[derive(Default)]
pub struct Table {
    routes: ArcSwap<Routes>,
    edition: Arc<Edition>,
}

impl Table {
    pub(super) fn new(edition: Arc<Edition>) -> Self {
        Self { routes: ArcSwap::default(), edition }
    }

    /// Grows with every change of the table, and of what its backends list.
    pub fn edition(&self) -> &Edition {
        &self.edition
    }

    /// The definition that serves `name` now.
    pub fn get(&self, name: &str) -> Option<Arc<Served>> {
        self.routes.load().get(name).cloned()
    }

    /// All of them at one moment.
    pub fn all(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    pub fn len(&self) -> usize {
        self.routes.load().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn edit(&self, edits: Vec<(BackendName, Option<Arc<Served>>)>) {
        if edits.is_empty() {
            return;
        }
        let mut routes = Routes::clone(&self.routes.load());
        for (name, served) in edits {
            match served {
                Some(served) => routes.insert(name, served),
                None => routes.remove(&name),
            };
        }
        self.routes.store(Arc::new(routes));
        self.edition.grow();
    }
}
