//! A lane against a peer made of two channels.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use omcp_core::{BackendConnection, ErrorKind, GatewayError, McpMessage};
use omcp_mcp::revision::Era;
use tokio::sync::mpsc;

use super::{CallTraits, Event, Inbox, Labels, Lane, LaneOptions, SURPLUS_PER_S, Sink};

const IN_FLIGHT_MAX: usize = 256;
const SECOND: Duration = Duration::from_secs(1);

struct Channel {
    to_peer: mpsc::UnboundedSender<String>,
    from_peer: mpsc::UnboundedReceiver<String>,
}

#[async_trait]
impl BackendConnection for Channel {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        let text = String::from_utf8(message.into_bytes().into()).unwrap();
        self.to_peer.send(text).map_err(|_| GatewayError::closed("the peer is gone"))
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        let text = self.from_peer.recv().await;
        Ok(text.map(|text| McpMessage::parse(text.into()).unwrap()))
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        Ok(())
    }
}

struct Peer {
    heard: mpsc::UnboundedReceiver<String>,
    says: mpsc::UnboundedSender<String>,
}

impl Peer {
    async fn hears(&mut self) -> serde_json::Value {
        let text = tokio::time::timeout(SECOND, self.heard.recv()).await.unwrap().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn says(&self, text: &str) {
        self.says.send(text.to_owned()).unwrap();
    }
}

fn lane(era: Era) -> (Lane, Peer, Arc<Inbox>) {
    lane_with(LaneOptions::new(era, SECOND))
}

fn lane_with(mut options: LaneOptions) -> (Lane, Peer, Arc<Inbox>) {
    let (to_peer, heard) = mpsc::unbounded_channel();
    let (says, from_peer) = mpsc::unbounded_channel();
    let rest = Inbox::new();
    options.unsolicited = Some(rest.clone());
    (Lane::start(Box::new(Channel { to_peer, from_peer }), options), Peer { heard, says }, rest)
}

fn call(lane: &Lane, text: &str) -> (u64, Labels, Arc<Inbox>) {
    let request = McpMessage::parse(text.to_owned().into()).unwrap();
    let (id, inbox) = (lane.mint(), Inbox::new());
    lane.call(id, Labels::replace(&request, id), inbox.clone(), CallTraits::of(&request, Some(SECOND)))
        .unwrap();
    (id, Labels::of(&request).unwrap(), inbox)
}

async fn next(inbox: &Inbox) -> Event {
    tokio::time::timeout(SECOND, inbox.next()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn answers_find_their_callers_under_the_callers_own_ids() {
    let (lane, mut peer, _) = lane(Era::Modern);
    let (one, one_labels, one_inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":"x","method":"a"}"#);
    let (two, two_labels, two_inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":1.0,"method":"b"}"#);
    assert_eq!(
        (peer.hears().await["id"].as_u64(), peer.hears().await["id"].as_u64()),
        (Some(one), Some(two))
    );
    peer.says(&format!(r#"{{"jsonrpc":"2.0","id":{two},"result":{{"n":2}}}}"#));
    peer.says(&format!(r#"{{"jsonrpc":"2.0","id":{one},"result":{{"n":1}}}}"#));
    for (inbox, labels, want) in [
        (one_inbox, one_labels, r#"{"jsonrpc":"2.0","id":"x","result":{"n":1}}"#),
        (two_inbox, two_labels, r#"{"jsonrpc":"2.0","id":1.0,"result":{"n":2}}"#),
    ] {
        let Event::Final(message) = next(&inbox).await else { panic!("no answer") };
        assert_eq!(text(&labels.restore_response(&message)), want);
    }
    assert_eq!(lane.in_flight(), 0);
}

#[tokio::test]
async fn progress_is_mapped_both_ways() {
    let (lane, mut peer, _) = lane(Era::Modern);
    let request =
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"_meta":{"progressToken":"t"}}}"#;
    let (id, labels, inbox) = call(&lane, request);
    assert_eq!(peer.hears().await["params"]["_meta"]["progressToken"].as_u64(), Some(id));
    peer.says(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":1}}}}"#
    ));
    let Event::Message(message) = next(&inbox).await else { panic!("no progress") };
    assert_eq!(
        text(&labels.restore_notification(&message)),
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#
    );
}

#[tokio::test]
async fn a_legacy_peers_request_goes_to_the_oldest_call_that_may_be_asked() {
    let (lane, mut peer, rest) = lane(Era::Legacy);
    let (_, _, list) = call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let (_, _, tool) = call(&lane, r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#);
    peer.hears().await;
    peer.hears().await;
    peer.says(r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#);
    peer.says(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert!(matches!(next(&tool).await, Event::Message(message) if message.method() == Some("roots/list")));
    assert!(matches!(next(&rest).await, Event::Message(message) if message.id().is_none()));
    assert!(tokio::time::timeout(Duration::from_millis(10), list.next()).await.is_err());
}

#[tokio::test]
async fn a_ping_is_answered_here_and_a_modern_peer_may_not_ask() {
    let (_lane, mut peer, rest) = lane(Era::Modern);
    peer.says(r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#);
    peer.says(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
    assert_eq!(peer.hears().await, serde_json::json!({"jsonrpc":"2.0","id":"p","result":{}}));
    assert!(tokio::time::timeout(Duration::from_millis(10), rest.next()).await.is_err());
}

#[tokio::test]
async fn cancelling_tells_the_peer_and_the_late_answer_is_dropped_and_counted() {
    let options = LaneOptions::new(Era::Modern, SECOND);
    let counts = options.counts.clone();
    let (lane, mut peer, _) = lane_with(options);
    let (id, _, inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
    peer.hears().await;
    lane.cancel(id, "enough");
    assert!(matches!(next(&inbox).await, Event::Cancelled));
    let told = peer.hears().await;
    assert_eq!(
        (told["method"].as_str(), told["params"]["requestId"].as_u64()),
        (Some("notifications/cancelled"), Some(id))
    );
    peer.says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(lane.request("b", "{}", Duration::from_millis(20)).await.is_err(), "the lane lives on");
    assert!(lane.is_open());
    assert_eq!(counts.late.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_silent_call_times_out_alone() {
    let (lane, mut peer, _) = lane(Era::Modern);
    let (id, inbox) = (lane.mint(), Inbox::new());
    let request = McpMessage::trusted(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a"}}"#).into());
    let traits = CallTraits { timeout: Some(Duration::from_millis(1)), ..CallTraits::default() };
    lane.call(id, request, inbox.clone(), traits).unwrap();
    peer.hears().await;
    let event = next(&inbox).await;
    assert!(matches!(event, Event::Lost(error) if error.kind() == ErrorKind::Timeout));
    assert_eq!(peer.hears().await["method"], "notifications/cancelled");
    assert!(lane.is_open());
}

#[tokio::test]
async fn a_dead_peer_ends_every_call_with_the_reason() {
    let (lane, mut peer, rest) = lane(Era::Legacy);
    let (_, _, inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
    peer.hears().await;
    drop(peer);
    assert!(matches!(next(&inbox).await, Event::Lost(error) if error.kind() == ErrorKind::Closed));
    assert!(matches!(next(&rest).await, Event::Lost(_)));
    assert_eq!(lane.closed().await.kind(), ErrorKind::Closed);
    assert!(lane.request("b", "{}", SECOND).await.is_err());
    assert_eq!(lane.in_flight(), 0);
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_at_once() {
    let (lane, _peer, _) = lane(Era::Modern);
    let calls: Vec<_> =
        (0..IN_FLIGHT_MAX).map(|_| call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#)).collect();
    let refused = lane
        .call(
            lane.mint(),
            McpMessage::trusted("{}".into()),
            Inbox::new(),
            CallTraits { timeout: Some(SECOND), ..CallTraits::default() },
        )
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    assert_eq!(calls.len(), lane.in_flight());
}

/// Takes one message and breaks at the second.
struct Brittle(bool);

#[async_trait]
impl BackendConnection for Brittle {
    async fn send(&mut self, _message: McpMessage) -> Result<(), GatewayError> {
        if std::mem::replace(&mut self.0, true) { Err(GatewayError::closed("broken pipe")) } else { Ok(()) }
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        std::future::pending().await
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        Ok(())
    }
}

#[tokio::test]
async fn every_call_of_a_batch_hears_that_the_connection_broke() {
    let lane = Lane::start(Box::new(Brittle(false)), LaneOptions::new(Era::Modern, SECOND));
    let calls: Vec<_> = (0..20).map(|_| call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#)).collect();
    for (_, _, inbox) in calls {
        let (Event::Lost(error) | Event::Unsent(error)) = next(&inbox).await else { panic!("an answer") };
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    lane.closed().await;
    assert_eq!(lane.in_flight(), 0);
}

/// Panics when it is read.
struct Faulty;

#[async_trait]
impl BackendConnection for Faulty {
    async fn send(&mut self, _message: McpMessage) -> Result<(), GatewayError> {
        panic!("a defect of the runtime")
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        std::future::pending().await
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_in_a_runtime_is_an_error_of_its_calls() {
    let lane = Lane::start(Box::new(Faulty), LaneOptions::new(Era::Modern, SECOND));
    let (_, _, inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
    assert!(matches!(next(&inbox).await, Event::Lost(error) if error.kind() == ErrorKind::Internal));
}

#[tokio::test]
async fn subscriptions_do_not_use_up_the_calls() {
    let (lane, mut peer, _) = lane(Era::Modern);
    for _ in 0..=IN_FLIGHT_MAX {
        let request =
            McpMessage::trusted(r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}"#.into());
        lane.call(lane.mint(), request, Inbox::new(), CallTraits::default()).unwrap();
        peer.hears().await;
    }
    assert_eq!(lane.in_flight(), 0);
    let (_, _, inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
    let id = peer.hears().await["id"].clone();
    peer.says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(matches!(next(&inbox).await, Event::Final(_)));
}

#[tokio::test]
async fn a_modern_peer_may_withdraw_a_subscription() {
    let (lane, mut peer, _) = lane(Era::Modern);
    let (id, _, inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":"s","method":"subscriptions/listen"}"#);
    peer.hears().await;
    peer.says(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    ));
    assert!(matches!(next(&inbox).await, Event::Lost(_)));
}

#[test]
fn an_abandoned_inbox_refuses() {
    let inbox = Inbox::new();
    assert!(inbox.event(Event::Cancelled));
    inbox.abandon();
    assert!(!inbox.event(Event::Cancelled));
}

#[test]
fn what_a_slow_reader_leaves_is_bounded_in_bytes() {
    let inbox = Inbox::new();
    let mib = |text: &str| {
        let params = "x".repeat(1 << 20);
        let text = format!(r#"{{"jsonrpc":"2.0","{text}":"n","params":{{"x":"{params}"}}}}"#);
        Event::Message(McpMessage::parse(text.into()).unwrap())
    };
    let taken = (0..100).filter(|_| inbox.event(mib("method"))).count();
    assert_eq!(taken, 3, "a fourth would be more than 4 MiB");
    let last = Event::Lost(Arc::new(GatewayError::closed("gone")));
    assert!(inbox.event(last), "the end is always told");
    let waker = std::task::Waker::noop();
    assert!(inbox.poll_next(waker).is_ready());
    assert!(inbox.event(mib("method")), "room comes back");
}

#[tokio::test]
async fn a_lane_that_is_to_end_lets_its_call_finish() {
    let (lane, mut peer, _) = lane(Era::Modern);
    let (_, _, inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
    let id = peer.hears().await["id"].clone();
    lane.close_when_quiet();
    assert!(tokio::time::timeout(Duration::from_millis(20), lane.closed()).await.is_err());
    peer.says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    assert!(matches!(next(&inbox).await, Event::Final(_)));
    lane.closed().await;
    let refused =
        lane.call(lane.mint(), McpMessage::trusted("{}".into()), Inbox::new(), CallTraits::default());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
}

/// A flood of everything that nobody asked for: the calls of the flooding backend still get their answers.
#[tokio::test(start_paused = true)]
async fn a_flood_is_read_at_a_limited_rate() {
    let kinds = [
        r#"{"jsonrpc":"2.0","id":4711,"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":4711,"progress":1}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#,
    ];
    for kind in kinds {
        let (lane, mut peer, _) =
            lane_with(LaneOptions { calls_max: 1, ..LaneOptions::new(Era::Modern, SECOND * 60) });
        let (id, _, inbox) = call(&lane, r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
        assert_eq!(peer.hears().await["id"].as_u64(), Some(id));
        let began = tokio::time::Instant::now();
        (0..SURPLUS_PER_S / 10 * 7).for_each(|_| peer.says(kind));
        peer.says(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        let answer = tokio::time::timeout(SECOND * 60, inbox.next()).await.unwrap();
        assert!(matches!(answer, Event::Final(_)), "{kind}");
        let took = began.elapsed();
        assert!(took >= SECOND / 4 && took < SECOND, "{kind}: {took:?}");
    }
}
