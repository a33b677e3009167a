//! The handshake of a lane, the requests that wait for it, and its end.

use super::{LaneOutput, LaneTimer, LegacyLane, Wire};
use crate::bridge::edits::{joined, object, pair, quoted};
use crate::bridge::error_map::code_of;
use crate::bridge::failure::Reason;
use crate::bridge::limits::{HANDSHAKE_MS, QUEUE_MAX};
use crate::bridge::message::{Exchange, Message, Owned};
use crate::bridge::server::ServerProfile;
use crate::bridge::state::Resume;
use crate::refusal::code;
use crate::revision::Revision;
use crate::{compose, methods};

pub(super) enum Phase {
    Opening(Vec<Held>),
    Open(ServerProfile),
    Closed,
}

/// A request that waits for the handshake.
pub(super) struct Held {
    pub exchange: Exchange,
    request: Owned,
    resume: Resume,
}

impl LegacyLane {
    pub(super) fn initialize(&mut self) {
        let params = object(&joined(&[
            &pair("protocolVersion", &quoted(Revision::LATEST_LEGACY.as_str())),
            &pair("capabilities", &self.options.capabilities.to_legacy()),
            &pair("clientInfo", &self.options.client_info),
        ]));
        self.ask_server(Wire::Handshake, methods::INITIALIZE, &params);
        self.arm(LaneTimer::Handshake, HANDSHAKE_MS);
    }

    /// Keeps a request until the handshake is done.
    pub(super) fn hold(&mut self, exchange: Exchange, request: Message<'_>, resume: Resume) {
        match &mut self.phase {
            Phase::Opening(queue) if queue.len() < QUEUE_MAX => {
                queue.push(Held { exchange, request: request.into(), resume });
            }
            _ => self.fail(exchange, &request.id(), Reason::LaneUnavailable),
        }
    }

    pub(super) fn opened(&mut self, response: Message<'_>) {
        let Some(profile) = ServerProfile::of_handshake(response) else {
            if code_of(response) == Some(code::UNSUPPORTED_VERSION) {
                self.outbox.push(LaneOutput::Contradicted);
            }
            return self.close(Reason::UpstreamUnavailable);
        };
        self.disarm(LaneTimer::Handshake);
        self.send(compose::notification(methods::INITIALIZED, None).into());
        self.outbox.push(LaneOutput::Opened);
        if let Phase::Opening(queue) = std::mem::replace(&mut self.phase, Phase::Open(profile)) {
            for held in queue {
                self.dispatch(held.exchange, held.request.lend(), held.resume);
            }
        }
    }

    /// Ends everything: who waits gets an answer, subscriptions come to an orderly end.
    pub(super) fn close(&mut self, reason: Reason) {
        if let Phase::Opening(queue) = std::mem::replace(&mut self.phase, Phase::Closed) {
            self.disarm(LaneTimer::Handshake);
            // Nothing was sent for these, so nothing was executed.
            let reason = if reason == Reason::StreamLost { Reason::UpstreamUnavailable } else { reason };
            for held in queue {
                self.fail(held.exchange, &held.request.lend().id(), reason);
            }
        }
        self.lose_calls(reason);
        self.lose_tasks();
        self.lose_questions();
        self.end_listens();
        self.wires.clear();
        self.outbox.push(LaneOutput::Closed);
    }
}
