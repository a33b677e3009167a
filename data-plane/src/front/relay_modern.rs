//! Mode R for modern clients: one shared lane per backend, our ids on it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Response, StatusCode};
use omcp_core::{GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::code;

use super::body::Body;
use super::headers::Accepts;
use super::{Front, events, reply};
use crate::backends::Served;
use crate::backends::lane::{CallTraits, Event, Inbox, Labels, Lane};
use crate::failure;

/// Hands a request or notification to the backend and answers as it does.
pub async fn relay(
    served: &Arc<Served>,
    message: McpMessage,
    accepts: Accepts,
    front: &Front,
) -> Response<Body> {
    let id = message.id().map(Bytes::copy_from_slice);
    let outcome = match served.modern_lane().await {
        Ok(lane) => start(served, lane, &message),
        Err(error) => Err(error),
    };
    match (outcome, id) {
        (Ok(Some(call)), _) => call.answer(accepts, front).await,
        (Ok(None), _) => reply::accepted(),
        (Err(error), Some(id)) => {
            served.note_failure(&error);
            reply::failure(&id, served.name().as_str(), &error)
        }
        // Nobody waits for the outcome of a notification.
        (Err(_), None) => reply::accepted(),
    }
}

fn start(served: &Arc<Served>, lane: Lane, message: &McpMessage) -> Result<Option<Call>, GatewayError> {
    let Some(labels) = Labels::of(message) else {
        // A cancellation names an id that only its own HTTP request knows: closing that is the way.
        if message.envelope().kind() == Kind::Notification && message.method() != Some(methods::CANCELLED) {
            lane.send(message.clone())?;
        }
        return Ok(None);
    };
    let inbox = Inbox::new();
    let minted = lane.mint();
    let endless = message.method() == Some(methods::SUBSCRIPTIONS_LISTEN);
    let timeout = (!endless).then(|| served.runtime().call_timeout());
    lane.call(minted, Labels::replace(message, minted), inbox.clone(), CallTraits::of(message, timeout))?;
    let logs = message.envelope().log_level(message.bytes()).is_some();
    let guard = CancelOnDrop { lane, minted, inbox: inbox.clone() };
    Ok(Some(Call { backend: served.name().as_str().to_owned(), labels, inbox, logs, endless, guard }))
}

/// One call in flight.
struct Call {
    backend: String,
    labels: Labels,
    inbox: Arc<Inbox>,
    /// The client asked for log messages.
    logs: bool,
    /// A subscription: it lasts until somebody ends it.
    endless: bool,
    guard: CancelOnDrop,
}

impl Call {
    /// One JSON message if the answer is all there is, else a stream. The status waits for the first
    /// event, because some errors have one of their own.
    async fn answer(self, accepts: Accepts, front: &Front) -> Response<Body> {
        loop {
            let first = if accepts.events {
                tokio::time::timeout(front.config.stream_after, self.inbox.next()).await.ok()
            } else {
                Some(self.inbox.next().await)
            };
            match first {
                Some(Event::Message(_)) if !accepts.events => {}
                Some(Event::Message(message)) if self.is_unwanted(&message) => {}
                Some(last) if last.is_last() && !(accepts.prefers_events && is_result(&last)) => {
                    return self.whole(last);
                }
                first => return self.stream(first, front),
            }
        }
    }

    fn is_unwanted(&self, message: &McpMessage) -> bool {
        !self.logs && message.method() == Some(methods::MESSAGE)
    }

    fn whole(self, last: Event) -> Response<Body> {
        match last {
            Event::Final(message) => {
                let status = status_of(&message);
                reply::json_with_status(status, self.labels.restore_response(&message))
            }
            Event::Lost(error) => reply::failure(self.labels.id(), &self.backend, &error),
            Event::Message(_) | Event::Cancelled => reply::accepted(),
        }
    }

    fn stream(self, first: Option<Event>, front: &Front) -> Response<Body> {
        let Self { backend, labels, inbox, logs, endless, guard } = self;
        let translate = move |event| match event {
            Event::Message(message) if !logs && message.method() == Some(methods::MESSAGE) => None,
            Event::Message(message) => Some(labels.restore_notification(&message)),
            Event::Final(message) => Some(labels.restore_response(&message)),
            Event::Lost(error) => Some(failure::message(labels.id(), &backend, &error).into()),
            Event::Cancelled => None,
        };
        let events = events::live(inbox, first, front.config.keep_alive, guard, translate);
        if !endless {
            return reply::event_stream(events);
        }
        let mut stopping = front.stopping.subscribe();
        let stop = Box::pin(async move { drop(stopping.wait_for(|stop| *stop).await) });
        reply::event_stream(Box::pin(events.take_until(stop)))
    }
}

fn is_result(event: &Event) -> bool {
    matches!(event, Event::Final(message) if message.envelope().kind() == Kind::Response)
}

/// Codes that the modern revision gives a status of their own.
fn status_of(message: &McpMessage) -> StatusCode {
    match message.envelope().error_code() {
        Some(code) if code == i64::from(code::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(code)
            if [code::HEADER_MISMATCH, code::MISSING_CAPABILITY, code::UNSUPPORTED_VERSION]
                .iter()
                .any(|own| i64::from(*own) == code) =>
        {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    }
}

/// A modern client that hangs up has cancelled (Streamable HTTP: Cancellation).
struct CancelOnDrop {
    lane: Lane,
    minted: u64,
    inbox: Arc<Inbox>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.inbox.abandon();
        self.lane.cancel(self.minted, "the client hung up");
    }
}
