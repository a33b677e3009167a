//! [`Intent`]: what a write wants, planned inside the transaction against the newest state.

use std::collections::BTreeMap;
use std::sync::Arc;

use omcp_core::{Epoch, Revision};

use crate::error::Error;
use crate::publish::Table;
use crate::record::{EncodedSpec, Record};

/// One write.
pub struct Write {
    /// Who asks, for the history.
    pub actor: String,
    pub request: Option<RequestKey>,
    pub intent: Box<dyn Intent>,
}

/// Makes a request that is sent twice be done once.
#[derive(Clone, Debug)]
pub struct RequestKey {
    pub id: String,
    /// Hash of method and body: another body under the same id is an error.
    pub body: [u8; 32],
}

/// What a write wants. Nobody else writes between `plan` and the commit.
pub trait Intent: Send {
    /// Decides what to change.
    ///
    /// # Errors
    /// The state does not allow it; nothing is written then.
    fn plan(&mut self, have: &View<'_>) -> Result<Plan, Error>;

    /// The encoded answer; it is stored with the request id, in the same transaction.
    fn answer(&self, done: &Done<'_>) -> Vec<u8>;
}

/// What to change. Empty means: nothing, and no revision.
#[derive(Debug, Default)]
pub struct Plan {
    pub puts: Vec<(Arc<str>, EncodedSpec)>,
    pub deletes: Vec<Arc<str>>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}

/// What became of it.
#[derive(Debug)]
pub struct Done<'a> {
    pub epoch: Epoch,
    /// Revision of the commit, or the present one if nothing changed.
    pub revision: Revision,
    /// The state including the change.
    pub view: View<'a>,
}

/// Changes of the present transaction that are not published yet; `None` is a deletion.
pub type Overlay = BTreeMap<Arc<str>, Option<Record>>;

/// The newest state: what is published, and over it what the present transaction has done.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    table: &'a Table,
    overlay: &'a Overlay,
}

impl<'a> View<'a> {
    pub fn new(table: &'a Table, overlay: &'a Overlay) -> Self {
        Self { table, overlay }
    }

    pub fn get(&self, name: &str) -> Option<&'a Record> {
        self.overlay.get(name).map_or_else(|| self.table.get(name), Option::as_ref)
    }

    /// Live backends by name.
    pub fn all(&self) -> BTreeMap<&'a Arc<str>, &'a Record> {
        let mut all: BTreeMap<_, _> = self.table.iter().collect();
        for (name, record) in self.overlay {
            match record {
                Some(record) => all.insert(name, record),
                None => all.remove(name),
            };
        }
        all
    }

    /// Number of live backends.
    pub fn len(&self) -> usize {
        let change = |(name, record): (&Arc<str>, &Option<Record>)| {
            isize::from(record.is_some()) - isize::from(self.table.get(name).is_some())
        };
        self.table.len().saturating_add_signed(self.overlay.iter().map(change).sum())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
