//! [`Labels`]: what a client calls its request. Upstream it has our id; on the way back the client's
//! own spelling is put in again, byte for byte.

use std::ops::Range;

use bytes::Bytes;
use omcp_core::McpMessage;
use omcp_mcp::methods;
use omcp_mcp::splice::splice;

/// The id and progress token of one request as its client spelled them.
#[derive(Clone, Debug)]
pub struct Labels {
    id: Bytes,
    token: Option<Bytes>,
}

impl Labels {
    /// `None` if the message is no request.
    pub fn of(request: &McpMessage) -> Option<Self> {
        let envelope = request.envelope();
        let slice = |range: Range<usize>| request.bytes().slice(range);
        Some(Self { id: slice(envelope.id_range()?), token: envelope.progress_token_range().map(slice) })
    }

    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The request as it goes upstream: `minted` is its id and its progress token.
    pub fn replace(request: &McpMessage, minted: u64) -> McpMessage {
        let envelope = request.envelope();
        let number = minted.to_string();
        let mut edits = Vec::with_capacity(2);
        edits.extend(envelope.id_range().map(|range| (range, number.as_bytes())));
        edits.extend(envelope.progress_token_range().map(|range| (range, number.as_bytes())));
        edits.sort_unstable_by_key(|(range, _)| range.start);
        McpMessage::trusted(splice(request.bytes(), &edits))
    }

    /// A response with the client's id. Subscription ids inside the result follow.
    pub fn restore_response(&self, response: &McpMessage) -> Bytes {
        let envelope = response.envelope();
        let mut edits: Vec<(Range<usize>, &[u8])> = Vec::with_capacity(2);
        edits.extend(envelope.id_range().map(|range| (range, &self.id[..])));
        edits.extend(envelope.subscription_id_range().map(|range| (range, &self.id[..])));
        edits.sort_unstable_by_key(|(range, _)| range.start);
        splice(response.bytes(), &edits)
    }

    /// A notification with the client's progress token or subscription id.
    pub fn restore_notification(&self, notification: &McpMessage) -> Bytes {
        let envelope = notification.envelope();
        // A request of the peer has a token of the peer's own.
        let is_progress = notification.is_method(methods::PROGRESS);
        let token = envelope.progress_token_range().filter(|_| is_progress).zip(self.token.as_ref());
        let subscription = envelope.subscription_id_range().map(|range| (range, &self.id));
        match token.or(subscription) {
            Some((range, label)) => splice(notification.bytes(), &[(range, &label[..])]),
            None => notification.bytes().clone(),
        }
    }
}
