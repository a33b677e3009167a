//! The one stream of a client, from the name of its endpoint to its end.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use omcp_mcp::sse;
use tokio::time::{Instant, sleep};

use crate::backends::lane::{Event, Inbox};
use crate::front::body::Events;
use crate::front::events;
use crate::session::home::Home;
use crate::session::link::Link;

/// How often a session's lifetime is looked at: it may be edited meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What a stream is made of.
struct Outlet<F, G> {
    /// The first event, until it has left.
    first: Option<Bytes>,
    out: Arc<Inbox>,
    keep_alive: Duration,
    over: Pin<Box<F>>,
    _guard: G,
}

/// Everything that comes to `out`, until there is no more of it or the session is `over`. `guard` is dropped with
/// the stream.
pub fn stream<G: Send + 'static>(
    out: Arc<Inbox>,
    endpoint: &str,
    keep_alive: Duration,
    over: impl Future<Output = ()> + Send + 'static,
    guard: G,
) -> Events {
    let first = Some(Bytes::from(format!("event: endpoint\ndata: {endpoint}\n\n")));
    let outlet = Outlet { first, out, keep_alive, over: Box::pin(over), _guard: guard };
    Box::pin(stream::unfold(outlet, |mut outlet| async move { Some((outlet.next().await?, outlet)) }))
}

impl<F: Future<Output = ()>, G> Outlet<F, G> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.first.is_some() {
            return self.first.take();
        }
        let next = tokio::time::timeout(self.keep_alive, self.out.next());
        let event = tokio::select! {
            event = next => event,
            () = &mut self.over => return None,
        };
        match event {
            Err(_) => Some(Bytes::from_static(sse::COMMENT_KEEPALIVE)),
            Ok(Event::Message(message) | Event::Final(message)) => Some(events::encode(message.bytes())),
            Ok(Event::Lost(_) | Event::Unsent(_) | Event::Cancelled) => None,
        }
    }
}

/// Resolves when the definition of a session is gone and its time to drain is over. A session that has lived as
/// long as its backend allows is ended when it is quiet, which its stream notices.
pub async fn over(home: Home, link: Link) {
    let mut closed = pin!(home.wait_closed());
    loop {
        let wait = match (home.lifetime_max(), link.born()) {
            (Some(max), Some(born)) => {
                let left = (born + max).saturating_duration_since(Instant::now());
                if left.is_zero() {
                    link.close_when_quiet();
                    return closed.await;
                }
                left.min(LOOK_EVERY)
            }
            _ => LOOK_EVERY,
        };
        tokio::select! {
            () = &mut closed => return,
            () = sleep(wait) => {}
        }
    }
}
