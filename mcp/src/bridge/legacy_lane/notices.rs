//! Notifications of the server, to whom they concern.

use bytes::Bytes;

use super::{LaneOutput, LegacyLane, ListKind, Wire, own_number};
use crate::bridge::edits::{object, pair, quoted};
use crate::bridge::level::Level;
use crate::bridge::limits::PROGRESS_KEPT_MAX;
use crate::bridge::message::Message;
use crate::methods;
use crate::splice::splice;

impl LegacyLane {
    pub(super) fn notified(&mut self, notification: Message<'_>) {
        match notification.method() {
            methods::PROGRESS => self.progressed(notification),
            methods::MESSAGE => self.logged(notification),
            methods::CANCELLED => {
                if let Some(id) = notification.envelope().request_id_param(notification.bytes()) {
                    self.withdrawn(id);
                }
            }
            methods::RESOURCES_UPDATED => self.updated(notification),
            methods::TASKS_STATUS => self.task_told(notification),
            methods::TOOLS_LIST_CHANGED => self.changed(ListKind::Tools, notification),
            methods::PROMPTS_LIST_CHANGED => self.changed(ListKind::Prompts, notification),
            methods::RESOURCES_LIST_CHANGED => self.changed(ListKind::Resources, notification),
            // The rest has no place in the modern era: it belongs to no request.
            _ => {}
        }
    }

    fn progressed(&mut self, notification: Message<'_>) {
        let id = notification.progress_token().and_then(|token| own_number(&token));
        let Some((id, call)) = id.and_then(|id| Some((id, self.calls.get_mut(&id)?))) else {
            return;
        };
        call.progresses = true;
        match &call.client {
            Some(client) => {
                let told =
                    client.token.clone().map(|token| (client.exchange, relabelled(notification, &token)));
                if let Some((exchange, Some(message))) = told {
                    self.outbox.push(LaneOutput::Client { exchange, message });
                }
                self.touch(id);
            }
            None => {
                if call.progress.len() == PROGRESS_KEPT_MAX {
                    call.progress.pop_front();
                }
                call.progress.push_back(notification.into());
            }
        }
    }

    /// What happened while the client was away.
    pub(super) fn flush_progress(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let kept = std::mem::take(&mut call.progress);
        let Some(client) = &call.client else {
            return;
        };
        if let Some(token) = &client.token {
            let exchange = client.exchange;
            let told = kept.iter().filter_map(|kept| relabelled(kept.lend(), token));
            self.outbox.extend(told.map(|message| LaneOutput::Client { exchange, message }));
        }
    }

    /// A log message names no request: it goes to the oldest that wants one as severe as this.
    fn logged(&mut self, notification: Message<'_>) {
        let level = Level::of(notification);
        if self.options.shared && self.calls.len() > 1 {
            return;
        }
        let wants = self.calls.iter().find_map(|(id, call)| {
            let client = call.client.as_ref()?;
            client.level.is_some_and(|least| least <= level).then_some((*id, client.exchange))
        });
        if let Some((id, exchange)) = wants {
            self.outbox.push(LaneOutput::Client { exchange, message: notification.bytes().clone() });
            self.touch(id);
        }
    }

    /// Makes the server as talkative as the most curious client wants it. Never less: others share it.
    pub(super) fn raise_level(&mut self, wanted: Option<Level>) {
        let logs = self.profile().is_some_and(|profile| profile.traits.logging);
        let Some(wanted) = wanted.filter(|wanted| logs && self.level.is_none_or(|level| *wanted < level))
        else {
            return;
        };
        self.level = Some(wanted);
        let params = object(&pair("level", &quoted(wanted.as_str())));
        let asked = self.ask_server(Wire::Level(Vec::new()), methods::LOGGING_SET_LEVEL, &params);
        self.raising = Some(asked);
    }

    /// Whether a call has to wait until the server logs what its client wants: servers work on requests
    /// side by side. It is sent when the server has answered.
    pub(super) fn waits_for_level(&mut self, call: u64, wanted: Option<Level>) -> bool {
        self.raise_level(wanted);
        let raising = self.raising.filter(|_| wanted.is_some()).and_then(|wire| self.wires.get_mut(&wire));
        match raising {
            Some(Wire::Level(waiting)) => {
                waiting.push(call);
                true
            }
            _ => false,
        }
    }
}

/// The notification with the client's own token.
fn relabelled(notification: Message<'_>, token: &[u8]) -> Option<Bytes> {
    let at = notification.envelope().progress_token_range()?;
    Some(splice(notification.bytes(), &[(at, token)]))
}
