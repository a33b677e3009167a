//! What clients are told when the lists of an endpoint change: which ones, a moment after the last of several
//! changes. Meanwhile the backends that can tell of changes are listened to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use omcp_mcp::aggregate::list::List;
use tokio::time::{sleep, timeout};

use super::selection::Selection;
use super::view::View;
use super::views::Views;
use crate::backends::ListWatch;

/// Backends come in crowds: one notification for all of them.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// For one backend to be listened to; the next change gives it another chance.
const WATCH_DEADLINE: Duration = Duration::from_secs(10);

/// Calls `tell` with the notification for each list that has changed, for as long as the future is polled and
/// `tell` wants more.
pub async fn follow(views: Arc<Views>, selection: Selection, mut tell: impl FnMut(&'static str) -> bool) {
    let mut edition = views.edition();
    edition.borrow_and_update();
    let mut before = views.view(&selection);
    let told = async {
        while edition.changed().await.is_ok() {
            sleep(DEBOUNCE).await;
            edition.borrow_and_update();
            let now = views.view(&selection);
            for method in changed(&before, &now) {
                if !tell(method) {
                    return;
                }
            }
            before = now;
        }
    };
    tokio::select! {
        () = told => {}
        () = listen(&views, &selection) => {}
    }
}

/// The notifications for what differs.
fn changed(before: &View, now: &View) -> Vec<&'static str> {
    let differs = |list: &List| before.digest(*list) != now.digest(*list);
    let mut methods: Vec<_> = List::ALL.into_iter().filter(differs).map(List::changed).collect();
    methods.dedup();
    methods
}

/// Keeps listening to every backend that can tell of changes.
async fn listen(views: &Views, selection: &Selection) {
    let mut edition = views.edition();
    let mut watches: BTreeMap<String, Arc<ListWatch>> = BTreeMap::new();
    loop {
        edition.borrow_and_update();
        let view = views.view(selection);
        watches.retain(|_, watch| watch.is_open());
        for part in view.parts() {
            let name = part.backend.as_str();
            let Some(served) = views.served(name).filter(|_| !watches.contains_key(name)) else { continue };
            if let Ok(Some(watch)) = timeout(WATCH_DEADLINE, served.watch_lists()).await {
                watches.insert(name.to_owned(), watch);
            }
        }
        if edition.changed().await.is_err() {
            return;
        }
    }
}
