//! `subscriptions/listen` on the aggregate: changes of the lists are told from what the node knows, resources
//! and tasks are listened to at their owners. When one of them stops telling, the stream is completed, so that its
//! client knows, and listens anew.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http::{Response, StatusCode};
use omcp_core::{BackendName, McpMessage};
use omcp_mcp::aggregate::address::Subject;
use omcp_mcp::bridge::edits::{Edits, joined, object, pair};
use omcp_mcp::bridge::filter::Filter;
use omcp_mcp::bridge::limits::ACKNOWLEDGE_MS;
use omcp_mcp::bridge::message::Message;
use omcp_mcp::envelope::{Envelope, META_SUBSCRIPTION_ID, ScanLimits};
use omcp_mcp::object::member;
use omcp_mcp::{compose, methods, sse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Inquiry;
use super::passage::{Way, messages};
use crate::aggregate::{changes, refusals};
use crate::front::body::{Body, Events};
use crate::front::{events, reply};

/// For the owners of resources and tasks to confirm; what is late is left out.
const CONFIRM_DEADLINE: Duration = Duration::from_millis(ACKNOWLEDGE_MS);
/// Changes that wait for a slow client. There are three kinds.
const CHANGES_MAX: usize = 16;

pub async fn answer(inquiry: Inquiry<'_>, request: &McpMessage) -> Response<Body> {
    let message = Message::new(request.bytes(), request.envelope());
    let Some(asked) = message.param("notifications").filter(|raw| raw.first() == Some(&b'{')) else {
        return reply::json(refusals::malformed(message));
    };
    let names_tasks = member(asked, 0..asked.len(), "taskIds").is_some();
    if let Some(refusal) = names_tasks.then(|| refusals::tasks_undeclared(message)).flatten() {
        return reply::json_with_status(StatusCode::BAD_REQUEST, refusal);
    }
    let mut filter = Filter::parse(asked);
    let owners = subscribe(&inquiry, request, &filter).await;
    filter.uris = owners.iter().flat_map(|owner| owner.uris.iter().cloned()).collect();
    filter.tasks = owners.iter().flat_map(|owner| owner.tasks.iter().cloned()).collect();
    let id = message.id();
    let first = stream::iter([Some(acknowledged(&id, &filter))]);
    let (changes, following) = follow(&inquiry, filter, id.clone());
    let told = owners.into_iter().map(|owner| owner.updates().boxed());
    let all = first.chain(stream::select_all(told.chain([changes]))).boxed();
    let front = inquiry.front;
    let last = events::subscription_completed(&id);
    let live = keep_alive(all, following, front.config.keep_alive, last.clone());
    reply::event_stream(events::until_stopped(live, front.stopping.subscribe(), last))
}

fn tag(id: &[u8]) -> Vec<u8> {
    pair("_meta", &object(&pair(META_SUBSCRIPTION_ID, id)))
}

fn acknowledged(id: &[u8], filter: &Filter) -> Bytes {
    let params = object(&joined(&[&pair("notifications", &filter.to_json()), &tag(id)]));
    compose::notification(methods::SUBSCRIPTIONS_ACKNOWLEDGED, Some(&params)).into()
}

/// The changes of the lists that the client wants to hear of, for as long as the task lives.
fn follow(
    inquiry: &Inquiry<'_>,
    filter: Filter,
    id: Bytes,
) -> (BoxStream<'static, Option<Bytes>>, JoinSet<()>) {
    let (sender, receiver) = mpsc::channel(CHANGES_MAX);
    let tell = move |method: &'static str| {
        if filter.wants(method) {
            let params = object(&tag(&id));
            // A client that does not read will find the newest lists all the same.
            drop(sender.try_send(compose::notification(method, Some(&params)).into()));
        }
        !sender.is_closed()
    };
    let mut following = JoinSet::new();
    following.spawn(changes::follow(inquiry.front.views.clone(), inquiry.selection.clone(), tell));
    let changes = stream::unfold(receiver, |mut receiver| async move {
        let change: Bytes = receiver.recv().await?;
        Some((Some(change), receiver))
    });
    (changes.boxed(), following)
}

/// What a backend calls something -> what the client calls it.
type Names<'a> = BTreeMap<String, &'a String>;

/// What is listened to at one backend.
#[derive(Default)]
struct Wanted<'a> {
    uris: Names<'a>,
    tasks: Names<'a>,
}

/// A backend that listens to some of its resources and tasks, which are as the client calls them.
struct Owner {
    way: Way,
    uris: Vec<String>,
    tasks: Vec<String>,
    heard: BoxStream<'static, Bytes>,
}

impl Owner {
    /// News of what it listens to; `None` when there will be no more.
    fn updates(self) -> impl Stream<Item = Option<Bytes>> {
        let Self { way, heard, .. } = self;
        let updates = heard.filter_map(move |message| {
            let news = is(&message, &[methods::RESOURCES_UPDATED, methods::TASKS]);
            std::future::ready(news.then(|| Some(way.translate(message))))
        });
        updates.chain(stream::iter([None]))
    }
}

/// Listens to resources and tasks at their owners. Those that nobody owns, or whose owner does not confirm, are
/// left out.
async fn subscribe(inquiry: &Inquiry<'_>, request: &McpMessage, asked: &Filter) -> Vec<Owner> {
    let view = inquiry.view();
    let mut by_owner: BTreeMap<&BackendName, Wanted<'_>> = BTreeMap::new();
    for uri in &asked.uris {
        if let Ok((backend, original)) = view.owner(Subject::Resource, uri) {
            by_owner.entry(backend).or_default().uris.insert(original, uri);
        }
    }
    for name in &asked.tasks {
        let Some(task) = inquiry.names.task(name) else { continue };
        if let Some(backend) = view.backend(&task.backend) {
            by_owner.entry(backend).or_default().tasks.insert(task.id, name);
        }
    }
    let confirmed = by_owner.into_iter().map(|(backend, wanted)| async move {
        timeout(CONFIRM_DEADLINE, confirm(inquiry, request, backend, &wanted)).await.ok()?
    });
    join_all(confirmed).await.into_iter().flatten().collect()
}

async fn confirm(
    inquiry: &Inquiry<'_>,
    request: &McpMessage,
    backend: &BackendName,
    wanted: &Wanted<'_>,
) -> Option<Owner> {
    let served = inquiry.front.served(backend.as_str())?;
    let names = |names: &Names<'_>| names.keys().cloned().collect();
    let asked = Filter { uris: names(&wanted.uris), tasks: names(&wanted.tasks), ..Filter::default() };
    let bytes = request.bytes();
    let mut edits = Edits::new(bytes);
    edits.replace(member(bytes, request.envelope().params_range()?, "notifications")?, asked.to_json());
    let sent = McpMessage::trusted(edits.apply());
    let response = Box::pin(inquiry.leg(served, inquiry.headers.clone(), sent)).await;
    let Body::Events(events) = response.into_body() else { return None };
    let mut heard = messages(events).boxed();
    let granted = loop {
        let message = heard.next().await?;
        if is(&message, &[methods::SUBSCRIPTIONS_ACKNOWLEDGED]) {
            let envelope = Envelope::scan(&message, &ScanLimits::default()).ok()?;
            break Filter::parse(Message::new(&message, &envelope).param("notifications")?);
        }
    };
    let names = inquiry.names.clone();
    let way = Way { backend: backend.clone(), method: String::new(), id: Bytes::new(), names };
    let (uris, tasks) = (named(&granted.uris, &wanted.uris), named(&granted.tasks, &wanted.tasks));
    Some(Owner { way, uris, tasks, heard })
}

/// What was granted, as the client calls it.
fn named(granted: &[String], names: &Names<'_>) -> Vec<String> {
    granted.iter().filter_map(|original| names.get(original).map(|name| (*name).clone())).collect()
}

fn is(message: &Bytes, methods: &[&str]) -> bool {
    let envelope = Envelope::scan(message, &ScanLimits::default());
    envelope.is_ok_and(|envelope| envelope.method(message).is_some_and(|method| methods.contains(&method)))
}

/// The messages as events, comments between them, and `last` at the end.
fn keep_alive(
    messages: BoxStream<'static, Option<Bytes>>,
    following: JoinSet<()>,
    after: Duration,
    last: Bytes,
) -> Events {
    Box::pin(stream::unfold(Some((messages, following, last)), move |state| async move {
        let (mut messages, following, last) = state?;
        match timeout(after, messages.next()).await {
            Err(_) => Some((Bytes::from_static(sse::COMMENT_KEEPALIVE), Some((messages, following, last)))),
            Ok(Some(Some(message))) => Some((events::encode(&message), Some((messages, following, last)))),
            Ok(Some(None) | None) => Some((last, None)),
        }
    }))
}
