//! Listening to a modern backend for changes of its lists, as long as somebody wants to hear of them.

use std::sync::{Arc, PoisonError};

use omcp_core::McpMessage;
use omcp_mcp::aggregate::list;
use omcp_mcp::methods;
use serde_json::json;

use super::Served;
use crate::backends::bridge::principal::Principal;
use crate::backends::introduction::metadata;
use crate::backends::lane::{CallTraits, Event, Lane, Sink};

/// One subscription of the gateway's own. It ends with the last who holds it.
pub struct ListWatch {
    lane: Lane,
    own: bool,
    minted: u64,
}

impl ListWatch {
    pub fn is_open(&self) -> bool {
        self.lane.is_open()
    }
}

impl Drop for ListWatch {
    fn drop(&mut self) {
        self.lane.cancel(self.minted, "nobody listens any more");
        if self.own {
            self.lane.close();
        }
    }
}

impl Served {
    /// Listens for changes of the lists. `None` for a backend that has no stream for that beside those of its
    /// sessions, or does not answer now.
    pub async fn watch_lists(&self) -> Option<Arc<ListWatch>> {
        let present = self.list_watch.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(watch) = present.filter(|watch| watch.is_open()) {
            return Some(watch);
        }
        if !self.eras().is_some_and(|eras| eras.modern) {
            return None;
        }
        let (lane, renew) = self.lane_for_session(&Principal::anonymous()).await.ok()?;
        let minted = lane.mint();
        let watch = Arc::new(ListWatch { lane, own: renew.is_none(), minted });
        let sink = Arc::new(Changed(self.this.clone()));
        // Its own, so that it keeps no process from resting.
        let traits = CallTraits { own: true, ..CallTraits::default() };
        watch.lane.call(minted, listen(minted), sink, traits).ok()?;
        *self.list_watch.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&watch);
        Some(watch)
    }
}

fn listen(id: u64) -> McpMessage {
    let wanted =
        json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
    let params = json!({ "notifications": wanted, "_meta": metadata() });
    let request =
        json!({ "jsonrpc": "2.0", "id": id, "method": methods::SUBSCRIPTIONS_LISTEN, "params": params });
    McpMessage::trusted(request.to_string().into())
}

/// A list of this backend has changed.
struct Changed(std::sync::Weak<Served>);

impl Sink for Changed {
    fn event(&self, event: Event) -> bool {
        if let Event::Message(message) = event
            && message.method().is_some_and(list::is_change)
            && let Some(served) = self.0.upgrade()
        {
            served.list_later();
        }
        true
    }
}
