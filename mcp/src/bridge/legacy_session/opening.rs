//! The handshake of a legacy client, answered from what the server says when it is discovered.

use bytes::Bytes;

use super::{Client, LegacySession, SessionOutput, SessionSeed, SessionTimer, Wire, words};
use crate::bridge::capabilities::ClientCapabilities;
use crate::bridge::error_map;
use crate::bridge::failure::Reason;
use crate::bridge::limits::{CAPABILITIES_LEN_MAX, HANDSHAKE_MS};
use crate::bridge::message::{Exchange, Message};
use crate::bridge::request::ClientMeta;
use crate::bridge::server::{ServerProfile, ServerTraits, negotiated};
use crate::envelope::Kind;
use crate::{compose, methods};

/// A handshake that waits for the server.
pub(super) struct Opening {
    pub exchange: Exchange,
    id: Bytes,
    wire: u64,
    seed: SessionSeed,
}

impl LegacySession {
    pub(super) fn initialize(&mut self, exchange: Exchange, request: Message<'_>) {
        let seed = SessionSeed {
            revision: negotiated(request),
            client_info: object_text(request.param("clientInfo")).unwrap_or_else(anonymous),
            capabilities: object_text(request.param("capabilities")).unwrap_or_else(|| "{}".to_owned()),
            server: ServerTraits::default(),
        };
        let wire = self.next;
        self.next += 1;
        self.wires.insert(wire, Wire::Discovery);
        let capabilities = ClientCapabilities::parse(seed.capabilities.as_bytes()).to_modern(false);
        let client =
            ClientMeta { info: seed.client_info.as_bytes(), capabilities: &capabilities, level: None };
        let params = client.params(b"");
        let message =
            compose::request(wire.to_string().as_bytes(), methods::SERVER_DISCOVER, Some(&params)).into();
        self.outbox.push(SessionOutput::Upstream { wire, message, endless: false });
        self.arm(SessionTimer::Discovery, HANDSHAKE_MS);
        self.opening = Some(Opening { exchange, id: request.id(), wire, seed });
    }

    pub(super) fn discovered(&mut self, response: Message<'_>) {
        self.disarm(SessionTimer::Discovery);
        let Some(Opening { exchange, id, mut seed, .. }) = self.opening.take() else {
            return;
        };
        if response.kind() == Kind::Error {
            return self.answer(exchange, error_map::to_legacy(response, methods::SERVER_DISCOVER, &id));
        }
        let Some(profile) = ServerProfile::of_discovery(response) else {
            return self
                .answer(exchange, Reason::ProtocolViolation.answer(&id, words(Reason::ProtocolViolation)));
        };
        seed.server = profile.traits;
        let result = profile.handshake(seed.revision, &self.options.backend);
        let capabilities = ClientCapabilities::parse(seed.capabilities.as_bytes());
        self.outbox.push(SessionOutput::Opened(seed.clone()));
        self.client = Some(Client { seed, capabilities });
        self.result(exchange, &id, &result);
    }

    pub(super) fn undiscovered(&mut self, reason: Reason) {
        self.disarm(SessionTimer::Discovery);
        if let Some(Opening { exchange, id, .. }) = self.opening.take() {
            self.answer(exchange, reason.answer(&id, words(reason)));
        }
    }

    pub(super) fn discovery_silent(&mut self) {
        if let Some(wire) = self.opening.as_ref().map(|opening| opening.wire) {
            self.cancel_wire(wire);
            self.undiscovered(Reason::Timeout);
        }
    }
}

/// A JSON object of reasonable size, as text.
fn object_text(raw: Option<&[u8]>) -> Option<String> {
    let raw = raw.filter(|raw| raw.first() == Some(&b'{') && raw.len() <= CAPABILITIES_LEN_MAX)?;
    Some(String::from_utf8_lossy(raw).into_owned())
}

/// What a client is called that does not say it.
fn anonymous() -> String {
    r#"{"name":"unknown","version":"unknown"}"#.to_owned()
}
