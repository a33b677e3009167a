//! `subscriptions/listen` on a legacy server: changes are heard on the lane, resources subscribed to one
//! by one and counted.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{LaneOutput, LaneTimer, LegacyLane, ListKind, Wire};
use crate::bridge::capabilities::{ClientCapabilities, required_tasks};
use crate::bridge::edits::{Edits, joined, object, pair, quoted};
use crate::bridge::failure::{self, Reason};
use crate::bridge::filter::Filter;
use crate::bridge::limits::{ACKNOWLEDGE_MS, LISTENS_MAX, SUBSCRIPTIONS_MAX};
use crate::bridge::message::{Exchange, Message};
use crate::bridge::state::{HeardTasks, Resume};
use crate::envelope::META_SUBSCRIPTION_ID;
use crate::object::{member, member_text};
use crate::{compose, methods};

/// One open `subscriptions/listen`.
pub(super) struct Listen {
    pub id: Bytes,
    filter: Filter,
    /// Its tasks on this lane, with the client's names for them.
    pub tasks: BTreeMap<u64, String>,
    pub acknowledged: bool,
}

/// One resource that the server was asked to watch.
pub(super) struct Subscription {
    listens: usize,
    confirmed: bool,
}

impl LegacyLane {
    pub(super) fn listen(&mut self, exchange: Exchange, request: Message<'_>, resume: Resume) {
        let id = request.id();
        let Some(asked) = request.param("notifications").filter(|raw| raw.first() == Some(&b'{')) else {
            let message = Reason::InvalidInput.answer(&id, "params.notifications must be an object");
            return self.answer(exchange, 200, message);
        };
        if member(asked, 0..asked.len(), "taskIds").is_some() && !ClientCapabilities::of_modern(request).tasks
        {
            return self.answer(exchange, 400, failure::missing_capability(&id, &required_tasks()));
        }
        if self.listens.len() >= LISTENS_MAX {
            return self.fail(exchange, &id, Reason::LaneUnavailable);
        }
        let hears = self.options.hears;
        let traits = self.profile().filter(|_| hears).map(|profile| profile.traits).unwrap_or_default();
        let mut filter = Filter::parse(asked).offered_by(traits);
        filter.uris.retain(|uri| self.watch_resource(uri));
        let tasks = self.heard_tasks(resume, &mut filter);
        let waits = !filter.uris.is_empty();
        self.listens.insert(exchange, Listen { id, filter, tasks, acknowledged: false });
        if waits {
            self.arm(LaneTimer::Listen(exchange), ACKNOWLEDGE_MS);
        }
        self.acknowledge_if_confirmed(exchange);
    }

    /// The tasks of this lane that a listen hears of. All that are heard anywhere are acknowledged.
    fn heard_tasks(&self, resume: Resume, filter: &mut Filter) -> BTreeMap<u64, String> {
        let Resume::Tasks(HeardTasks { here, elsewhere }) = resume else { return BTreeMap::new() };
        let known = |number: &u64| self.options.hears && self.tasks.contains_key(number);
        let here: BTreeMap<u64, String> = here.into_iter().filter(|(number, _)| known(number)).collect();
        filter.tasks = here.values().cloned().chain(elsewhere).collect();
        here
    }

    /// Counts one more listen for a resource; the first asks the server. False if there is no room.
    fn watch_resource(&mut self, uri: &str) -> bool {
        if let Some(subscription) = self.subscriptions.get_mut(uri) {
            subscription.listens += 1;
            return true;
        }
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return false;
        }
        self.subscriptions.insert(uri.to_owned(), Subscription { listens: 1, confirmed: false });
        self.ask_server(Wire::Subscribe(uri.to_owned()), methods::RESOURCES_SUBSCRIBE, &uri_params(uri));
        true
    }

    fn unwatch_resource(&mut self, uri: &str) {
        let Some(subscription) = self.subscriptions.get_mut(uri) else {
            return;
        };
        subscription.listens -= 1;
        // While the server has not confirmed it, its confirmation finds nobody, and is undone then.
        if subscription.listens == 0 && self.subscriptions.remove(uri).is_some_and(|gone| gone.confirmed) {
            self.unsubscribe(uri);
        }
    }

    fn unsubscribe(&mut self, uri: &str) {
        self.ask_server(Wire::Ignored, methods::RESOURCES_UNSUBSCRIBE, &uri_params(uri));
    }

    /// The server has answered a subscription.
    pub(super) fn subscribed(&mut self, uri: &str, granted: bool) {
        match self.subscriptions.get_mut(uri) {
            Some(subscription) if granted => subscription.confirmed = true,
            Some(subscription) if !subscription.confirmed => {
                self.subscriptions.remove(uri);
                self.listens.values_mut().for_each(|listen| listen.filter.uris.retain(|named| named != uri));
            }
            Some(_) => {}
            None if granted => self.unsubscribe(uri),
            None => {}
        }
        let waiting: Vec<Exchange> = self.listens.keys().copied().collect();
        waiting.into_iter().for_each(|exchange| self.acknowledge_if_confirmed(exchange));
    }

    fn acknowledge_if_confirmed(&mut self, exchange: Exchange) {
        let Some(listen) = self.listens.get(&exchange).filter(|listen| !listen.acknowledged) else {
            return;
        };
        let confirmed = |uri: &String| self.subscriptions.get(uri).is_some_and(|found| found.confirmed);
        if listen.filter.uris.iter().all(confirmed) {
            self.acknowledge(exchange);
        }
    }

    /// Some subscriptions took too long: they are left out.
    pub(super) fn acknowledge_late(&mut self, exchange: Exchange) {
        let Some(listen) = self.listens.get_mut(&exchange).filter(|listen| !listen.acknowledged) else {
            return;
        };
        let subscriptions = &self.subscriptions;
        let confirmed = |uri: &String| subscriptions.get(uri).is_some_and(|found| found.confirmed);
        let (kept, late) = std::mem::take(&mut listen.filter.uris).into_iter().partition(confirmed);
        listen.filter.uris = kept;
        let late: Vec<String> = late;
        late.iter().for_each(|uri| self.unwatch_resource(uri));
        self.acknowledge(exchange);
    }

    fn acknowledge(&mut self, exchange: Exchange) {
        let Some(listen) = self.listens.get_mut(&exchange) else {
            return;
        };
        listen.acknowledged = true;
        let meta = object(&pair(META_SUBSCRIPTION_ID, &listen.id));
        let params =
            object(&joined(&[&pair("notifications", &listen.filter.to_json()), &pair("_meta", &meta)]));
        let waited = !listen.filter.uris.is_empty();
        let message = compose::notification(methods::SUBSCRIPTIONS_ACKNOWLEDGED, Some(&params)).into();
        self.outbox.push(LaneOutput::Client { exchange, message });
        if waited {
            self.disarm(LaneTimer::Listen(exchange));
        }
    }

    /// The client no longer listens.
    pub(super) fn unlisten(&mut self, exchange: Exchange) {
        if let Some(listen) = self.listens.remove(&exchange) {
            self.disarm(LaneTimer::Listen(exchange));
            listen.filter.uris.iter().for_each(|uri| self.unwatch_resource(uri));
        }
    }

    /// The lane ends: who listens is told, and may listen again elsewhere.
    pub(super) fn end_listens(&mut self) {
        for (exchange, listen) in std::mem::take(&mut self.listens) {
            self.disarm(LaneTimer::Listen(exchange));
            let meta = pair("_meta", &object(&pair(META_SUBSCRIPTION_ID, &listen.id)));
            let result = object(&joined(&[br#""resultType":"complete""#, &meta]));
            self.answer(exchange, 200, compose::response(&listen.id, &result).into());
        }
        self.subscriptions.clear();
    }

    pub(super) fn changed(&mut self, kind: ListKind, notification: Message<'_>) {
        self.outbox.push(LaneOutput::Changed(kind));
        if kind == ListKind::Tools {
            self.toolbox.outdate();
        }
        let method = notification.method();
        self.publish(notification, |filter| filter.wants(method));
    }

    pub(super) fn updated(&mut self, notification: Message<'_>) {
        let params = notification.envelope().params_range();
        let uri = params.and_then(|params| member_text(notification.bytes(), params, "uri"));
        if let Some(uri) = uri {
            self.publish(notification, |filter| filter.covers(&uri));
        }
    }

    fn publish(&mut self, notification: Message<'_>, wanted: impl Fn(&Filter) -> bool) {
        for (exchange, listen) in &self.listens {
            // Nothing may come before the acknowledgement.
            if listen.acknowledged && wanted(&listen.filter) {
                let message = tagged(notification, &listen.id);
                self.outbox.push(LaneOutput::Client { exchange: *exchange, message });
            }
        }
    }
}

fn uri_params(uri: &str) -> Vec<u8> {
    object(&pair("uri", &quoted(uri)))
}

/// The notification with the subscription it belongs to.
fn tagged(notification: Message<'_>, id: &[u8]) -> Bytes {
    let (bytes, envelope) = (notification.bytes(), notification.envelope());
    let tag = pair(META_SUBSCRIPTION_ID, id);
    let mut edits = Edits::new(bytes);
    match (envelope.meta_range(), envelope.params_range()) {
        (Some(meta), _) => edits.members(meta, &[META_SUBSCRIPTION_ID], tag),
        (None, Some(params)) => edits.members(params, &["_meta"], pair("_meta", &object(&tag))),
        (None, None) => {
            let params = pair("params", &object(&pair("_meta", &object(&tag))));
            edits.members(0..bytes.len(), &["params"], params);
        }
    }
    edits.apply()
}
