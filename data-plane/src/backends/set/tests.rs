use std::collections::BTreeMap;

use omcp_mcp::bridge::capabilities::ClientCapabilities;
use omcp_proto::v1::{BackendSpec, BackendState, Lifecycle};
use serde_json::{Value, json};

use super::super::bridge::principal::Principal;
use super::super::stub::{Stub, encode, spec};
use super::*;
use crate::host::secrets::Secrets;

mod isolation;
mod other_era;

const LONG: Duration = Duration::from_secs(3600);

fn name(text: &str) -> BackendName {
    text.parse().unwrap()
}

fn nobody() -> Principal {
    Principal::anonymous()
}

fn put(text: &str, revision: Revision, settings: &Value) -> Wanted {
    Wanted { name: name(text), spec: Some((revision, spec(settings))) }
}

fn gone(text: &str) -> Wanted {
    Wanted { name: name(text), spec: None }
}

fn set(stub: &Stub) -> BackendSet {
    BackendSet::start(stub.registry(), Secrets::default(), NodeIdentity::default(), BackendLimits::default())
}

async fn status(set: &BackendSet, text: &str) -> BackendStatus {
    set.statuses(Some([name(text)].into())).await.present.remove(0)
}

/// Waits until the status is as wanted.
async fn until(set: &BackendSet, text: &str, wanted: impl Fn(&BackendStatus) -> bool) -> BackendStatus {
    let deadline = Instant::now() + LONG;
    loop {
        let status = status(set, text).await;
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "never came: {status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ready(set: &BackendSet, text: &str) -> Arc<Served> {
    until(set, text, |status| status.state() == BackendState::Ready).await;
    set.table().get(text).unwrap()
}

fn rejections(set: &BackendSet) -> BTreeMap<String, (RejectionCode, u64)> {
    let all = set.rejections().borrow().clone();
    all.iter().map(|r| (r.backend.clone(), (r.code(), r.serving_revision))).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_named_is_not_touched() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({})), put("b", 1, &json!({}))]).await;
    let (a, b) = (ready(&set, "a").await, ready(&set, "b").await);
    set.apply(vec![put("b", 2, &json!({"version": 2})), put("c", 2, &json!({}))]).await;
    until(&set, "b", |status| status.serving_revision == 2).await;
    assert!(Arc::ptr_eq(&a, &set.table().get("a").unwrap()));
    assert!(!Arc::ptr_eq(&b, &set.table().get("b").unwrap()));
    assert!(b.retired() && !a.retired());
}

#[tokio::test(start_paused = true)]
async fn names_and_tags_change_without_a_new_runtime() {
    let stub = Stub::default();
    let set = set(&stub);
    let mut spec = BackendSpec { runtime_type: "stub".to_owned(), ..BackendSpec::default() };
    let want =
        |revision, spec: &BackendSpec| Wanted { name: name("a"), spec: Some((revision, encode(spec))) };
    set.apply(vec![want(1, &spec)]).await;
    let before = ready(&set, "a").await;
    spec.tags = vec!["x".to_owned()];
    set.apply(vec![want(2, &spec)]).await;
    let after = set.table().get("a").unwrap();
    assert!(Arc::ptr_eq(&before, &after));
    assert_eq!((after.revision(), after.backend().tags), (2, vec!["x".to_owned()]));
    let status = status(&set, "a").await;
    assert_eq!((status.state(), status.revision, status.serving_revision), (BackendState::Ready, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_old_serves_until_the_new_is_ready() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({"label": "old"}))]).await;
    let old = ready(&set, "a").await;
    stub.0.set_down("new", true);
    set.apply(vec![put("a", 2, &json!({"label": "new"}))]).await;
    let failing = until(&set, "a", |status| status.state() == BackendState::Failing).await;
    assert_eq!((failing.revision, failing.serving_revision), (2, 1));
    assert!(failing.last_error.contains("new is down"), "{failing:?}");
    assert!(Arc::ptr_eq(&old, &set.table().get("a").unwrap()));
    stub.0.set_down("new", false);
    until(&set, "a", |status| status.state() == BackendState::Ready && status.serving_revision == 2).await;
    assert!(old.retired());
}

#[tokio::test(start_paused = true)]
async fn what_never_was_ready_gives_way_at_once() {
    let stub = Stub::default();
    let set = set(&stub);
    stub.0.set_down("old", true);
    set.apply(vec![put("a", 1, &json!({"label": "old"}))]).await;
    until(&set, "a", |status| status.state() == BackendState::Failing).await;
    set.apply(vec![put("a", 2, &json!({}))]).await;
    assert_eq!(set.table().get("a").unwrap().revision(), 2);
    assert_eq!(set.table().get("a").unwrap().ready().await.unwrap(), super::super::Eras::LEGACY);
}

#[tokio::test(start_paused = true)]
async fn a_change_taken_back_keeps_the_old_runtime() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({}))]).await;
    let old = ready(&set, "a").await;
    stub.0.set_down("new", true);
    set.apply(vec![put("a", 2, &json!({"label": "new"}))]).await;
    set.apply(vec![put("a", 3, &json!({}))]).await;
    assert!(Arc::ptr_eq(&old, &set.table().get("a").unwrap()));
    let status = status(&set, "a").await;
    assert_eq!((status.state(), status.revision, status.serving_revision), (BackendState::Ready, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_bad_definition_blocks_only_itself_and_the_old_form_serves() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({}))]).await;
    let old = ready(&set, "a").await;
    let missing = spec(&json!({"label": "${OMCP_TEST_SURELY_UNSET}"}));
    let foreign = encode(&BackendSpec { runtime_type: "alien".to_owned(), ..BackendSpec::default() });
    set.apply(vec![
        put("a", 2, &json!({"create": "fail"})),
        put("panics", 2, &json!({"create": "panic"})),
        put("typo", 2, &json!({"lable": 1})),
        Wanted { name: name("missing"), spec: Some((2, missing)) },
        Wanted { name: name("alien"), spec: Some((2, foreign)) },
        Wanted { name: name("noise"), spec: Some((2, Bytes::from_static(b"\xff\xff"))) },
        put("fine", 2, &json!({})),
    ])
    .await;
    let want = [
        ("a", RejectionCode::Invalid, 1),
        ("alien", RejectionCode::UnknownType, 0),
        ("missing", RejectionCode::MissingReference, 0),
        ("noise", RejectionCode::Decode, 0),
        ("panics", RejectionCode::BuildFailed, 0),
        ("typo", RejectionCode::Invalid, 0),
    ];
    assert_eq!(rejections(&set), want.map(|(name, code, serving)| (name.to_owned(), (code, serving))).into());
    ready(&set, "fine").await;
    assert!(Arc::ptr_eq(&old, &set.table().get("a").unwrap()));
    let rejected = status(&set, "a").await;
    assert_eq!(
        (rejected.state(), rejected.revision, rejected.serving_revision),
        (BackendState::Rejected, 2, 1)
    );
    assert!(rejected.last_error.contains("fails on demand"), "{rejected:?}");
    set.apply(vec![put("a", 3, &json!({"version": 3})), gone("alien"), gone("panics"), gone("noise")]).await;
    assert_eq!(rejections(&set).into_keys().collect::<Vec<_>>(), ["missing", "typo"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_definition_is_tried_again_when_its_secret_may_have_come() {
    let stub = Stub::default();
    let directory = tempfile::tempdir().unwrap();
    let secrets = Secrets::new(Some(directory.path().to_owned()));
    let set = BackendSet::start(stub.registry(), secrets, NodeIdentity::default(), BackendLimits::default());
    set.apply(vec![Wanted { name: name("a"), spec: Some((1, spec(&json!({"label": "${file:key}"})))) }])
        .await;
    let began = Instant::now();
    until(&set, "a", |status| status.failures == 2).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    std::fs::write(directory.path().join("key"), "x").unwrap();
    until(&set, "a", |status| status.state() == BackendState::Ready).await;
    assert_eq!(began.elapsed().as_secs(), 180);
    assert!(rejections(&set).is_empty());
}

#[tokio::test(start_paused = true)]
async fn disabled_is_kept_and_not_served() {
    let stub = Stub::default();
    let set = set(&stub);
    let mut spec = BackendSpec { runtime_type: "stub".to_owned(), disabled: true, ..BackendSpec::default() };
    let want =
        |revision, spec: &BackendSpec| Wanted { name: name("a"), spec: Some((revision, encode(spec))) };
    set.apply(vec![want(1, &spec)]).await;
    assert_eq!(status(&set, "a").await.state(), BackendState::Stopped);
    assert!(set.table().is_empty());
    spec.disabled = false;
    set.apply(vec![want(2, &spec)]).await;
    let served = ready(&set, "a").await;
    spec.disabled = true;
    set.apply(vec![want(3, &spec)]).await;
    assert!(set.table().is_empty() && served.retired());
}

#[tokio::test(start_paused = true)]
async fn a_removed_backend_drains_and_then_closes() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({"speaks": "modern"})), put("b", 1, &json!({}))]).await;
    let (a, b) = (ready(&set, "a").await, ready(&set, "b").await);
    let lane = a.modern_lane(&nobody()).await.unwrap();
    let session = b.track_session(Some(7));
    assert_eq!((status(&set, "b").await.sessions, status(&set, "b").await.pids), (1, vec![7]));
    let began = Instant::now();
    set.apply(vec![gone("a"), gone("b")]).await;
    assert!(set.table().is_empty());
    lane.closed().await;
    a.wait_closed().await;
    b.wait_closed().await;
    assert_eq!(
        began.elapsed().as_secs(),
        BackendLimits::default().drain_timeout.as_secs(),
        "a session lives on until the deadline"
    );
    drop(session);
    assert_eq!(stub.0.open(), 0);
    assert!(a.open_connection().await.is_err(), "a closed definition opens nothing");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_process() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply((0..20).map(|n| put(&format!("b{n}"), 1, &json!({"speaks": "modern"}))).collect()).await;
    for n in 0..20 {
        ready(&set, &format!("b{n}")).await;
    }
    let _session = set.table().get("b3").unwrap().track_session(None);
    assert!(stub.0.open() >= 20);
    let began = Instant::now();
    set.close().await;
    assert_eq!(stub.0.open(), 0);
    assert!(began.elapsed() < Duration::from_secs(1), "nothing is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_start_and_fails_fast_afterwards() {
    let stub = Stub::default();
    let set = set(&stub);
    stub.0.set_down("x", true);
    set.apply(vec![put("a", 1, &json!({"label": "x"})), put("b", 1, &json!({"speaks": "silent"}))]).await;
    let a = set.table().get("a").unwrap();
    let error = a.ready().await.unwrap_err();
    assert_eq!(error.code(), "upstream_unavailable");
    assert!(error.to_string().contains("x is down"), "{error}");
    let began = Instant::now();
    let error = set.table().get("b").unwrap().ready().await.unwrap_err();
    assert_eq!((error.code(), began.elapsed()), ("timeout", super::super::served::START_DEADLINE));
    stub.0.set_down("x", false);
    ready(&set, "a").await;
    assert_eq!(a.ready().await.unwrap(), super::super::Eras::LEGACY);
    ready(&set, "b").await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_lane_is_told_and_restarted() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({"speaks": "both"}))]).await;
    let both = until(&set, "a", |status| status.eras.len() == 2).await;
    assert_eq!((both.tools, both.pids.len()), (Some(2), 1));
    let served = set.table().get("a").unwrap();
    let lane = served.modern_lane(&nobody()).await.unwrap();
    lane.close();
    lane.closed().await;
    until(&set, "a", |status| status.failures == 1).await;
    ready(&set, "a").await;
    let again = served.modern_lane(&nobody()).await.unwrap();
    assert!(again.is_open() && again.pid() != lane.pid());
    let legacy = put("b", 2, &json!({}));
    set.apply(vec![legacy]).await;
    let error = set.table().get("b").unwrap().modern_lane(&nobody()).await.unwrap_err();
    assert_eq!(error.code(), "era_mismatch");
}

#[tokio::test(start_paused = true)]
async fn failed_calls_make_a_backend_failing() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({"label": "x"}))]).await;
    let served = ready(&set, "a").await;
    stub.0.set_down("x", true);
    for _ in 0..3 {
        assert!(served.eras().is_some());
        served.note_failure(&omcp_core::GatewayError::unreachable("refused"));
    }
    assert!(served.eras().is_none());
    assert!(served.refuses().is_none(), "a short pause is waited out");
    until(&set, "a", |status| status.failures > 8 && status.last_error.contains("x is down")).await;
    while served.refuses().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(served.ready().await.unwrap_err().to_string().contains("x is down"));
    stub.0.set_down("x", false);
    ready(&set, "a").await;
    assert!(served.refuses().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_connecting_is_one_failure() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({"connect": "panic"})), put("b", 1, &json!({}))]).await;
    let failing = until(&set, "a", |status| status.failures >= 3).await;
    assert!(failing.last_error.contains("panicked"), "{failing:?}");
    ready(&set, "b").await;
}

/// One backend with this lifecycle.
fn with_lifecycle(settings: &Value, lifecycle: Lifecycle) -> Wanted {
    let spec = BackendSpec {
        runtime_type: "stub".to_owned(),
        settings_json: settings.to_string(),
        lifecycle: Some(lifecycle),
        ..BackendSpec::default()
    };
    Wanted { name: name("a"), spec: Some((1, encode(&spec))) }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_nobody_uses_ends_and_the_next_call_starts_it() {
    let stub = Stub::default();
    let set = set(&stub);
    let lifecycle = Lifecycle { idle_timeout_ms: Some(60_000), ..Lifecycle::default() };
    set.apply(vec![with_lifecycle(&json!({"speaks": "modern"}), lifecycle)]).await;
    let served = ready(&set, "a").await;
    let lane = served.modern_lane(&nobody()).await.unwrap();
    let listening = lane.mint();
    let request = omcp_core::McpMessage::trusted(
        format!(r#"{{"jsonrpc":"2.0","id":{listening},"method":"subscriptions/listen"}}"#).into(),
    );
    let inbox = super::super::lane::Inbox::new();
    lane.call(listening, request, inbox, super::super::lane::CallTraits::default()).unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(lane.is_open(), "a subscription is use");
    lane.cancel(listening, "enough");
    let idle = until(&set, "a", |status| status.state() == BackendState::Idle).await;
    assert_eq!((idle.eras, idle.pids.len(), idle.tools), (vec!["modern".to_owned()], 0, Some(2)));
    lane.closed().await;
    assert_eq!((stub.0.open(), set.processes()), (0, 0));
    let woken = served.modern_lane(&nobody()).await.unwrap();
    assert!(woken.is_open() && woken.pid() != lane.pid());
    assert_eq!(status(&set, "a").await.state(), BackendState::Ready);
}

#[tokio::test(start_paused = true)]
async fn many_calls_wake_a_resting_backend_once() {
    let stub = Stub::default();
    let set = set(&stub);
    let lifecycle = Lifecycle { idle_timeout_ms: Some(60_000), ..Lifecycle::default() };
    set.apply(vec![with_lifecycle(&json!({"speaks": "modern"}), lifecycle)]).await;
    let served = ready(&set, "a").await;
    until(&set, "a", |status| status.state() == BackendState::Idle).await;
    let before = stub.0.connected();
    let nobody = nobody();
    let lanes = futures_util::future::join_all((0..50).map(|_| served.modern_lane(&nobody))).await;
    let pids: BTreeSet<_> = lanes.into_iter().map(|lane| lane.unwrap().pid()).collect();
    assert_eq!((pids.len(), stub.0.connected()), (1, before + 1));
}

#[tokio::test(start_paused = true)]
async fn a_checked_process_rests_all_the_same_unless_it_is_kept_warm() {
    for (min_idle, open) in [(0, 0), (1, 1)] {
        let stub = Stub::default();
        let set = set(&stub);
        let lifecycle =
            Lifecycle { idle_timeout_ms: Some(300_000), min_idle: Some(min_idle), ..Lifecycle::default() };
        set.apply(vec![with_lifecycle(&json!({"speaks": "modern"}), lifecycle)]).await;
        ready(&set, "a").await;
        tokio::time::sleep(LONG).await;
        assert_eq!(stub.0.open(), open, "min_idle {min_idle}");
    }
}

#[tokio::test(start_paused = true)]
async fn processes_stand_ready_for_sessions_and_are_replaced_when_they_are_old() {
    let stub = Stub::default();
    let set = set(&stub);
    let lifecycle = Lifecycle { min_idle: Some(3), lifetime_max_ms: Some(60_000), ..Lifecycle::default() };
    set.apply(vec![with_lifecycle(&json!({}), lifecycle)]).await;
    let young = until(&set, "a", |status| status.pids.len() == 3).await.pids;
    let served = set.table().get("a").unwrap();
    let mut opened = served.session_connection().await.unwrap();
    assert_eq!(opened.connection.pid(), Some(young[0]), "the oldest goes first");
    let refilled = until(&set, "a", |status| status.pids.len() == 3).await.pids;
    assert_eq!((&refilled[..2], stub.0.open()), (&young[1..], 4));
    tokio::time::sleep(Duration::from_secs(90)).await;
    let now = until(&set, "a", |status| status.pids.len() == 3).await.pids;
    assert!(now.iter().all(|pid| !refilled.contains(pid)), "{now:?} after {refilled:?}");
    opened.connection.close().await.unwrap();
    set.apply(vec![gone("a")]).await;
    until_closed(&stub).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_stands_ready_for_who_needs_nothing() {
    let lifecycle = |isolation: &str| Lifecycle {
        min_idle: Some(3),
        isolation: isolation.to_owned(),
        ..Lifecycle::default()
    };
    let cases = [
        ("modern", "session", false, 1),
        ("modern", "principal", false, 1),
        ("legacy", "shared", false, 0),
        ("legacy", "session", true, 0),
        ("legacy", "principal", true, 0),
    ];
    for (speaks, isolation, remote, processes) in cases {
        let stub = Stub::default();
        let set = set(&stub);
        let settings = json!({"speaks": speaks, "remote": remote});
        set.apply(vec![with_lifecycle(&settings, lifecycle(isolation))]).await;
        ready(&set, "a").await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let pids = status(&set, "a").await.pids;
        assert_eq!(pids.len(), processes, "{speaks} {isolation} remote: {remote}");
    }
}

async fn until_closed(stub: &Stub) {
    let deadline = Instant::now() + LONG;
    while stub.0.open() > 0 {
        assert!(Instant::now() < deadline, "{} are open", stub.0.open());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_process_is_replaced_and_its_call_ends_first() {
    let stub = Stub::default();
    let set = set(&stub);
    let lifecycle =
        Lifecycle { lifetime_max_ms: Some(60_000), idle_timeout_ms: Some(0), ..Lifecycle::default() };
    set.apply(vec![with_lifecycle(&json!({"speaks": "modern", "label": "x"}), lifecycle)]).await;
    let served = ready(&set, "a").await;
    let old = served.modern_lane(&nobody()).await.unwrap();
    stub.0.set_deaf("x", true);
    let call = tokio::spawn({
        let old = old.clone();
        async move { old.request("slow", "{}", Duration::from_secs(100)).await }
    });
    tokio::time::sleep(Duration::from_secs(55)).await;
    stub.0.set_deaf("x", false);
    until(&set, "a", |status| !status.pids.is_empty() && status.pids[0] != old.pid().unwrap()).await;
    assert!(old.is_open(), "the call is still under way");
    assert!(call.await.unwrap().is_err());
    old.closed().await;
    assert!(served.modern_lane(&nobody()).await.unwrap().is_open());
}

#[tokio::test(start_paused = true)]
async fn a_node_runs_no_more_processes_than_it_may() {
    let stub = Stub::default();
    let limits = BackendLimits { processes_max: 2, ..BackendLimits::default() };
    let set = BackendSet::start(stub.registry(), Secrets::default(), NodeIdentity::default(), limits);
    let modern = |text: &str| put(text, 1, &json!({"speaks": "modern"}));
    set.apply(vec![modern("a"), modern("b"), modern("c")]).await;
    let full = loop {
        let all = set.statuses(None).await.present;
        let ready = all.iter().filter(|status| status.state() == BackendState::Ready).count();
        match all.into_iter().find(|status| status.last_error.contains("--processes-max")) {
            Some(full) if ready == 2 => break full,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!((set.processes(), stub.0.open()), (2, 2));
    let gone_one = if full.backend == "a" { "b" } else { "a" };
    set.apply(vec![gone(gone_one)]).await;
    ready(&set, &full.backend).await;
    assert!(set.processes() <= 2);
    set.close().await;
    assert_eq!(set.processes(), 0);
}

#[tokio::test(start_paused = true)]
async fn silent_backends_hold_nobody_up() {
    let stub = Stub::default();
    let set = set(&stub);
    let silent = |n: usize| put(&format!("s{n}"), 1, &json!({"label": "x"}));
    stub.0.set_deaf("x", true);
    set.apply((0..100).map(silent).collect()).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let began = Instant::now();
    set.apply(vec![put("good", 2, &json!({}))]).await;
    set.table().get("good").unwrap().ready().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_check_finds_a_hung_backend_and_its_recovery() {
    for settings in [
        json!({"speaks": "modern", "label": "x"}),
        json!({"speaks": "legacy", "label": "x", "remote": true}),
        json!({"speaks": "modern", "label": "x", "remote": true, "http": true}),
    ] {
        let stub = Stub::default();
        let set = set(&stub);
        set.apply(vec![put("a", 1, &settings)]).await;
        let served = ready(&set, "a").await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(status(&set, "a").await.state(), BackendState::Ready, "{settings}");
        stub.0.set_deaf("x", true);
        let degraded = until(&set, "a", |status| status.state() == BackendState::Degraded).await;
        assert!(degraded.last_error.contains("a check failed"), "{degraded:?}");
        assert!(served.eras().is_some(), "it serves meanwhile");
        until(&set, "a", |status| status.state() == BackendState::Failing).await;
        stub.0.set_deaf("x", false);
        ready(&set, "a").await;
        assert_eq!(status(&set, "a").await.last_error, "");
        set.close().await;
        assert_eq!(stub.0.open(), 0, "{settings}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_ends_at_once_is_a_crash_loop_and_tried_rarely() {
    let stub = Stub::default();
    let set = set(&stub);
    set.apply(vec![put("a", 1, &json!({"speaks": "broken"}))]).await;
    until(&set, "a", |status| status.state() == BackendState::CrashLoop).await;
    let served = set.table().get("a").unwrap();
    let error = served.ready().await.unwrap_err();
    assert!(error.to_string().contains("again and again"), "{error}");
    let before = stub.0.connected();
    for _ in 0..100 {
        assert!(served.ready().await.is_err());
    }
    assert_eq!(stub.0.connected(), before, "calls start nothing");
    let (before, began) = (stub.0.connected(), Instant::now());
    tokio::time::sleep(LONG).await;
    let starts = stub.0.connected() - before;
    let most = began.elapsed().as_secs() / 15;
    assert!(starts > 0 && (starts as u64) <= most, "{starts} starts in an hour");
}

/// A set with ten thousand backends, and how long it took to apply them.
async fn ten_thousand(stub: &Stub) -> (BackendSet, Duration) {
    let set = set(stub);
    let wanted: Vec<_> = (0..10_000).map(|n| put(&format!("b{n}"), 1, &json!({}))).collect();
    let began = std::time::Instant::now();
    set.apply(wanted).await;
    let applied = began.elapsed();
    assert_eq!(set.table().len(), 10_000);
    println!("10,000 backends applied in {applied:?}");
    (set, applied)
}

#[tokio::test]
async fn few_start_at_once_and_ten_thousand_are_applied_quickly() {
    // Without optimisation; a release build needs a tenth of it.
    let limit = Duration::from_secs(3);
    // A busy machine may be slow once.
    let mut tries = 1;
    let (stub, set) = loop {
        let stub = Stub::default();
        let (set, applied) = ten_thousand(&stub).await;
        if applied < limit {
            break (stub, set);
        }
        assert!(tries < 3, "{applied:?}");
        tries += 1;
        set.close().await;
    };
    let last = set.table().get("b9999").unwrap();
    last.ready().await.unwrap();
    assert!(stub.0.connected() < 5_000, "a call does not wait for the other probes");
    assert!(stub.0.most_connecting.load(std::sync::atomic::Ordering::SeqCst) <= prober::PROBES_MAX);
}

#[tokio::test]
async fn a_full_node_refuses_more() {
    let stub = Stub::default();
    let set = set(&stub);
    let off =
        encode(&BackendSpec { runtime_type: "stub".to_owned(), disabled: true, ..BackendSpec::default() });
    let wanted = (0..=BACKENDS_MAX)
        .map(|n| Wanted { name: name(&format!("b{n:05}")), spec: Some((1, off.clone())) })
        .collect();
    set.apply(wanted).await;
    let refused = rejections(&set);
    assert_eq!(refused, [(format!("b{BACKENDS_MAX:05}"), (RejectionCode::Limit, 0))].into());
}

/// Whoever opened a bridge may have found another one free by then.
#[tokio::test(start_paused = true)]
async fn a_bridge_that_was_opened_in_vain_comes_to_rest() {
    let stub = Stub::default();
    let set = set(&stub);
    let lifecycle = Lifecycle { idle_timeout_ms: Some(60_000), ..Lifecycle::default() };
    set.apply(vec![with_lifecycle(&json!({ "speaks": "legacy" }), lifecycle)]).await;
    let served = ready(&set, "a").await;
    let asks = ClientCapabilities::parse(br#"{"elicitation":{}}"#);
    drop(served.legacy_lane(&nobody(), asks, b"{}", true).await.unwrap());
    assert_eq!(served.pids().len(), 1);
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert!(served.pids().is_empty());
}
