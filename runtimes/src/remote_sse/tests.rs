use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::test_server::{
    Seen, TestServer, answer, build, events, live_events, next, notification, request, result,
};

type Stream = Arc<Mutex<Option<UnboundedSender<String>>>>;

fn data(text: &str) -> String {
    format!("event: message\ndata: {text}\n\n")
}

/// A server whose POST endpoint answers `status`, and whose stream answers each accepted request.
async fn server(status: impl Fn(&Seen) -> u16 + Send + Sync + 'static) -> (TestServer, Stream) {
    let stream = Stream::default();
    let open = Arc::clone(&stream);
    let server = TestServer::start(move |seen| {
        if seen.method == Method::GET {
            let (sender, body) = live_events();
            sender.send(": hi\n\nevent: endpoint\ndata: /messages?s=1\n\n".into()).unwrap();
            *open.lock().unwrap() = Some(sender);
            return async { body }.boxed();
        }
        let status = status(&seen);
        if status == 202
            && seen.body.contains("\"id\"")
            && let Some(stream) = &*open.lock().unwrap()
        {
            stream.send(data(&result(&seen.id()))).unwrap();
        }
        async move { answer(status, "text/plain", "said") }.boxed()
    });
    (server.await, stream)
}

fn settings(server: &TestServer) -> Value {
    json!({ "url": server.url("/sse"), "headers": { "Authorization": "Bearer t" }, "handshake_timeout_ms": 10_000 })
}

async fn connect(server: &TestServer) -> Box<dyn BackendConnection> {
    build(&RemoteSse, &settings(server)).unwrap().connect().await.unwrap()
}

async fn refusal(server: &TestServer) -> GatewayError {
    match build(&RemoteSse, &settings(server)).unwrap().connect().await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (server, stream) = server(|_| 202).await;
    let mut connection = connect(&server).await;
    connection.send(request(1, "initialize")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 1);
    connection.send(notification("notifications/initialized")).await.unwrap();
    connection.send(request(2, "tools/list")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 2);
    let batch = r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]"#;
    for text in ["nonsense", batch] {
        stream.lock().unwrap().as_ref().unwrap().send(data(text)).unwrap();
    }
    assert_eq!(next(&mut *connection).await["method"], "a");
    assert_eq!(next(&mut *connection).await["method"], "b");
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer t")));
    let posts: Vec<_> = seen.iter().filter(|seen| seen.path == "/messages?s=1").map(Seen::rpc).collect();
    assert_eq!(posts, ["initialize", "notifications/initialized", "tools/list"]);
    connection.close().await.unwrap();
    connection.close().await.unwrap();
    assert!(connection.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn a_refused_request_is_answered_and_the_rest_goes_on() {
    let (server, _stream) = server(|seen| match seen.rpc().as_str() {
        "bad" => 503,
        "secret" => 401,
        "notifications/bad" => 400,
        _ => 202,
    })
    .await;
    let mut connection = connect(&server).await;
    for (id, method, reason) in [(1, "bad", "upstream_unavailable"), (2, "secret", "upstream_auth")] {
        connection.send(request(id, method)).await.unwrap();
        let answer = next(&mut *connection).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(-32603)));
        assert_eq!(answer["error"]["data"]["reason"], reason);
    }
    connection.send(notification("notifications/bad")).await.unwrap();
    connection.send(request(3, "good")).await.unwrap();
    assert_eq!(next(&mut *connection).await["result"], json!({}));
}

#[tokio::test]
async fn the_end_of_the_stream_is_the_end() {
    let (server, stream) = server(|_| 202).await;
    let mut connection = connect(&server).await;
    stream.lock().unwrap().take();
    let error = connection.recv().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Closed, "the server ended its event stream")
    );
    assert!(connection.recv().await.unwrap().is_none());
    assert_eq!(connection.send(request(1, "m")).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_broken_post_is_the_end() {
    let (server, _stream) = server(|_| 202).await;
    let mut connection = connect(&server).await;
    drop(server);
    connection.send(request(1, "m")).await.unwrap();
    let error = loop {
        match connection.recv().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a reason"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Unreachable), "{error:?}");
}

#[tokio::test]
async fn many_requests_pass_the_bounds() {
    let (server, _stream) = server(|_| 202).await;
    let mut connection = connect(&server).await;
    for id in 0..500 {
        connection.send(request(id, "m")).await.unwrap();
    }
    let mut ids = Vec::new();
    while ids.len() < 500 {
        ids.push(next(&mut *connection).await["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..500));
}

#[tokio::test]
async fn what_is_no_event_stream_is_refused() {
    for (status, media_type, kind) in [
        (401, "text/event-stream", ErrorKind::Auth),
        (403, "text/plain", ErrorKind::Auth),
        (404, "text/plain", ErrorKind::Protocol),
        (307, "text/event-stream", ErrorKind::Protocol),
        (200, "application/json", ErrorKind::Protocol),
        (503, "text/plain", ErrorKind::Unreachable),
    ] {
        let server = TestServer::start(move |_| async move { answer(status, media_type, "") }.boxed()).await;
        let error = refusal(&server).await;
        assert_eq!(error.kind(), kind, "{status}");
        assert!(error.to_string().contains(&format!("(status {status}")), "{error}");
    }
}

#[tokio::test]
async fn the_endpoint_has_to_come_in_time_and_from_the_same_origin() {
    for (body, want) in [
        ("event: endpoint\ndata: http://evil.example/m\n\n", "named an endpoint of another origin"),
        ("event: endpoint\ndata: http://[\n\n", "named an endpoint that is no URL"),
        (": nothing\n\n", "ended without an endpoint event"),
    ] {
        let server = TestServer::start(move |_| async move { events(body) }.boxed()).await;
        let error = refusal(&server).await;
        assert!(error.kind() == ErrorKind::Protocol && error.to_string().ends_with(want), "{error}");
    }
    let held = Stream::default();
    let hold = Arc::clone(&held);
    let server = TestServer::start(move |_| {
        let (sender, body) = live_events();
        *hold.lock().unwrap() = Some(sender);
        async { body }.boxed()
    })
    .await;
    let settings = json!({ "url": server.url("/"), "handshake_timeout_ms": 300 });
    let Err(error) = build(&RemoteSse, &settings).unwrap().connect().await else { panic!("connected") };
    assert!(
        error.kind() == ErrorKind::Timeout && error.to_string().ends_with("no endpoint event in 300 ms"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let (server, _stream) = server(|_| 202).await;
    let settings = settings(&server);
    let address = server.address;
    drop(server);
    tokio::task::yield_now().await;
    let Err(error) = build(&RemoteSse, &settings).unwrap().connect().await else { panic!("connected") };
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Unreachable, format!("could not connect to {address}"))
    );
    assert!(error.chain().to_lowercase().contains("refused"), "{}", error.chain());
}

#[tokio::test]
async fn a_silent_stream_ends_if_told_so() {
    let (server, _stream) = server(|_| 202).await;
    let mut settings = settings(&server);
    settings["idle_timeout_ms"] = json!(500);
    let mut connection = build(&RemoteSse, &settings).unwrap().connect().await.unwrap();
    let error = connection.recv().await.unwrap_err();
    assert_eq!(error.to_string(), "the event stream was silent for 500 ms");
}

#[test]
fn bad_settings_name_the_field() {
    for (settings, want) in [
        (json!({ "url": "http://u:p@h/sse" }), "url: must not hold a user name or password; use headers"),
        (
            json!({ "url": "http://h/", "headers": { "Accept": "x" } }),
            "headers.Accept: is written by the gateway itself",
        ),
    ] {
        let Err(error) = build(&RemoteSse, &settings) else { panic!("{settings} accepted") };
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidSettings, want));
    }
}
