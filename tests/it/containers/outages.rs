use std::time::Instant;

use omcp_core::ErrorKind;
use serde_json::{Value, json};

use super::*;

/// From the death of a container to the error that tells of it.
const NEWS_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn closing_removes_the_container_and_its_last_words_are_heard() {
    let engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let mut connection = life.connect("heard", &engine, json!({})).await;
    initialize(&mut *connection).await;
    call(&mut *connection, "log_stderr", json!({ "line": "words to nobody" })).await;
    assert_eq!(engine.containers("label=omcp.node=node").len(), 1);
    connection.close().await.unwrap();
    connection.close().await.unwrap();
    assert!(connection.recv().await.unwrap().is_none());
    assert_eq!(engine.containers("status=unknown"), Vec::<Value>::new());
    assert_eq!(engine.containers("label=omcp.node=node"), Vec::<Value>::new());
    let lines = life.stderr.0.lock().unwrap().clone();
    assert!(lines.iter().any(|line| line == "words to nobody"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_container_is_ended() {
    let engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let settings = json!({
        "args": ["--behave", "ignore-eof", "--behave", "ignore-sigterm", "stdio"],
        "stop_timeout_ms": 200, "kill_timeout_ms": 200,
    });
    let mut connection = life.connect("stubborn", &engine, settings).await;
    initialize(&mut *connection).await;
    connection.close().await.unwrap();
    assert_eq!(engine.containers("label=omcp.backend=stubborn"), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_container_ended_is_told() {
    let engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    for (tool, arguments, settings, end) in [
        ("die", json!({}), json!({}), "exited with status "),
        (
            "big",
            json!({ "bytes": 200_000_000 }),
            json!({ "memory_mib": 48 }),
            // This engine reports a killed container, but not always why.
            "needed more than 48 MiB; see memory_mib",
        ),
    ] {
        let mut connection = life.connect("ends", &engine, settings).await;
        initialize(&mut *connection).await;
        ask(&mut *connection, tool, arguments).await;
        let error = received(&mut *connection).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains(end), "{}", error.chain());
        assert!(connection.recv().await.unwrap().is_none());
        connection.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_killed_in_mid_call_is_told_at_once() {
    let engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let mut connection = life.connect("killed", &engine, json!({})).await;
    initialize(&mut *connection).await;
    ask(&mut *connection, "slow", json!({ "ms": 600_000 })).await;
    // The request leaves while the connection waits.
    assert!(timeout(Duration::from_millis(200), connection.recv()).await.is_err());
    engine.run(&["kill", engine.container_of("killed")["Id"].as_str().unwrap()]);
    let began = Instant::now();
    let error = received(&mut *connection).await.unwrap_err();
    assert!(began.elapsed() < NEWS_LIMIT, "{:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("exited with status 137 (signal 9)"), "{}", error.chain());
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let mut engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let error = life.refusal(&engine, json!({ "image": "localhost/absent:1" })).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("image localhost/absent:1 is not on the container engine at unix:/"), "{text}");
    assert!(text.contains("pull_policy is never"), "{text}");

    let settings = json!({ "image": "localhost:1/absent:1", "pull_policy": "missing" });
    let text = life.refusal(&engine, settings).await.to_string();
    assert!(text.contains("could not pull image localhost:1/absent:1: "), "{text}");

    let text = life.refusal(&engine, json!({ "command": "/nothing" })).await.chain();
    assert!(text.contains("/nothing"), "{text}");
    assert_eq!(engine.containers("label=omcp.backend=refused"), Vec::<Value>::new());

    engine.down();
    let error = life.refusal(&engine, json!({})).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains(&engine.address()), "{error}");
}
