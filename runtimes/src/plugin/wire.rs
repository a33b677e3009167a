//! From nouns to wire words and back: how a stream starts, and what the two ends make of each other's
//! errors.

use omcp_core::{ErrorKind, GatewayError, NodeIdentity, RuntimeContext};
use omcp_proto::plugin::PROTOCOL;
use omcp_proto::plugin::v1::{self, Failure, FailureKind, Start};
use serde_json::Value;
use tonic::{Code, Status};

/// Longest text of a failure that is passed on, bytes: what status and answers show.
const TEXT_LEN_MAX: usize = 1024;
/// What a frame adds to its message, with room.
const FRAME_LEN: usize = 1024;

/// Largest gRPC message that holds a JSON-RPC message of `len_max` bytes.
pub fn frame_len_max(len_max: usize) -> usize {
    len_max + FRAME_LEN
}

/// What a plugin needs to reach a backend.
pub fn start(runtime_type: &str, settings: &Value, context: &RuntimeContext) -> Start {
    Start {
        protocol: PROTOCOL,
        runtime_type: runtime_type.to_owned(),
        backend: context.backend.to_string(),
        settings_json: settings.to_string(),
        env: context.env.clone(),
        node: Some(v1::NodeIdentity {
            name: context.node.name.to_string(),
            id: context.node.id.to_string(),
            boot_id: context.node.boot_id.to_string(),
        }),
    }
}

/// Who started a stream. A node that does not say keeps no state.
pub fn node(start: &Start) -> NodeIdentity {
    let told = start.node.clone().unwrap_or_default();
    NodeIdentity { name: told.name.into(), id: told.id.into(), boot_id: told.boot_id.into() }
}

/// How an error is told to the node.
pub fn failure(error: &GatewayError) -> Failure {
    let kind = match error.kind() {
        ErrorKind::InvalidSettings | ErrorKind::MissingReference | ErrorKind::UnknownRuntime => {
            FailureKind::InvalidSettings
        }
        ErrorKind::Unreachable => FailureKind::Unreachable,
        ErrorKind::Timeout => FailureKind::Timeout,
        ErrorKind::Closed => FailureKind::Closed,
        ErrorKind::Auth => FailureKind::Auth,
        ErrorKind::Protocol => FailureKind::Protocol,
        ErrorKind::Limit => FailureKind::Limit,
        ErrorKind::Unsupported => FailureKind::Unsupported,
        _ => FailureKind::Internal,
    };
    Failure { kind: kind.into(), message: bounded(&error.chain()) }
}

/// The error that a plugin told. `below` is where its settings stand in the backend's.
pub fn error(failure: &Failure, below: &str) -> GatewayError {
    let text = match bounded(&failure.message) {
        text if text.is_empty() => "the plugin gave no reason".to_owned(),
        text => text,
    };
    match failure.kind() {
        FailureKind::InvalidSettings => GatewayError::invalid_settings(format!("{below}{text}")),
        FailureKind::Unreachable => GatewayError::unreachable(text),
        FailureKind::Timeout => GatewayError::timeout(text),
        FailureKind::Closed => GatewayError::closed(text),
        FailureKind::Auth => GatewayError::new(ErrorKind::Auth, text),
        FailureKind::Limit => GatewayError::new(ErrorKind::Limit, text),
        FailureKind::Unsupported => GatewayError::new(ErrorKind::Unsupported, text),
        FailureKind::Protocol => GatewayError::protocol(text),
        // Not a defect of the gateway.
        FailureKind::Internal | FailureKind::Unspecified => {
            GatewayError::protocol(format!("the plugin failed: {text}"))
        }
    }
}

/// What the end of a gRPC call means, told by whoever served `plugin`.
pub fn broken(plugin: &str, status: &Status) -> GatewayError {
    let text = |what: &str| format!("{plugin} {what}: {}", bounded(status.message()));
    match status.code() {
        Code::DeadlineExceeded => GatewayError::timeout(text("was too slow")),
        Code::Unauthenticated | Code::PermissionDenied => {
            GatewayError::new(ErrorKind::Auth, text("refused the node"))
        }
        Code::ResourceExhausted => GatewayError::new(ErrorKind::Limit, text("reached a limit")),
        Code::Unimplemented => GatewayError::protocol(text("is no plugin for this node")),
        Code::OutOfRange => GatewayError::protocol(text("sent a message above message_len_max")),
        _ => GatewayError::closed(text("broke the connection")),
    }
}

/// Refuses a plugin with no version of the protocol in common.
///
/// # Errors
/// `Unsupported`, naming what both ends are and speak.
pub fn check_protocol(plugin: &str, min: u32, max: u32) -> Result<(), GatewayError> {
    if min <= PROTOCOL && PROTOCOL <= max {
        return Ok(());
    }
    let node = env!("CARGO_PKG_VERSION");
    let text = format!(
        "{plugin} speaks plugin protocol {min} to {max}, and this node, version {node}, speaks {PROTOCOL}: \
         bring both to versions that share one"
    );
    Err(GatewayError::new(ErrorKind::Unsupported, text))
}

/// At most [`TEXT_LEN_MAX`] bytes, fit for one line.
pub fn bounded(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = line.take(TEXT_LEN_MAX).collect();
    line.truncate(line.floor_char_boundary(TEXT_LEN_MAX));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_wire() {
        for kind in [
            ErrorKind::InvalidSettings,
            ErrorKind::Unreachable,
            ErrorKind::Timeout,
            ErrorKind::Closed,
            ErrorKind::Auth,
            ErrorKind::Protocol,
            ErrorKind::Limit,
            ErrorKind::Unsupported,
        ] {
            let told = error(&failure(&GatewayError::new(kind, "x: y")), "");
            assert_eq!((told.kind(), told.to_string().as_str()), (kind, "x: y"));
        }
        let nested = error(&failure(&GatewayError::invalid_settings("host: no name")), "settings.");
        assert_eq!(nested.to_string(), "settings.host: no name");
        let unknown = error(&Failure { kind: 99, message: "\n".repeat(5000) }, "");
        assert_eq!(unknown.kind(), ErrorKind::Protocol);
        assert!(!unknown.to_string().contains('\n') && unknown.to_string().len() < 1100);
    }

    #[test]
    fn both_versions_are_named() {
        assert!(check_protocol("p", PROTOCOL, PROTOCOL + 1).is_ok());
        let error = check_protocol("plugin p 2.0", PROTOCOL + 1, PROTOCOL + 2).unwrap_err().to_string();
        assert!(
            error.starts_with("plugin p 2.0 speaks plugin protocol 2 to 3, and this node, version "),
            "{error}"
        );
        assert!(error.contains("speaks 1"), "{error}");
    }
}
