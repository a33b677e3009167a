//! What the program ends with: the only place where ends and errors become exit codes.

use std::process::ExitCode;

use tonic::{Code, Status};

use crate::mcp_client::McpError;

/// How a command ended that was able to do what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// `diff` found differences.
    Differences,
    /// `--wait` ended before the nodes were done.
    WaitTimedOut,
    /// Some node rejects or fails what was applied.
    PartlyApplied,
    /// The tool says that it failed.
    ToolError,
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// Why a command could not do what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Failed,
    /// Wrong usage or invalid input.
    Invalid,
    NotFound,
    Auth,
    Unreachable,
    Conflict,
    /// A comparison failed: apart from `Failed`, because `diff` uses that code for differences.
    Comparison,
}

/// Every exit code and its meaning, as scripts see them.
pub const CODES: [(u8, &str); 11] = [
    (0, "done"),
    (1, "failed; for diff: there are differences"),
    (2, "wrong usage or invalid input; for diff also: failed"),
    (3, "not found"),
    (4, "not authenticated or not allowed"),
    (5, "server unreachable, or deadline passed"),
    (6, "conflict: somebody else wrote in between, or the name is taken"),
    (7, "--wait timed out: applied, and not every node has said that it is done"),
    (8, "partly applied: some node rejects it or fails with it"),
    (9, "the tool returned an error"),
    (130, "interrupted with Ctrl-C"),
];

/// The code of an outcome.
pub fn outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Differences => 1,
        Outcome::WaitTimedOut => 7,
        Outcome::PartlyApplied => 8,
        Outcome::ToolError => 9,
        Outcome::Interrupted => 130,
    }
}

/// The code of a failure.
pub fn failure(cause: Cause) -> u8 {
    match cause {
        Cause::Failed => 1,
        Cause::Invalid | Cause::Comparison => 2,
        Cause::NotFound => 3,
        Cause::Auth => 4,
        Cause::Unreachable => 5,
        Cause::Conflict => 6,
    }
}

/// What a gRPC status means to a person.
pub fn cause(status: &Status) -> Cause {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Cause::Invalid,
        Code::NotFound => Cause::NotFound,
        Code::Unauthenticated | Code::PermissionDenied => Cause::Auth,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Cause::Unreachable,
        Code::AlreadyExists | Code::Aborted => Cause::Conflict,
        _ => Cause::Failed,
    }
}

/// What an error of an MCP endpoint means to a person.
pub fn mcp_cause(error: &McpError) -> Cause {
    match error {
        McpError::Unreachable { .. } | McpError::Timeout(_) => Cause::Unreachable,
        McpError::NotFound(_) => Cause::NotFound,
        McpError::Auth(_) => Cause::Auth,
        McpError::Rpc { .. } if matches!(error.reason(), "upstream_unavailable" | "timeout") => {
            Cause::Unreachable
        }
        McpError::Rpc { code: -32602 | -32600, .. } => Cause::Invalid,
        McpError::Rpc { code: -32601, .. } => Cause::NotFound,
        McpError::Rpc { .. } | McpError::Protocol(_) => Cause::Failed,
    }
}

/// The code of a whole run.
pub fn code(end: Result<Outcome, Cause>) -> ExitCode {
    ExitCode::from(end.map_or_else(failure, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_the_documented_code() {
        for (status, want) in [
            (Code::InvalidArgument, 2),
            (Code::FailedPrecondition, 2),
            (Code::OutOfRange, 2),
            (Code::NotFound, 3),
            (Code::Unauthenticated, 4),
            (Code::PermissionDenied, 4),
            (Code::Unavailable, 5),
            (Code::DeadlineExceeded, 5),
            (Code::AlreadyExists, 6),
            (Code::Aborted, 6),
            (Code::Internal, 1),
            (Code::Unknown, 1),
            (Code::Unimplemented, 1),
            (Code::ResourceExhausted, 1),
        ] {
            assert_eq!(failure(cause(&Status::new(status, "no"))), want, "{status:?}");
            assert!(CODES.iter().any(|(code, _)| *code == want));
        }
    }

    #[test]
    fn every_outcome_is_documented() {
        use Outcome::*;
        for (end, want) in [
            (Done, 0),
            (Differences, 1),
            (WaitTimedOut, 7),
            (PartlyApplied, 8),
            (ToolError, 9),
            (Interrupted, 130),
        ] {
            assert_eq!(outcome(end), want);
            assert!(CODES.iter().any(|(code, _)| *code == want));
        }
    }

    #[test]
    fn every_cause_is_documented() {
        use Cause::*;
        for (cause, want) in [
            (Failed, 1),
            (Invalid, 2),
            (Comparison, 2),
            (NotFound, 3),
            (Auth, 4),
            (Unreachable, 5),
            (Conflict, 6),
        ] {
            assert_eq!(failure(cause), want);
            assert!(CODES.iter().any(|(code, _)| *code == want));
        }
    }

    #[test]
    fn errors_of_endpoints() {
        let rpc = |code: i64, reason: &str| McpError::Rpc {
            code,
            message: "no".into(),
            data: serde_json::json!({"reason": reason}),
        };
        for (error, want) in [
            (McpError::Auth(401), 4),
            (McpError::NotFound("/mcp/x".into()), 3),
            (McpError::Timeout(std::time::Duration::from_secs(1)), 5),
            (rpc(-32603, "upstream_unavailable"), 5),
            (rpc(-32603, ""), 1),
            (rpc(-32602, ""), 2),
            (rpc(-32601, ""), 3),
            (McpError::Protocol("no".into()), 1),
        ] {
            assert_eq!(failure(mcp_cause(&error)), want, "{error:?}");
        }
    }
}
