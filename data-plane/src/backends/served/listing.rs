//! What a definition was last known to list: learnt by its probes, looked up by the aggregate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use omcp_core::GatewayError;
use omcp_mcp::aggregate::catalog::Catalog;
use tokio::time::Instant;

use super::Served;
use crate::backends::listing::Listed;
use crate::backends::queue::Errand;

/// Between two looks at the lists of a backend that says nothing of their changes: each is a handful of
/// requests, which may cost money.
const LIST_EVERY: Duration = Duration::from_secs(300);

/// The lists of a backend as it last told them.
#[derive(Clone, Debug)]
pub struct Known {
    pub catalog: Arc<Catalog>,
    /// It was this definition that told them, to this node.
    fresh: bool,
    taken: Instant,
}

impl Known {
    pub fn age(&self) -> Duration {
        self.taken.elapsed()
    }
}

impl Served {
    /// What it is known to list, however old that is.
    pub fn known(&self) -> Option<Arc<Known>> {
        self.known.load_full()
    }

    /// Whether that is how it lists now, as far as anybody knows.
    pub fn is_up_to_date(&self, known: &Known) -> bool {
        known.fresh && self.serves().is_some()
    }

    /// A definition that takes the place of another knows at first what that one knew.
    pub fn inherit(&self, older: &Served) {
        if let (None, Some(known)) = (self.known(), older.known()) {
            self.known.store(Some(Arc::new(Known { fresh: false, ..Known::clone(&known) })));
        }
    }

    /// Somebody else knows what it lists. News of its own outweigh that.
    pub fn learn(&self, catalog: impl FnOnce() -> Arc<Catalog>) {
        if self.known().is_none_or(|known| !known.fresh) {
            let known = Known { catalog: catalog(), fresh: false, taken: Instant::now() };
            self.known.store(Some(Arc::new(known)));
            self.shared.edition.grow();
        }
    }

    /// What it told this node that it lists, for other nodes: no value of a reference is in it.
    pub fn own_listing(&self) -> Option<Vec<u8>> {
        let known = self.known().filter(|known| known.fresh)?;
        let text = known.catalog.source().encode();
        if self.redaction.is_empty() {
            return Some(text);
        }
        Some(self.redaction.text(&String::from_utf8_lossy(&text)).into_bytes())
    }

    /// It has told its lists. What it did not tell is as it was.
    pub(super) fn listed(&self, listed: Listed) {
        let old = self.known();
        let Listed { mut source, unknown } = listed;
        for list in unknown {
            if let Some(old) = &old {
                source.list_mut(list).clone_from(old.catalog.source().list(list));
            }
        }
        let same = old.filter(|old| *old.catalog.digest() == source.digest());
        let news = same.as_ref().is_none_or(|old| !old.fresh);
        let catalog = same
            .map_or_else(|| Arc::new(Catalog::new(self.name.as_str(), source)), |old| old.catalog.clone());
        self.known.store(Some(Arc::new(Known { catalog, fresh: true, taken: Instant::now() })));
        if news {
            self.shared.edition.grow();
            self.changed();
        }
    }

    /// Its lists have changed, or may have: they are asked for when a worker has time.
    pub fn list_later(&self) {
        if self.ready_to_list() && !self.listing.swap(true, Ordering::AcqRel) {
            self.shared.queue.push_idle(self.this.clone(), Errand::Listing);
        }
    }

    /// Asks now and then, where that starts no process.
    pub fn look_after_lists(&self, now: Instant) {
        let due = self.known().is_none_or(|known| now.duration_since(known.taken) >= LIST_EVERY);
        if due && (self.open_lane().is_some() || !self.starts_processes()) {
            self.list_later();
        }
    }

    fn ready_to_list(&self) -> bool {
        !self.retired() && self.health.ready().is_some()
    }

    /// The lists have been asked for.
    pub fn end_listing(&self, outcome: Result<Listed, GatewayError>) {
        // What changes from now on is asked for again.
        self.listing.store(false, Ordering::Release);
        match outcome {
            Ok(listed) => {
                self.known_tools.store(Arc::new(listed.known_tools()));
                self.listed(listed);
            }
            Err(error) => {
                tracing::debug!(backend = %self.name, error = %error.chain(), "the lists of a backend cannot be had");
                // Not again at once.
                if let Some(known) = self.known() {
                    self.known.store(Some(Arc::new(Known { taken: Instant::now(), ..Known::clone(&known) })));
                }
            }
        }
    }
}
