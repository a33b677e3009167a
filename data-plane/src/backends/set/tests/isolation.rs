//! Who shares a connection with whom.

use super::*;
use crate::backends::SharedLegacy;
use crate::backends::served::CIRCLES_MAX;

const PATIENCE: Duration = Duration::from_secs(10);
/// Who has no name of its own goes by this one.
const NOBODY: &str = "anon";

fn isolated(speaks: &str, isolation: &str) -> Wanted {
    let lifecycle = Lifecycle { isolation: isolation.to_owned(), ..Lifecycle::default() };
    with_lifecycle(&json!({ "speaks": speaks }), lifecycle)
}

/// A set with one ready backend, `a`.
async fn with(stub: &Stub, wanted: Wanted) -> (BackendSet, Arc<Served>) {
    let set = set(stub);
    set.apply(vec![wanted]).await;
    let served = ready(&set, "a").await;
    (set, served)
}

async fn lane(served: &Served, who: &str) -> u32 {
    served.modern_lane(&Principal::named(who)).await.unwrap().pid().unwrap()
}

async fn session(served: &Served, who: &str) -> Option<Arc<SharedLegacy>> {
    let circle = served.circle(&Principal::named(who))?;
    Some(served.shared_legacy(circle, PATIENCE).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_principal_shares_its_stateless_connection_with_no_other() {
    for (isolation, apart) in [("session", false), ("shared", false), ("principal", true)] {
        let stub = Stub::default();
        let (_set, served) = with(&stub, isolated("modern", isolation)).await;
        let anonymous = lane(&served, NOBODY).await;
        let (alice, bob) = (lane(&served, "alice").await, lane(&served, "bob").await);
        let distinct = BTreeSet::from([alice, bob, anonymous]).len();
        assert_eq!(distinct, if apart { 3 } else { 1 }, "{isolation}");
        assert_eq!(lane(&served, "alice").await, alice);
        assert_eq!(lane(&served, NOBODY).await, anonymous);
        assert_eq!(served.pids().len(), distinct, "{isolation}: all are told of");
    }
}

#[tokio::test(start_paused = true)]
async fn a_principal_shares_its_sessions_with_no_other_and_nobody_shares_an_anonymous_one() {
    let cases = [
        ("session", [false, false, false], 0),
        ("shared", [true, true, true], 1),
        ("principal", [true, false, false], 2),
    ];
    for (isolation, [with_herself, with_bob, with_strangers], connections) in cases {
        let stub = Stub::default();
        let (_set, served) = with(&stub, isolated("legacy", isolation)).await;
        let (one, two) = (session(&served, "alice").await, session(&served, "alice").await);
        let (bob, anonymous) = (session(&served, "bob").await, session(&served, NOBODY).await);
        let same = |other: &Option<Arc<SharedLegacy>>| {
            one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
        };
        let found = [same(&two), same(&bob), same(&anonymous)];
        assert_eq!(found, [with_herself, with_bob, with_strangers], "{isolation}");
        assert_eq!(anonymous.is_some(), with_strangers, "{isolation}: or else it has its own");
        assert_eq!(stub.0.open(), connections, "{isolation}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_server_has_sessions_of_its_own() {
    for isolation in ["shared", "principal"] {
        let stub = Stub::default();
        let set = set(&stub);
        let lifecycle = Lifecycle { isolation: isolation.to_owned(), ..Lifecycle::default() };
        set.apply(vec![with_lifecycle(&json!({ "http": true }), lifecycle)]).await;
        let served = ready(&set, "a").await;
        assert_eq!(served.circle(&Principal::named("alice")), None, "{isolation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_isolation_holds_for_the_next_call() {
    let stub = Stub::default();
    let (set, served) = with(&stub, isolated("modern", "session")).await;
    let common = lane(&served, "alice").await;
    let mut wanted = isolated("modern", "principal");
    wanted.spec = wanted.spec.map(|(_, spec)| (2, spec));
    set.apply(vec![wanted]).await;
    assert!(Arc::ptr_eq(&served, &set.table().get("a").unwrap()), "nothing is built anew");
    assert_ne!(lane(&served, "alice").await, common);
    assert_eq!(lane(&served, NOBODY).await, common);
}

#[tokio::test(start_paused = true)]
async fn many_first_calls_of_a_principal_open_one_connection() {
    let stub = Stub::default();
    let (_set, served) = with(&stub, isolated("modern", "principal")).await;
    let lanes = futures_util::future::join_all((0..50).map(|_| lane(&served, "alice"))).await;
    assert_eq!((BTreeSet::from_iter(lanes).len(), served.pids().len()), (1, 2), "hers and the common one");
}

#[tokio::test(start_paused = true)]
async fn what_a_principal_does_not_use_ends_and_the_common_process_after_it() {
    let stub = Stub::default();
    let lifecycle = Lifecycle {
        isolation: "principal".to_owned(),
        idle_timeout_ms: Some(60_000),
        lifetime_max_ms: Some(300_000),
        ..Lifecycle::default()
    };
    let (set, served) = with(&stub, with_lifecycle(&json!({ "speaks": "modern" }), lifecycle)).await;
    let first = lane(&served, "alice").await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        let lane = served.modern_lane(&Principal::named("alice")).await.unwrap();
        lane.mint();
        assert_eq!(lane.pid(), Some(first), "it is used");
    }
    assert_eq!(status(&set, "a").await.state(), BackendState::Ready, "nobody waits for the common process");
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert!(!served.pids().contains(&first));
    until(&set, "a", |status| status.state() == BackendState::Idle).await;
    until_closed(&stub).await;

    let next = lane(&served, "alice").await;
    let lane = served.modern_lane(&Principal::named("alice")).await.unwrap();
    while lane.is_open() {
        tokio::time::sleep(Duration::from_secs(5)).await;
        lane.mint();
        assert!(lane.born().elapsed() < Duration::from_secs(310), "{next} is old");
    }
    assert!(lane.born().elapsed() >= Duration::from_secs(300));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_or_does_not_come_concerns_its_principal_only() {
    let stub = Stub::default();
    let settings = json!({ "speaks": "modern", "label": "x" });
    let lifecycle = Lifecycle { isolation: "principal".to_owned(), ..Lifecycle::default() };
    let (set, served) = with(&stub, with_lifecycle(&settings, lifecycle)).await;
    let alice = served.modern_lane(&Principal::named("alice")).await.unwrap();
    let bob = lane(&served, "bob").await;
    alice.close();
    alice.closed().await;
    stub.0.set_down("x", true);
    let refused = served.modern_lane(&Principal::named("alice")).await.unwrap_err();
    assert!(refused.chain().contains("x is down"), "{refused}");
    stub.0.set_down("x", false);
    stub.0.set_deaf("x", true);
    let silent = served.modern_lane(&Principal::named("alice")).await.unwrap_err();
    assert_eq!(silent.kind(), omcp_core::ErrorKind::Timeout, "{silent}");
    stub.0.set_deaf("x", false);
    assert_eq!(lane(&served, "bob").await, bob);
    assert_ne!(lane(&served, "alice").await, bob);
    assert_eq!((stub.0.open(), status(&set, "a").await.pids.len()), (3, 3), "nothing was left behind");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_goes_takes_the_connections_of_its_principals_along() {
    for speaks in ["modern", "legacy"] {
        let stub = Stub::default();
        let (set, served) = with(&stub, isolated(speaks, "principal")).await;
        let session = session(&served, "alice").await.filter(|_| speaks == "legacy");
        if speaks == "modern" {
            lane(&served, "alice").await;
        }
        set.apply(vec![gone("a")]).await;
        until_closed(&stub).await;
        drop(session);
    }
}

#[tokio::test(start_paused = true)]
async fn principals_have_a_bound() {
    let stub = Stub::default();
    let (_set, served) = with(&stub, isolated("modern", "principal")).await;
    for number in 0..CIRCLES_MAX {
        lane(&served, &number.to_string()).await;
    }
    let refused = served.modern_lane(&Principal::named("late")).await.unwrap_err();
    assert_eq!(refused.kind(), omcp_core::ErrorKind::Limit, "{refused}");
    assert!(served.modern_lane(&nobody()).await.is_ok());
    let seventh = served.modern_lane(&Principal::named("7")).await.unwrap();
    seventh.close();
    seventh.closed().await;
    lane(&served, "late").await;
}

#[tokio::test(start_paused = true)]
async fn what_stands_ready_is_for_the_next_principal() {
    let stub = Stub::default();
    let lifecycle =
        Lifecycle { isolation: "principal".to_owned(), min_idle: Some(2), ..Lifecycle::default() };
    let (set, served) = with(&stub, with_lifecycle(&json!({}), lifecycle)).await;
    let before = until(&set, "a", |status| status.pids.len() == 2).await.pids;
    let alice = session(&served, "alice").await.unwrap();
    assert_eq!(alice.lane().pid(), Some(before[0]));
    drop(alice);
    until(&set, "a", |status| status.pids.len() == 2 && !status.pids.contains(&before[0])).await;
}
