//! Clients with sessions at a modern backend that nobody has asked for a handshake yet.

use futures_util::future::join_all;

use super::*;

async fn built(stub: &Stub, settings: &Value) -> (BackendSet, Arc<Served>) {
    let set = set(stub);
    set.apply(vec![put("a", 1, settings)]).await;
    let served = set.table().get("a").unwrap();
    (set, served)
}

fn pinned(settings: &Value, era: &str) -> Wanted {
    let spec = BackendSpec {
        runtime_type: "stub".to_owned(),
        settings_json: settings.to_string(),
        era: era.to_owned(),
        ..BackendSpec::default()
    };
    Wanted { name: name("a"), spec: Some((1, encode(&spec))) }
}

#[tokio::test(start_paused = true)]
async fn all_who_come_first_ask_once() {
    for (speaks, legacy) in [("posing", false), ("modern", false), ("both", true)] {
        let stub = Stub::default();
        let (_set, served) = built(&stub, &json!({ "speaks": speaks })).await;
        let eras = served.ready().await.unwrap();
        let answers = join_all((0..20).map(|_| served.shakes_hands(eras))).await;
        assert_eq!(answers, [legacy; 20], "{speaks}");
        assert_eq!(stub.0.connected(), 2, "{speaks}: the probe, and the question");
        assert_eq!(served.eras().unwrap().legacy, legacy, "{speaks}");
        assert_eq!(served.speaks_legacy(eras), Some(legacy), "{speaks}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_ask_gets_no_handshake_unless_it_knows_nothing_else() {
    for (speaks, era, shakes) in [
        ("both", "auto", false),
        ("modern", "auto", false),
        ("legacy", "auto", true),
        ("both", "legacy", true),
    ] {
        let stub = Stub::default();
        let set = set(&stub);
        set.apply(vec![pinned(&json!({ "speaks": speaks, "only_answers": true }), era)]).await;
        let served = set.table().get("a").unwrap();
        let eras = served.ready().await.unwrap();
        assert_eq!(served.shakes_hands(eras).await, shakes, "{speaks}, pinned {era}");
        assert_eq!(stub.0.connected(), 1, "{speaks}: nothing is asked but by the probe");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_waited_for_once_in_a_while() {
    let stub = Stub::default();
    let (_set, served) = built(&stub, &json!({ "speaks": "aloof" })).await;
    let eras = served.ready().await.unwrap();
    let waited = async |served: &Served| {
        let began = Instant::now();
        assert!(!served.shakes_hands(eras).await);
        began.elapsed().as_secs()
    };
    assert_eq!(waited(&served).await, 30);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((waited(&served).await, served.speaks_legacy(eras)), (0, None));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((waited(&served).await, stub.0.connected()), (30, 3));
}

#[tokio::test(start_paused = true)]
async fn the_answer_outlives_a_rest_of_the_process() {
    let stub = Stub::default();
    let set = set(&stub);
    let lifecycle = Lifecycle { idle_timeout_ms: Some(60_000), ..Lifecycle::default() };
    set.apply(vec![with_lifecycle(&json!({ "speaks": "both" }), lifecycle)]).await;
    let served = ready(&set, "a").await;
    assert!(served.shakes_hands(super::super::super::Eras::MODERN).await);
    until(&set, "a", |status| status.state() == BackendState::Idle).await;
    let eras = served.ready().await.unwrap();
    assert!(eras.legacy && eras.modern);
    assert_eq!(stub.0.connected(), 3, "the probe, the question, and the probe that woke it");
}
