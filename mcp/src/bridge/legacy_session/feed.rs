//! One upstream `subscriptions/listen` for all that a session wants to hear of. Another wish opens a new
//! one before the old one is closed.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{LegacySession, SessionOutput, SessionTimer, Wire};
use crate::bridge::edits::{Edits, pair};
use crate::bridge::failure::{self, Reason};
use crate::bridge::filter::Filter;
use crate::bridge::limits::{REOPEN_MS, SUBSCRIPTIONS_MAX};
use crate::bridge::message::{Exchange, Message};
use crate::envelope::META_SUBSCRIPTION_ID;
use crate::object::{member_text, members};
use crate::refusal::{code, error_response};
use crate::{compose, methods};

#[derive(Default)]
pub(super) struct Feed {
    /// The client has a stream on which it can hear.
    pub heard: bool,
    uris: BTreeSet<String>,
    /// Unsubscribed, and still in the subscription that is acknowledged.
    given_up: BTreeSet<String>,
    /// The listen that is acknowledged.
    current: Option<u64>,
    /// The one that shall take its place.
    opening: Option<u64>,
    /// The wishes have changed since that one was opened.
    stale: bool,
    /// Subscriptions whose client waits.
    waiting: Vec<Waiting>,
    pause_ms: u64,
}

struct Waiting {
    exchange: Exchange,
    id: Bytes,
    uri: String,
}

impl LegacySession {
    pub(super) fn subscribe(&mut self, exchange: Exchange, request: Message<'_>) {
        let id = request.id();
        if !self.client.as_ref().is_some_and(|client| client.seed.server.subscribe) {
            return self.answer(exchange, failure::method_not_found(&id, request.method()));
        }
        let Some(uri) = uri_of(request) else {
            let message = error_response(&id, code::INVALID_PARAMS, "params.uri must be a string", None);
            return self.answer(exchange, message.into());
        };
        if self.feed.uris.len() >= SUBSCRIPTIONS_MAX {
            let message = Reason::LaneUnavailable.answer(&id, "too many subscriptions in this session");
            return self.answer(exchange, message);
        }
        self.feed.given_up.remove(&uri);
        self.feed.uris.insert(uri.clone());
        self.feed.waiting.push(Waiting { exchange, id, uri });
        self.refresh_feed();
    }

    pub(super) fn unsubscribe(&mut self, exchange: Exchange, request: Message<'_>) {
        let known = uri_of(request).and_then(|uri| self.feed.uris.take(&uri));
        self.result(exchange, &request.id(), b"{}");
        if let Some(uri) = known {
            self.feed.given_up.insert(uri);
            self.refresh_feed();
        }
    }

    /// Makes the upstream subscription what the session wants to hear of.
    pub(super) fn refresh_feed(&mut self) {
        if self.feed.opening.is_some() {
            self.feed.stale = true;
            return;
        }
        let Some(filter) = self.wanted() else {
            self.feed.given_up.clear();
            if let Some(wire) = self.feed.current.take() {
                self.cancel_wire(wire);
            }
            return;
        };
        let wanted = pair("notifications", &filter.to_json());
        self.feed.opening = self.send(Wire::Listen, false, |number, client| {
            let params = client.params(&wanted);
            let number = number.to_string();
            compose::request(number.as_bytes(), methods::SUBSCRIPTIONS_LISTEN, Some(&params)).into()
        });
    }

    /// None if there is nothing to hear, or nobody who would.
    fn wanted(&self) -> Option<Filter> {
        let server = self.client.as_ref()?.seed.server;
        let filter = Filter {
            tools: self.feed.heard && server.tools_changed,
            prompts: self.feed.heard && server.prompts_changed,
            resources: self.feed.heard && server.resources_changed,
            uris: self.feed.uris.iter().cloned().collect(),
            tasks: Vec::new(),
        };
        (filter != Filter::default()).then_some(filter)
    }

    /// A notification on a subscription.
    pub(super) fn fed(&mut self, wire: u64, notification: Message<'_>) {
        if self.feed.opening == Some(wire) {
            if notification.method() == methods::SUBSCRIPTIONS_ACKNOWLEDGED {
                self.acknowledged(wire, notification);
            }
            return;
        }
        // What an old subscription still says, the new one says as well.
        let told = matches!(
            notification.method(),
            methods::TOOLS_LIST_CHANGED
                | methods::PROMPTS_LIST_CHANGED
                | methods::RESOURCES_LIST_CHANGED
                | methods::RESOURCES_UPDATED
        );
        let wanted = notification.method() != methods::RESOURCES_UPDATED
            || uri_of(notification).is_none_or(|uri| !self.feed.given_up.contains(&uri));
        if self.feed.current == Some(wire) && self.feed.heard && told && wanted {
            self.outbox.push(SessionOutput::General(untagged(notification)));
        }
    }

    fn acknowledged(&mut self, wire: u64, notification: Message<'_>) {
        let granted = Filter::parse(notification.param("notifications").unwrap_or(b"{}"));
        self.feed.opening = None;
        self.feed.pause_ms = 0;
        if let Some(old) = self.feed.current.replace(wire) {
            self.cancel_wire(old);
        }
        let stale = std::mem::take(&mut self.feed.stale);
        if !stale {
            self.feed.given_up.clear();
        }
        for waiting in std::mem::take(&mut self.feed.waiting) {
            if granted.uris.contains(&waiting.uri) {
                self.result(waiting.exchange, &waiting.id, b"{}");
            } else if stale && self.feed.uris.contains(&waiting.uri) {
                // It came after this subscription was opened; the next one has it.
                self.feed.waiting.push(waiting);
            } else {
                self.feed.uris.remove(&waiting.uri);
                let why = "the backend does not offer subscriptions to this resource";
                let message = error_response(&waiting.id, code::INVALID_PARAMS, why, None);
                self.answer(waiting.exchange, message.into());
            }
        }
        if stale {
            self.refresh_feed();
        }
    }

    /// The server ended a subscription, or it broke off.
    pub(super) fn feed_ended(&mut self, wire: u64) {
        if self.feed.opening == Some(wire) {
            self.feed.opening = None;
            self.feed.stale = false;
            for waiting in std::mem::take(&mut self.feed.waiting) {
                self.feed.uris.remove(&waiting.uri);
                let message =
                    Reason::UpstreamUnavailable.answer(&waiting.id, "the backend did not subscribe");
                self.answer(waiting.exchange, message);
            }
        } else if self.feed.current == Some(wire) {
            self.feed.current = None;
        } else {
            return;
        }
        if self.feed.current.is_none() && self.wanted().is_some() {
            let (first, longest) = REOPEN_MS;
            self.feed.pause_ms = (self.feed.pause_ms * 2).clamp(first, longest);
            self.arm(SessionTimer::Reopen, self.feed.pause_ms);
        }
    }
}

fn uri_of(request: Message<'_>) -> Option<String> {
    member_text(request.bytes(), request.envelope().params_range()?, "uri").map(|uri| uri.into_owned())
}

/// The notification without the subscription that it belongs to.
fn untagged(notification: Message<'_>) -> Bytes {
    let (bytes, envelope) = (notification.bytes(), notification.envelope());
    let (Some(meta), Some(params)) = (envelope.meta_range(), envelope.params_range()) else {
        return bytes.clone();
    };
    let mut edits = Edits::new(bytes);
    if members(bytes, meta.clone()).any(|(name, _)| name != META_SUBSCRIPTION_ID) {
        edits.members(meta, &[META_SUBSCRIPTION_ID], &b""[..]);
    } else {
        edits.members(params, &["_meta"], &b""[..]);
    }
    edits.apply()
}
