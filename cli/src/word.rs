//! The words people read for states and changes, and how they feel about them.

use omcp_proto::v1::{BackendState, ChangeKind, NodeBackendStatus, NodeState, Rejection, RejectionCode};

use crate::output::table::{Cell, Mood};

pub fn node_state(state: i32) -> &'static str {
    match NodeState::try_from(state) {
        Ok(NodeState::InSync) => "in-sync",
        Ok(NodeState::Lagging) => "lagging",
        Ok(NodeState::HeldMassRemoval) => "held-mass-removal",
        Ok(NodeState::Disconnected) => "disconnected",
        Ok(NodeState::Unspecified) | Err(_) => "unknown",
    }
}

/// How a node stands, and whether it is drained.
pub fn node_cell(state: i32, drained: bool) -> Cell {
    let mood = match NodeState::try_from(state) {
        Ok(NodeState::InSync) if !drained => Mood::Good,
        Ok(NodeState::InSync | NodeState::Lagging) => Mood::Waiting,
        _ => Mood::Bad,
    };
    let text = node_state(state);
    if drained { Cell::new(format!("{text} (drained)"), mood) } else { Cell::new(text, mood) }
}

/// How a backend does on a node; a rejection outranks what else is said.
pub fn backend_state(status: &NodeBackendStatus) -> BackendState {
    let said = status.status.as_ref().map(|status| status.state()).unwrap_or_default();
    if status.rejection.is_some() { BackendState::Rejected } else { said }
}

pub fn backend_word(state: BackendState) -> &'static str {
    match state {
        BackendState::Starting => "starting",
        BackendState::Ready => "ready",
        BackendState::Failing => "failing",
        BackendState::Stopped => "stopped",
        BackendState::Rejected => "rejected",
        BackendState::Degraded => "degraded",
        BackendState::CrashLoop => "crash-loop",
        BackendState::Idle => "idle",
        BackendState::Unspecified => "unknown",
    }
}

pub fn backend_cell(state: BackendState) -> Cell {
    let mood = match state {
        BackendState::Ready | BackendState::Idle => Mood::Good,
        BackendState::Failing | BackendState::CrashLoop | BackendState::Rejected => Mood::Bad,
        BackendState::Starting | BackendState::Degraded | BackendState::Unspecified => Mood::Waiting,
        BackendState::Stopped => Mood::Plain,
    };
    Cell::new(backend_word(state), mood)
}

pub fn rejection(code: i32) -> &'static str {
    match RejectionCode::try_from(code) {
        Ok(RejectionCode::Decode) => "unreadable",
        Ok(RejectionCode::UnknownType) => "unknown-type",
        Ok(RejectionCode::Invalid) => "invalid",
        Ok(RejectionCode::MissingReference) => "missing-reference",
        Ok(RejectionCode::BuildFailed) => "build-failed",
        Ok(RejectionCode::Limit) => "limit",
        Ok(RejectionCode::Unspecified) | Err(_) => "rejected",
    }
}

/// Why a backend does not serve as asked, in one line; empty if it does.
pub fn reason(status: &NodeBackendStatus) -> String {
    if let Some(found) = &status.rejection {
        let field = if found.field.is_empty() { String::new() } else { format!("{}: ", found.field) };
        return format!("{field}{}{}", without_field(found), elsewhere(status));
    }
    let said = status.status.as_ref();
    said.filter(|_| !matches!(backend_state(status), BackendState::Ready | BackendState::Idle))
        .map(|status| status.last_error.clone())
        .unwrap_or_default()
}

/// What a node says of a field begins with the field's own name, which stands there already.
fn without_field(found: &Rejection) -> &str {
    match found.message.split_once(": ") {
        Some((name, rest)) if found.field.rsplit('.').next() == Some(name) => rest,
        _ => &found.message,
    }
}

/// Where else a backend can be served, if a node does not offer its runtime type.
fn elsewhere(status: &NodeBackendStatus) -> String {
    let lacks = |found: &Rejection| found.code() == RejectionCode::UnknownType;
    match (status.rejection.as_ref().is_some_and(lacks), status.offered_by.as_slice()) {
        (false, _) => String::new(),
        (true, []) => "; no connected node offers it".to_owned(),
        (true, nodes) => format!("; nodes with it: {}", nodes.join(", ")),
    }
}

pub fn change(kind: i32) -> &'static str {
    match ChangeKind::try_from(kind) {
        Ok(ChangeKind::Created) => "created",
        Ok(ChangeKind::Updated) => "updated",
        Ok(ChangeKind::Unchanged) => "unchanged",
        Ok(ChangeKind::Deleted) => "deleted",
        Ok(ChangeKind::Unspecified) | Err(_) => "unknown",
    }
}

/// `1 change`, `2 changes`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_once() {
        for (field, message, want) in [
            ("runtime.command", "command: no file /x", "runtime.command: no file /x"),
            ("runtime.args[0]", "args[0]: ${X} has no value", "runtime.args[0]: ${X} has no value"),
            ("runtime.url", "it lacks a host: see url", "runtime.url: it lacks a host: see url"),
            ("", "settings: do not fit", "settings: do not fit"),
        ] {
            let rejection =
                Rejection { field: field.into(), message: message.into(), ..Rejection::default() };
            let status = NodeBackendStatus { rejection: Some(rejection), ..Default::default() };
            assert_eq!(reason(&status), want);
        }
    }

    #[test]
    fn a_type_that_a_node_lacks_is_looked_for_elsewhere() {
        let rejection = |code: RejectionCode| {
            Some(Rejection { code: code.into(), message: "no".into(), ..Rejection::default() })
        };
        for (code, nodes, want) in [
            (RejectionCode::UnknownType, &["b", "c"][..], "no; nodes with it: b, c"),
            (RejectionCode::UnknownType, &[], "no; no connected node offers it"),
            (RejectionCode::Invalid, &[], "no"),
        ] {
            let offered_by = nodes.iter().map(|node| (*node).to_owned()).collect();
            let status = NodeBackendStatus { rejection: rejection(code), offered_by, ..Default::default() };
            assert_eq!(reason(&status), want);
        }
    }
}
