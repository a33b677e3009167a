//! [`Failure`]: why an invocation brought no answer, as a node and as a client hear of it.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::refusal::{code, error_response};
use serde::Deserialize;
use serde_json::{Value, json};

/// What is quoted of a text of AWS or of the function, bytes.
const QUOTE_LEN_MAX: usize = 512;
/// Hint for a throttled caller where AWS gives none.
const RETRY_AFTER_MS_DEFAULT: u64 = 1_000;
/// A hint may not send a caller away for longer.
const RETRY_AFTER_MS_MAX: u64 = 60_000;

#[derive(Debug)]
pub struct Failure {
    pub error: GatewayError,
    /// What programs may want to know beside the reason.
    data: Vec<(&'static str, Value)>,
    /// There is no such function: no further message will do better.
    pub gone: bool,
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        Self { error, data: Vec::new(), gone: false }
    }
}

impl Failure {
    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.data.push((key, value.into()));
        self
    }

    /// The error response for the request `id`.
    pub fn answer(&self, id: &[u8]) -> McpMessage {
        let mut data = json!({ "reason": self.error.code() });
        for (key, value) in &self.data {
            data[*key] = value.clone();
        }
        let text = self.error.chain();
        McpMessage::trusted(error_response(id, code::INTERNAL_ERROR, &text, Some(&data)).into())
    }

    /// The message is too long to be sent at all.
    pub fn too_long(len: usize, len_max: usize) -> Self {
        let text = format!("the message has {len} bytes; AWS Lambda takes {len_max} at most");
        GatewayError::new(ErrorKind::Client, text).into()
    }

    /// What the function returned is no answer.
    pub fn no_answer(function: &str, payload: &[u8]) -> Self {
        let text = String::from_utf8_lossy(payload);
        let what = match text.trim() {
            "" | "null" => "nothing, where a JSON-RPC response was due".to_owned(),
            "{}" => "{}, which answers notifications, to a request".to_owned(),
            _ if is_http_answer(payload) => {
                "an answer for API Gateway; it has to take and return plain JSON-RPC messages".to_owned()
            }
            text => format!("no JSON-RPC response: {}", quoted(text)),
        };
        GatewayError::protocol(format!("function {function} returned {what}")).into()
    }

    /// The function itself failed: it raised an error, ran out of time or memory, or crashed.
    pub fn of_function(function: &str, handling: &str, payload: &[u8]) -> Self {
        let report: Report = serde_json::from_slice(payload).unwrap_or_default();
        let (kind, message) = (quoted(&report.kind), quoted(&report.message));
        let what = match (kind.as_str(), message.as_str()) {
            ("", "") => "no error was given".to_owned(),
            ("", message) => message.to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, message) => format!("{kind}: {message}"),
        };
        let error = GatewayError::protocol(format!("function {function} failed ({handling}): {what}"));
        Self::from(error)
            .with("functionError", handling)
            .with("errorType", kind)
            .with("errorMessage", message)
    }

    /// AWS, or the way to it, failed.
    pub fn of_sdk(function: &str, error: SdkError<InvokeError, HttpResponse>) -> Self {
        if let SdkError::ServiceError(service) = &error {
            return refused(function, service.err(), service.raw());
        }
        if let Some(own) = cause::<GatewayError>(&error) {
            return GatewayError::new(own.kind(), format!("function {function}: {}", own.chain())).into();
        }
        if let Some(credentials) = cause::<CredentialsError>(&error) {
            let text = format!(
                "function {function}: this node has no usable AWS credentials ({}); give it a role, a profile, \
                 or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                quoted(&last_cause(credentials))
            );
            return GatewayError::new(ErrorKind::Auth, text).into();
        }
        let text = format!("function {function}: {}", quoted(&last_cause(&error)));
        GatewayError::new(ErrorKind::Unreachable, text).into()
    }
}

/// What the Lambda runtimes of all languages report.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Report {
    #[serde(rename = "errorType")]
    kind: String,
    #[serde(rename = "errorMessage")]
    message: String,
}

/// AWS did not invoke the function, or did not get an answer out of it.
fn refused(function: &str, error: &InvokeError, answer: &HttpResponse) -> Failure {
    let status = answer.status().as_u16();
    if let Some(report) = answer.body().bytes().filter(|body| error.code().is_none() && is_report(body)) {
        return Failure::of_function(function, "Unhandled", report);
    }
    let code = error.code().unwrap_or("no error code");
    let said = quoted(error.message().unwrap_or_default());
    let text = |what: &str| format!("{what} (status {status}, {code}): {said}");
    if let InvokeError::TooManyRequestsException(throttled) = error {
        let after_ms = retry_after_ms(throttled.retry_after_seconds());
        let reason = throttled.reason().map_or("no reason given", |reason| reason.as_str());
        let what = text(&format!("function {function} is throttled, {reason}; try again in {after_ms} ms"));
        return Failure::from(GatewayError::unreachable(what)).with("retryAfterMs", after_ms);
    }
    if let InvokeError::ResourceNotFoundException(_) = error {
        let what = text(&format!("there is no function {function} in this account and region"));
        return Failure { gone: true, ..GatewayError::unreachable(what).into() };
    }
    let (kind, what) = match status {
        401 | 403 => (ErrorKind::Auth, format!("AWS refuses to invoke function {function} for this node")),
        413 => (ErrorKind::Client, format!("the message is too long for function {function}")),
        429 => (ErrorKind::Unreachable, format!("function {function} is throttled")),
        _ => (ErrorKind::Unreachable, format!("AWS could not invoke function {function}")),
    };
    let failure = Failure::from(GatewayError::new(kind, text(&what)));
    match status {
        429 => failure.with("retryAfterMs", RETRY_AFTER_MS_DEFAULT),
        _ => failure,
    }
}

fn retry_after_ms(seconds: Option<&str>) -> u64 {
    let seconds = seconds.and_then(|seconds| seconds.trim().parse::<u64>().ok());
    let ms = seconds.map_or(RETRY_AFTER_MS_DEFAULT, |seconds| seconds.saturating_mul(1_000));
    ms.min(RETRY_AFTER_MS_MAX)
}

/// Emulators hand on what a function reports as an error of their own.
fn is_report(body: &[u8]) -> bool {
    serde_json::from_slice::<Report>(body).is_ok_and(|report| !report.message.is_empty())
}

fn is_http_answer(payload: &[u8]) -> bool {
    serde_json::from_slice::<Value>(payload).is_ok_and(|value| value["statusCode"].is_number())
}

/// The cause of type `T` among the causes of an error.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost cause says most; what is around it are words of the SDK about itself.
fn last_cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// The first line: where a signature is wrong, the lines after it repeat headers that are secret.
fn quoted(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line[..line.floor_char_boundary(QUOTE_LEN_MAX)].to_owned()
}
