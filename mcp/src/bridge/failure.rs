//! Errors of the gateway's own, each with a reason that a program can read.

use bytes::Bytes;
use serde_json::{Value, json};

use super::edits::{joined, object, pair, quoted};
use crate::compose;
use crate::refusal::{code, error_response};

/// Why a call failed that neither its server nor its client is to blame for, or whose client has to
/// start over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The `requestState` is not one of ours, or belongs to another request.
    InvalidRequestState,
    /// The answers came too late: the call was given up.
    InteractionExpired,
    /// The connection that waited for the answers is gone.
    InteractionLost,
    /// An answer to a question has not the shape it needs.
    InvalidInput,
    /// The client said no where the call needs a yes.
    Declined,
    UpstreamUnavailable,
    /// The connection ended before the answer; whether the call was executed is unknown.
    StreamLost,
    Timeout,
    /// Too much is going on already.
    LaneUnavailable,
    /// The server said something its revision does not allow.
    ProtocolViolation,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequestState => "invalid_request_state",
            Self::InteractionExpired => "interaction_expired",
            Self::InteractionLost => "interaction_lost",
            Self::InvalidInput => "invalid_input",
            Self::Declined => "declined",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::StreamLost => "stream_lost",
            Self::Timeout => "timeout",
            Self::LaneUnavailable => "lane_unavailable",
            Self::ProtocolViolation => "protocol_violation",
        }
    }

    /// -32602 where the client can do better, -32603 where it cannot.
    pub const fn code(self) -> i32 {
        match self {
            Self::InvalidRequestState
            | Self::InteractionExpired
            | Self::InteractionLost
            | Self::InvalidInput
            | Self::Declined => code::INVALID_PARAMS,
            _ => code::INTERNAL_ERROR,
        }
    }

    /// The error response to the request `id`.
    pub fn answer(self, id: &[u8], message: &str) -> Bytes {
        let data = json!({ "reason": self.as_str() });
        error_response(id, self.code(), message, Some(&data)).into()
    }

    /// The words that go with a state that cannot be used.
    pub fn state_answer(self, id: &[u8]) -> Bytes {
        let hint = match self {
            Self::InteractionExpired => "the answers came too late, start the call again",
            Self::InteractionLost => {
                "the connection that waited for the answers is gone, start the call again"
            }
            _ => "it does not belong to this request",
        };
        self.answer(id, &format!("Invalid or expired requestState: {hint}"))
    }
}

/// -32601.
pub fn method_not_found(id: &[u8], method: &str) -> Bytes {
    error_response(id, code::METHOD_NOT_FOUND, &format!("method not found: {method}"), None).into()
}

/// -32021: the modern way to name a capability that was not declared.
pub fn missing_capability(id: &[u8], required: &Value) -> Bytes {
    let message = "the client did not declare a capability this request needs";
    let data = json!({ "requiredCapabilities": required });
    error_response(id, code::MISSING_CAPABILITY, message, Some(&data)).into()
}

/// -32602: a task that is none, or somebody else's, or forgotten.
pub fn unknown_task(id: &[u8]) -> Bytes {
    error_response(id, code::INVALID_PARAMS, "unknown taskId", None).into()
}

/// -32602: a cursor that is none, or somebody else's, or of another list, or too old.
pub fn unknown_cursor(id: &[u8]) -> Bytes {
    error_response(id, code::INVALID_PARAMS, "the cursor is none of this list", None).into()
}

/// A tool result that says what went wrong, so that a model reads it. `modern` results name their type.
pub fn tool_error(id: &[u8], text: &str, modern: bool) -> Bytes {
    let block = object(&joined(&[br#""type":"text""#, &pair("text", &quoted(text))]));
    let kind: &[u8] = if modern { br#""resultType":"complete""# } else { b"" };
    let content = [&b"\"content\":["[..], &block, b"]"].concat();
    compose::response(id, &object(&joined(&[kind, &content, br#""isError":true"#]))).into()
}
