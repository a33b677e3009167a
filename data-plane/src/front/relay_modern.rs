//! Mode R for modern clients: a shared lane, our ids on it.

use std::sync::Arc;

use http::{Response, StatusCode};
use omcp_core::{ErrorKind, GatewayError, McpMessage};
use omcp_mcp::envelope::Kind;
use omcp_mcp::methods;
use omcp_mcp::refusal::code;

use super::body::Body;
use super::headers::Accepts;
use super::server_handles::ServerHandles;
use super::{Front, events, reply, task_ids};
use crate::backends::Served;
use crate::backends::bridge::principal::Principal;
use crate::backends::lane::{CallTraits, Event, Inbox, Labels, Lane};
use crate::failure;

/// Hands a request or notification to the backend and answers as it does.
pub async fn relay(
    served: &Arc<Served>,
    principal: &Principal,
    message: &McpMessage,
    accepts: Accepts,
    front: &Front,
) -> Response<Body> {
    if let Some(refused) = task_ids::refuse(message) {
        return refused;
    }
    let mut handles = ServerHandles::new(front.members.clone(), served.name(), principal, message);
    let message = match handles.open() {
        Ok(message) => message,
        Err(refused) => return reply::json(refused),
    };
    match begin(served, principal, &message).await {
        Ok(Some(call)) => call.answer(served, principal, &message, accepts, front, handles).await,
        Ok(None) => reply::accepted(),
        Err(error) => match message.id() {
            Some(id) => {
                served.note_failure(&error);
                reply::failure(id, served.name().as_str(), &error)
            }
            // Nobody waits for the outcome of a notification.
            None => reply::accepted(),
        },
    }
}

/// Starts a call. A lane that ended between its look-up and the call has not seen it: another is asked.
async fn begin(
    served: &Arc<Served>,
    principal: &Principal,
    message: &McpMessage,
) -> Result<Option<Call>, GatewayError> {
    match start(served, served.modern_lane(principal).await?, message) {
        Err(error) if error.kind() == ErrorKind::Closed => {
            start(served, served.modern_lane(principal).await?, message)
        }
        started => started,
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
    let endless = message.is_method(methods::SUBSCRIPTIONS_LISTEN);
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
    /// event, because some errors have one of their own. What was lost before anything was heard of it is
    /// sent once more, if that cannot do it twice or the backend allows it.
    async fn answer(
        mut self,
        served: &Arc<Served>,
        principal: &Principal,
        message: &McpMessage,
        accepts: Accepts,
        front: &Front,
        handles: ServerHandles,
    ) -> Response<Body> {
        let mut repeated = false;
        loop {
            let first = if accepts.events {
                tokio::time::timeout(front.config.stream_after, self.inbox.next()).await.ok()
            } else {
                Some(self.inbox.next().await)
            };
            match first {
                Some(Event::Message(_)) if !accepts.events => {}
                Some(Event::Message(message)) if self.is_unwanted(&message) => {}
                Some(lost) if !repeated && may_repeat(served, message, &lost) => {
                    repeated = true;
                    served.note_repeat();
                    match Box::pin(begin(served, principal, message)).await {
                        Ok(Some(call)) => self = call,
                        Ok(None) => return reply::accepted(),
                        Err(error) => return reply::failure(self.labels.id(), &self.backend, &error),
                    }
                }
                Some(last) if last.is_last() && !(accepts.prefers_events && is_result(&last)) => {
                    return self.whole(last, &handles);
                }
                first => return self.stream(first, front, handles),
            }
        }
    }

    fn is_unwanted(&self, message: &McpMessage) -> bool {
        !self.logs && message.is_method(methods::MESSAGE)
    }

    fn whole(self, last: Event, handles: &ServerHandles) -> Response<Body> {
        match last {
            Event::Final(message) => {
                let message = handles.seal_answer(message);
                let status = status_of(&message);
                reply::json_with_status(status, self.labels.restore_response(&message))
            }
            Event::Lost(error) | Event::Unsent(error) => {
                reply::failure(self.labels.id(), &self.backend, &error)
            }
            Event::Message(_) | Event::Cancelled => reply::accepted(),
        }
    }

    fn stream(self, first: Option<Event>, front: &Front, handles: ServerHandles) -> Response<Body> {
        let Self { backend, labels, inbox, logs, endless, guard } = self;
        let completed = endless.then(|| events::subscription_completed(labels.id()));
        let translate = move |event| match event {
            Event::Message(message) if !logs && message.is_method(methods::MESSAGE) => None,
            Event::Message(message) => {
                handles.seal_news(message).map(|message| labels.restore_notification(&message))
            }
            Event::Final(message) => Some(labels.restore_response(&handles.seal_answer(message))),
            Event::Lost(error) | Event::Unsent(error) => {
                Some(failure::message(labels.id(), &backend, &error).into())
            }
            Event::Cancelled => None,
        };
        let events = events::live(inbox, first, front.config.keep_alive, guard, translate);
        reply::event_stream(match completed {
            Some(last) => events::until_stopped(events, front.stopping.subscribe(), last),
            None => events,
        })
    }
}

fn may_repeat(served: &Served, message: &McpMessage, event: &Event) -> bool {
    match event {
        Event::Unsent(_) => true,
        Event::Lost(error) => error.kind() == ErrorKind::Closed && served.may_repeat(message),
        Event::Message(_) | Event::Final(_) | Event::Cancelled => false,
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
