//! [`Views`]: the views of a node. Each is made once after a change and shared by all requests until the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::selection::Selection;
use super::view::View;
use crate::backends::{Served, Table};

/// Selections of which the view is kept; others are made for each request.
const VIEWS_MAX: usize = 64;

pub struct Views {
    table: Arc<Table>,
    /// Edition and view.
    kept: Mutex<HashMap<Selection, (u64, Arc<View>)>>,
}

impl Views {
    pub fn new(table: Arc<Table>) -> Self {
        Self { table, kept: Mutex::default() }
    }

    /// The backends of an endpoint now.
    pub fn view(&self, selection: &Selection) -> Arc<View> {
        // Read first: a view may be newer than it says, never older.
        let edition = self.table.edition().number();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, view)) = kept.get(selection)
            && *of == edition
        {
            return view.clone();
        }
        let view = Arc::new(View::new(&self.table, selection));
        kept.retain(|_, (of, _)| *of == edition);
        if kept.len() < VIEWS_MAX {
            kept.insert(selection.clone(), (edition, view.clone()));
        }
        view
    }

    /// Grows when views may have changed.
    pub fn edition(&self) -> watch::Receiver<u64> {
        self.table.edition().watch()
    }

    /// The definition that serves `backend` now.
    pub fn served(&self, backend: &str) -> Option<Arc<Served>> {
        self.table.get(backend)
    }
}
