use std::sync::Arc;

use omcp_core::NodeIdentity;
use omcp_proto::v1::BackendSpec;
use serde_json::json;

use super::super::build::Builder;
use super::super::served::Shared;
use super::super::stub::{Stub, encode};
use super::*;
use crate::host::secrets::Secrets;

fn served(stub: &Stub, era: &str, settings: Value) -> Arc<Served> {
    let node = NodeIdentity::default();
    let builder = Builder::new(stub.registry(), Secrets::default(), node, Arc::<Shared>::default());
    let spec = BackendSpec {
        runtime_type: "stub".to_owned(),
        settings_json: settings.to_string(),
        era: era.to_owned(),
        ..BackendSpec::default()
    };
    let backend = Builder::read(&"x".parse().unwrap(), &encode(&spec)).unwrap();
    builder.build(backend, 1, &Arc::default()).unwrap()
}

async fn probe(era: &str, settings: Value) -> (Stub, Result<Findings, GatewayError>) {
    let stub = Stub::default();
    let found = run(&served(&stub, era, settings)).await;
    (stub, found)
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_peer_gets_its_verdict() {
    for (speaks, era, eras, connections) in [
        ("legacy", "auto", Eras::LEGACY, 1),
        ("silent", "auto", Eras::LEGACY, 2),
        ("touchy", "auto", Eras::LEGACY, 2),
        ("modern", "auto", Eras::MODERN, 1),
        ("both", "auto", Eras::MODERN, 1),
        ("both", "legacy", Eras::LEGACY, 1),
        ("touchy", "legacy", Eras::LEGACY, 1),
        ("modern", "modern", Eras::MODERN, 1),
        // A pin is obeyed, unless the answer proves it wrong.
        ("modern", "legacy", Eras::MODERN, 2),
    ] {
        let (stub, found) = probe(era, json!({"speaks": speaks})).await;
        let found = found.unwrap_or_else(|error| panic!("{speaks} {era}: {error}"));
        assert_eq!((found.eras, found.listed.tools()), (eras, Some(2)), "{speaks} {era}");
        assert_eq!(stub.0.connected(), connections, "{speaks} {era}");
        assert_eq!(found.connection.is_some(), eras == Eras::MODERN, "{speaks} {era}: a modern pipe is kept");
        assert_eq!(stub.0.open(), usize::from(eras == Eras::MODERN), "{speaks} {era}: the rest is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_verdict() {
    let stub = Stub::default();
    stub.0.set_down("", true);
    let backend = served(&stub, "auto", json!({}));
    let error = run(&backend).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    for speaks in ["broken", "future"] {
        let (stub, found) = probe("auto", json!({"speaks": speaks})).await;
        assert_eq!(found.err().unwrap().kind(), ErrorKind::Unsupported, "{speaks}");
        assert_eq!(stub.0.open(), 0, "{speaks}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_server_that_stays_silent_is_an_outage() {
    for (speaks, kind) in [("silent", ErrorKind::Timeout), ("touchy", ErrorKind::Closed)] {
        let (stub, found) = probe("auto", json!({"speaks": speaks, "http": true})).await;
        assert_eq!(found.err().unwrap().kind(), kind);
        assert_eq!(stub.0.connected(), 1, "nothing else was tried");
    }
    let (stub, found) = probe("auto", json!({"speaks": "modern", "http": true})).await;
    assert!(found.unwrap().connection.is_none(), "HTTP needs no lane");
    assert_eq!(stub.0.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_other_era_is_asked_for_on_its_own_connection() {
    for (speaks, legacy) in [("both", true), ("modern", false), ("posing", false)] {
        let stub = Stub::default();
        let backend = served(&stub, "auto", json!({"speaks": speaks}));
        let mut dialogue = dial(&backend).await.unwrap();
        assert_eq!(speaks_legacy(&mut dialogue).await, Some(legacy), "{speaks}");
        dialogue.close(CLOSE_DEADLINE).await;
        assert_eq!(stub.0.open(), 0);
    }
}

#[test]
fn an_outage_does_not_refuse_a_handshake() {
    for (reason, status, want) in [
        ("upstream_unavailable", json!(404), true),
        ("upstream_unavailable", json!(503), false),
        ("upstream_auth", json!(401), false),
        ("timeout", Value::Null, false),
        ("stream_lost", Value::Null, false),
        ("protocol_violation", Value::Null, true),
        ("a word of the server", Value::Null, true),
    ] {
        let refused = Refused { data: json!({"reason": reason, "status": status}), ..Refused::default() };
        assert_eq!(says_no(&refused), want, "{reason} {status}");
    }
    assert!(says_no(&Refused { code: -32601, ..Refused::default() }));
}

fn name(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Modern(_) => "modern",
        Judgement::GoOn => "legacy",
        Judgement::StartAnew => "anew",
        Judgement::NoVerdict(_) => "none",
    }
}

#[test]
fn what_a_runtime_answers_in_the_stead_of_a_server_is_told_apart() {
    for (reason, status, want) in [
        ("upstream_unavailable", json!(404), "legacy"),
        ("upstream_unavailable", json!(405), "legacy"),
        ("upstream_unavailable", json!(503), "none"),
        ("upstream_unavailable", json!(429), "none"),
        ("upstream_unavailable", json!(307), "none"),
        ("upstream_unavailable", Value::Null, "none"),
        ("upstream_auth", json!(401), "none"),
        ("timeout", Value::Null, "none"),
        ("stream_lost", Value::Null, "none"),
        ("protocol_violation", Value::Null, "anew"),
        ("a word of the server", Value::Null, "legacy"),
    ] {
        let data = json!({"reason": reason, "status": status});
        let refused = Refused { code: -32603, data, ..Refused::default() };
        assert_eq!(name(judge(Ok(Err(refused)), true)), want, "{reason} {status}");
    }
}

#[test]
fn answers_are_judged_by_more_than_one_code() {
    let judged = |code, data| name(judge(Ok(Err(Refused { code, data, ..Refused::default() })), false));
    for code in [-32000, -32600, -32601, -32602, -32603] {
        assert_eq!(judged(code, Value::Null), "legacy", "{code}");
    }
    assert_eq!(judged(-32020, Value::Null), "modern");
    assert_eq!(judged(-32021, Value::Null), "modern");
    assert_eq!(judged(-32022, json!({"supported": ["2026-07-28", "2099-01-01"]})), "modern");
    assert_eq!(judged(-32022, json!({"supported": ["2025-11-25"]})), "legacy");
    assert_eq!(judged(-32022, json!({"supported": ["2099-01-01"]})), "none");
}
