//! [`Explained`]: the layer around all services that gives details to the errors which tonic makes by
//! itself (undecodable or oversized messages, unknown methods, time-outs), so that no error is without.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use super::status::DOMAIN;

const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";
const TIMEOUT: &str = "grpc-timeout";
/// tonic enforces the client's deadline as well, without details: ours comes first by so much.
const AHEAD: Duration = Duration::from_millis(3);

/// Makes [`ExplainedService`]s.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// How long a call may take until its answer begins, whatever its client allows.
    pub call_wait: Option<Duration>,
}

impl<S> Layer<S> for Explained {
    type Service = ExplainedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ExplainedService { inner, call_wait: self.call_wait }
    }
}

/// A service whose errors all have an `ErrorInfo`.
#[derive(Clone, Debug)]
pub struct ExplainedService<S> {
    inner: S,
    call_wait: Option<Duration>,
}

impl<S, Q, A> Service<Request<Q>> for ExplainedService<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    A: Default,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let allowed = allowed(request.headers()).map(|allowed| allowed.saturating_sub(AHEAD));
        let wait = self.call_wait.into_iter().chain(allowed).min();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Some(wait) = wait else { return answer.await.map(explained) };
            match tokio::time::timeout(wait, answer).await {
                Ok(answer) => answer.map(explained),
                Err(_) => Ok(late(wait).into_http()),
            }
        })
    }
}

/// The client's deadline: at most eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn allowed(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

fn late(wait: Duration) -> Status {
    let text = format!("no answer within {} ms; see grpc-timeout", wait.as_millis());
    detailed(Code::DeadlineExceeded, &text)
}

/// An error that ends its call at once stands in the headers; one without details is tonic's own.
fn explained<A>(mut response: Response<A>) -> Response<A> {
    let headers = response.headers_mut();
    if !headers.contains_key(STATUS) || headers.contains_key(DETAILS) {
        return response;
    }
    if let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) {
        // The old headers are replaced one by one; what else there is stays.
        let added = detailed(status.code(), status.message()).add_header(headers);
        if let Err(error) = added {
            tracing::debug!(%error, "an error goes out without details");
        }
    }
    response
}

fn detailed(code: Code, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason(code), DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

fn reason(code: Code) -> &'static str {
    match code {
        Code::Unimplemented => "METHOD_UNKNOWN",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::OutOfRange | Code::ResourceExhausted => "MESSAGE_TOO_LARGE",
        Code::Cancelled => "CANCELLED",
        _ => "MESSAGE_UNREADABLE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines() {
        let of = |text: &str| {
            let headers = [(TIMEOUT.parse().unwrap(), text.parse().unwrap())];
            allowed(&HeaderMap::from_iter::<[(http::HeaderName, http::HeaderValue); 1]>(headers))
        };
        assert_eq!(of("10m"), Some(Duration::from_millis(10)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "10", "10x", "-1S", "123456789S", "1.5S"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_too_long_says_so() {
        let never = tower::service_fn(|_: Request<()>| {
            std::future::pending::<Result<Response<tonic::body::Body>, std::convert::Infallible>>()
        });
        let mut service = Explained { call_wait: Some(Duration::from_secs(30)) }.layer(never);
        for (allowed, told) in [(None, "within 30000 ms"), (Some("1S"), "within 997 ms")] {
            let mut request = Request::new(());
            if let Some(allowed) = allowed {
                request.headers_mut().insert(TIMEOUT, allowed.parse().unwrap());
            }
            let answer = service.call(request).await.unwrap();
            let status = Status::from_header_map(answer.headers()).unwrap();
            assert_eq!(status.code(), Code::DeadlineExceeded);
            assert!(status.message().contains(told), "{status}");
            assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
        }
    }
}
