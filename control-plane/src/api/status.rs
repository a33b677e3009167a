//! The one place where errors become gRPC codes.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::{Error, StoreFault, Violation};
use crate::sync::StreamEnd;

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "omcp";
/// Bytes of violations in one answer. Details travel in an HTTP/2 header, in base64, and peers
/// accept 16 KiB of headers.
const VIOLATIONS_LEN_MAX: usize = 5 * 1024;
/// Longest message, bytes; it travels twice, once percent-encoded.
const MESSAGE_LEN_MAX: usize = 1024;
/// When to try again what failed for lack of room in a queue.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The status of a refused request.
pub fn of(error: &Error) -> Status {
    let (code, reason) = code(error);
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata(error));
    if let Error::Invalid(violations) = error {
        describe(violations, &mut details);
    }
    if matches!(error, Error::Overloaded | Error::Stopping) {
        details.set_retry_info(Some(RETRY_AFTER));
    }
    Status::with_error_details(code, shortened(error.to_string()), details)
}

fn code(error: &Error) -> (Code, &'static str) {
    match error {
        Error::Invalid(_) => (Code::InvalidArgument, "INVALID_FIELDS"),
        Error::NoSuchBackend(_) => (Code::NotFound, "BACKEND_NOT_FOUND"),
        Error::NoSuchNode(_) => (Code::NotFound, "NODE_NOT_FOUND"),
        Error::NotConnected(_) => (Code::FailedPrecondition, "NODE_NOT_CONNECTED"),
        Error::AlreadyExists(_) => (Code::AlreadyExists, "BACKEND_EXISTS"),
        Error::EtagMismatch { .. } => (Code::Aborted, "ETAG_MISMATCH"),
        Error::MassDelete { .. } => (Code::FailedPrecondition, "MASS_DELETE"),
        Error::TooManyChanges { .. } => (Code::FailedPrecondition, "TOO_MANY_CHANGES"),
        Error::TransactionTooLarge { .. } => (Code::FailedPrecondition, "TRANSACTION_TOO_LARGE"),
        Error::TooManyBackends { .. } => (Code::ResourceExhausted, "TOO_MANY_BACKENDS"),
        Error::RequestIdReused(_) => (Code::InvalidArgument, "REQUEST_ID_REUSED"),
        Error::Compacted { .. } => (Code::OutOfRange, "REVISION_COMPACTED"),
        Error::FutureRevision { .. } => (Code::OutOfRange, "REVISION_UNKNOWN"),
        Error::EpochChanged => (Code::OutOfRange, "EPOCH_CHANGED"),
        Error::Overloaded => (Code::Unavailable, "OVERLOADED"),
        Error::Stopping => (Code::Unavailable, "STOPPING"),
        Error::Randomness => (Code::Internal, "NO_RANDOMNESS"),
        Error::Store(StoreFault::DiskFull) => (Code::ResourceExhausted, "DISK_FULL"),
        Error::Store(StoreFault::ReadOnly) => (Code::FailedPrecondition, "STORE_READ_ONLY"),
        Error::Store(StoreFault::Corrupt(_)) => (Code::DataLoss, "STORE_CORRUPT"),
        Error::Store(StoreFault::Other(_)) => (Code::Internal, "STORE_FAILED"),
    }
}

fn metadata(error: &Error) -> HashMap<String, String> {
    let pairs: &[(&str, String)] = match error {
        Error::MassDelete { deletes, total, allowed } => &[
            ("deletes", deletes.to_string()),
            ("total", total.to_string()),
            ("allowed", allowed.to_string()),
        ],
        Error::EtagMismatch { name, current } => &[("backend", name.clone()), ("etag", current.clone())],
        Error::Compacted { compacted, .. } => &[("compacted", compacted.to_string())],
        _ => &[],
    };
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

/// As many violations as fit, and how many more there are.
fn describe(violations: &[Violation], details: &mut ErrorDetails) {
    let mut left = VIOLATIONS_LEN_MAX;
    for (index, violation) in violations.iter().enumerate() {
        let (field, reason) = (shortened(violation.field.clone()), shortened(violation.reason.clone()));
        let len = field.len() + reason.len() + 8;
        if len > left {
            details.add_bad_request_violation("", format!("and {} more", violations.len() - index));
            return;
        }
        left -= len;
        details.add_bad_request_violation(field, reason);
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_LEN_MAX {
        let end = (0..MESSAGE_LEN_MAX - 3).rev().find(|at| message.is_char_boundary(*at)).unwrap_or_default();
        message.truncate(end);
        message.push_str("...");
    }
    message
}

/// The status at the end of a node's stream.
pub fn of_stream(end: &StreamEnd) -> Status {
    let (code, reason) = match end {
        StreamEnd::NodeLeft => return Status::ok(""),
        StreamEnd::Refused(error) => return of(error),
        StreamEnd::Unreadable(status) => (status.code(), "UNREADABLE"),
        StreamEnd::Replaced(_) => (Code::Aborted, "NODE_REPLACED"),
        StreamEnd::Silent { .. } => (Code::DeadlineExceeded, "NODE_SILENT"),
        StreamEnd::NoHello(_) => (Code::DeadlineExceeded, "HELLO_TIMEOUT"),
        StreamEnd::Protocol(_) => (Code::InvalidArgument, "SYNC_PROTOCOL"),
        StreamEnd::Version { .. } => (Code::FailedPrecondition, "PROTOCOL_VERSION"),
    };
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, shortened(end.to_string()), details)
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        of(&error)
    }
}
