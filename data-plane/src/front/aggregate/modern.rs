//! Modern clients of the aggregate. The lists are answered from what is known; what concerns one backend
//! takes the way it would take at that backend's own endpoint, with its own words put in and ours put back.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use omcp_core::{BackendName, McpMessage};
use omcp_mcp::admit;
use omcp_mcp::aggregate::address::{Address, Subject};
use omcp_mcp::aggregate::list::List;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::envelope::Kind;
use omcp_mcp::header_value::encode_if_needed;
use omcp_mcp::refusal::Refusal;
use omcp_mcp::revision::Era;
use omcp_mcp::{compose, methods};

use super::{Inquiry, listen, passage};
use crate::aggregate::{self, lists, refusals};
use crate::front::arrived::Headers;
use crate::front::body::{Body, Events};
use crate::front::endpoint::MODERN;
use crate::front::{events, reply};

const NAME: HeaderName = HeaderName::from_static("mcp-name");

pub async fn answer(inquiry: Inquiry<'_>, request: McpMessage) -> Result<Response<Body>, Refusal> {
    let headers = Headers { headers: &inquiry.headers, said: inquiry.said };
    admit::admit_modern(request.envelope(), request.bytes(), &headers, &MODERN)?;
    // A notification without a session has nobody it could concern.
    if request.envelope().kind() != Kind::Request {
        return Ok(reply::accepted());
    }
    let message = Message::new(request.bytes(), request.envelope());
    match message.method() {
        methods::SERVER_DISCOVER => Ok(whole(&inquiry, discover(&inquiry, message).into())),
        methods::SUBSCRIPTIONS_LISTEN if inquiry.front.overload.refuses_streams() => Ok(reply::overloaded()),
        methods::SUBSCRIPTIONS_LISTEN => Ok(Box::pin(listen::answer(inquiry, &request)).await),
        method => match (List::of_method(method), Address::of(message)) {
            (Some(list), _) => {
                let (views, view) = (&inquiry.front.views, inquiry.view());
                let handles = inquiry.names.handles();
                Ok(whole(&inquiry, lists::answer(views, &view, list, message, Era::Modern, handles)))
            }
            (None, Some(address)) => Ok(addressed(inquiry, &request, &address).await),
            (None, None) if refusals::is_known(method) => Ok(reply::json(refusals::malformed(message))),
            (None, None) => Ok(unaddressed(inquiry, &request).await),
        },
    }
}

fn discover(inquiry: &Inquiry<'_>, request: Message<'_>) -> Vec<u8> {
    let view = inquiry.view();
    let result = view.statement(Era::Modern).discovery(&aggregate::info(), &MODERN);
    compose::response(&request.id(), result.to_string().as_bytes())
}

/// An answer that is the gateway's own.
fn whole(inquiry: &Inquiry<'_>, message: bytes::Bytes) -> Response<Body> {
    if !inquiry.said.accepts.prefers_events {
        return reply::json(message);
    }
    let events: Events = Box::pin(futures_util::stream::iter([events::encode(&message)]));
    reply::event_stream(events)
}

async fn addressed(inquiry: Inquiry<'_>, request: &McpMessage, address: &Address) -> Response<Body> {
    let message = Message::new(request.bytes(), request.envelope());
    // Who does not know tasks is told so before whose task it might be.
    let is_task = address.subject == Subject::Task;
    if let Some(refusal) = is_task.then(|| refusals::tasks_undeclared(message)).flatten() {
        return reply::json_with_status(StatusCode::BAD_REQUEST, refusal);
    }
    let view = inquiry.view();
    let (backend, original) = match inquiry.names.owner(&view, address) {
        Ok(owner) => owner,
        Err(why) => return reply::json(refusals::unowned(message, address, why, Era::Modern)),
    };
    let sent = McpMessage::trusted(address.readdress(message, &original));
    let headers = renamed(&inquiry.headers, message.method(), &original);
    let backend = backend.clone();
    one(inquiry, &backend, headers, sent).await
}

/// A method that is about nothing of ours: perhaps of the only backend that has extensions.
async fn unaddressed(inquiry: Inquiry<'_>, request: &McpMessage) -> Response<Body> {
    let view = inquiry.view();
    let Some(backend) = view.extended().cloned() else {
        let message = Message::new(request.bytes(), request.envelope());
        return reply::json_with_status(StatusCode::NOT_FOUND, refusals::no_such_method(message));
    };
    let headers = inquiry.headers.clone();
    one(inquiry, &backend, headers, request.clone()).await
}

/// What the backend answers, in the words of the aggregate.
async fn one(
    inquiry: Inquiry<'_>,
    backend: &BackendName,
    headers: HeaderMap,
    request: McpMessage,
) -> Response<Body> {
    let id = request.envelope().id_range().map(|at| request.bytes().slice(at)).unwrap_or_default();
    let method = request.method().unwrap_or_default().to_owned();
    let Some(served) = inquiry.front.served(backend.as_str()) else {
        return reply::json(refusals::gone(Message::new(request.bytes(), request.envelope()), backend));
    };
    let response = Box::pin(inquiry.leg(served, headers, request)).await;
    let names = inquiry.names.clone();
    passage::answer(response, passage::Way { backend: backend.clone(), method, id, names }).await
}

/// The header fields as the backend wants them, where the subject of the request is called `original`.
fn renamed(given: &HeaderMap, method: &str, original: &str) -> HeaderMap {
    let mut headers = given.clone();
    if methods::needs_name_header(method)
        && let Ok(name) = HeaderValue::from_str(&encode_if_needed(original))
    {
        headers.insert(NAME, name);
    }
    headers
}
