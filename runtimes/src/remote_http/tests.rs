use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use http::Method;
use omcp_core::{ErrorKind, McpMessage};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::test_server::{
    Answer, Seen, TestServer, answer, build, events, idle, live_events, message, next, notification, request,
    result, work_until,
};

async fn connect(server: &TestServer) -> Box<dyn BackendConnection> {
    runtime(server).connect().await.unwrap()
}

fn runtime(server: &TestServer) -> Box<dyn Runtime> {
    let settings =
        json!({ "url": server.url("/mcp"), "headers": { "X-Key": "k" }, "write_timeout_ms": 3000 });
    build(&RemoteHttp, &settings).unwrap()
}

fn initialized(id: &str) -> Answer {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-06-18","capabilities":{{}}}}}}"#
    );
    let mut answer = crate::test_server::json(body);
    answer.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
    answer
}

/// A legacy server: `handler` answers what is neither handshake, GET nor DELETE.
async fn legacy(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> TestServer {
    TestServer::start(move |seen| {
        let answer = match (seen.method.as_str(), seen.rpc().as_str()) {
            ("POST", "initialize") => initialized(&seen.id()),
            ("POST", "notifications/initialized") => answer(202, "text/plain", ""),
            ("GET", _) if seen.header("last-event-id").is_none() => answer(405, "text/plain", ""),
            ("DELETE", _) => answer(200, "text/plain", ""),
            _ => handler(&seen),
        };
        async { answer }.boxed()
    })
    .await
}

async fn handshake(connection: &mut dyn BackendConnection) {
    connection.send(request(0, "initialize")).await.unwrap();
    assert_eq!(next(connection).await["result"]["protocolVersion"], "2025-06-18");
    connection.send(notification("notifications/initialized")).await.unwrap();
}

fn modern(id: u64, method: &str, params: &str) -> McpMessage {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    message(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{meta}{params}}}}}"#))
}

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    answer["error"]["data"]["reason"].as_str().unwrap()
}

#[tokio::test]
async fn a_legacy_session_from_handshake_to_delete() {
    let streams = Arc::new(Mutex::new(Vec::<UnboundedSender<String>>::new()));
    let open = Arc::clone(&streams);
    let server = TestServer::start(move |seen| {
        let answer = match (seen.method.as_str(), seen.rpc().as_str()) {
            ("GET", _) => {
                let (sender, answer) = live_events();
                open.lock().unwrap().push(sender);
                answer
            }
            ("DELETE", _) => answer(405, "text/plain", ""),
            (_, "initialize") => initialized(&seen.id()),
            (_, "tools/list") => crate::test_server::json(result(&seen.id())),
            _ => answer(202, "text/plain", ""),
        };
        async { answer }.boxed()
    })
    .await;
    let mut connection = connect(&server).await;
    handshake(&mut *connection).await;
    connection.send(request(1, "tools/list")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 1);
    streams.lock().unwrap()[0]
        .send("data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n\n".into())
        .unwrap();
    assert_eq!(next(&mut *connection).await["method"], "ping");
    connection.send(message(result("\"p\""))).await.unwrap();
    work_until(&mut *connection, || server.seen().len() == 5).await;
    idle(&mut *connection).await;
    connection.close().await.unwrap();
    connection.close().await.unwrap();
    assert!(connection.recv().await.unwrap().is_none());

    let seen = server.seen();
    let order: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.rpc())).collect();
    let want =
        ["POST initialize", "POST notifications/initialized", "GET ", "POST tools/list", "POST ", "DELETE "];
    assert_eq!(order, want);
    assert_eq!((seen[0].header("mcp-session-id"), seen[0].header("mcp-protocol-version")), (None, None));
    for seen in &seen[1..] {
        assert_eq!(seen.header("mcp-session-id"), Some("s1"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
        assert_eq!(seen.header("x-key"), Some("k"));
    }
    assert_eq!(seen[3].header("accept"), Some("application/json, text/event-stream"));
    assert_eq!((seen[2].header("accept"), seen[3].header("mcp-method")), (Some("text/event-stream"), None));
}

#[tokio::test]
async fn a_session_id_on_an_error_is_not_adopted() {
    let server = TestServer::start(|seen| {
        let mut answer = answer(
            400,
            "application/json",
            r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}"#,
        );
        answer.headers_mut().insert("mcp-session-id", "fresh".parse().unwrap());
        assert_eq!(seen.method, Method::POST);
        async { answer }.boxed()
    })
    .await;
    let mut connection = connect(&server).await;
    connection.send(request(1, "initialize")).await.unwrap();
    let answer = next(&mut *connection).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32600)));
    connection.send(request(2, "tools/list")).await.unwrap();
    next(&mut *connection).await;
    assert_eq!(server.seen()[1].header("mcp-session-id"), None);
    connection.close().await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn modern_requests_carry_modern_headers() {
    let server = legacy(|seen| crate::test_server::json(result(&seen.id()))).await;
    let mut connection = connect(&server).await;
    handshake(&mut *connection).await;
    for (id, method, params, name) in [
        (1, "tools/call", r#","name":"grüße""#, Some("=?base64?Z3LDvMOfZQ==?=")),
        (2, "resources/read", r#","uri":"file:///a""#, Some("file:///a")),
        (3, "tools/list", r#","name":"x""#, None),
        (4, "server/discover", "", None),
    ] {
        connection.send(modern(id, method, params)).await.unwrap();
        assert_eq!(next(&mut *connection).await["id"], id);
        let seen = server.request(|seen| seen.rpc() == method).await;
        assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!((seen.header("mcp-method"), seen.header("mcp-name")), (Some(method), name));
        assert_eq!(seen.header("mcp-session-id"), None);
    }
}

/// A server that wants the argument `region` of its tool in a header, and lists that tool on its second page.
async fn mirroring() -> TestServer {
    TestServer::start(|seen| {
        let error =
            json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "error": { "code": -32020, "message": "m" } });
        let tools = match seen.body.contains("cursor") {
            true => json!({ "tools": [{ "name": "t", "inputSchema": { "type": "object", "properties": {
                "region": { "type": "string", "x-mcp-header": "Region" } } } }] }),
            false => json!({ "tools": [{ "name": "other" }], "nextCursor": "2" }),
        };
        let listed = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": tools });
        let answer = match (seen.rpc().as_str(), seen.header("mcp-param-region")) {
            ("tools/list", _) => crate::test_server::json(listed.to_string()),
            ("tools/call", Some("=?base64?w7w=?=")) => crate::test_server::json(result(&seen.id())),
            _ => answer(400, "application/json", error.to_string()),
        };
        async { answer }.boxed()
    })
    .await
}

#[tokio::test]
async fn a_header_that_a_server_misses_is_learnt_and_remembered() {
    let server = mirroring().await;
    let mut connection = connect(&server).await;
    for id in [1, 2] {
        let call = modern(id, "tools/call", r#","name":"t","arguments":{"region":"ü"}"#);
        connection.send(call).await.unwrap();
        let answer = next(&mut *connection).await;
        assert_eq!((&answer["id"], answer.get("result").is_some()), (&json!(id), true), "{answer}");
    }
    let methods: Vec<String> = server.seen().iter().map(Seen::rpc).collect();
    assert_eq!(methods, ["tools/call", "tools/list", "tools/list", "tools/call", "tools/call"]);
}

#[tokio::test]
async fn a_header_is_known_from_a_list_that_passed_on_another_connection() {
    let server = mirroring().await;
    let runtime = runtime(&server);
    let mut lists = runtime.connect().await.unwrap();
    lists.send(modern(1, "tools/list", r#","cursor":"2""#)).await.unwrap();
    assert_eq!(next(&mut *lists).await["id"], 1);
    let mut calls = runtime.connect().await.unwrap();
    calls.send(modern(2, "tools/call", r#","name":"t","arguments":{"region":"ü"}"#)).await.unwrap();
    assert_eq!(next(&mut *calls).await["id"], 2);
    let methods: Vec<String> = server.seen().iter().map(Seen::rpc).collect();
    assert_eq!(methods, ["tools/list", "tools/call"]);
}

#[tokio::test]
async fn a_call_that_is_refused_for_another_header_is_not_repeated() {
    let server = mirroring().await;
    let mut connection = connect(&server).await;
    connection.send(modern(1, "tools/call", r#","name":"other","arguments":{}"#)).await.unwrap();
    assert_eq!(next(&mut *connection).await["error"]["code"], -32020);
    let calls = server.seen().iter().filter(|seen| seen.rpc() == "tools/call").count();
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn a_stream_delivers_up_to_the_answer() {
    let server = legacy(|seen| {
        let id = seen.id();
        events(format!(
            "event: ping\ndata: {{}}\n\ndata: nonsense\n\n: hi\r\n\r\nid: 1\r\ndata:\r\n\r\ndata: {{\"jsonrpc\":\"2.0\",\r\ndata: \"method\":\"notifications/progress\"}}\r\n\r\n\
             data: [{}, {}]\n\n",
            result("77"),
            result(&id)
        ))
    })
    .await;
    let mut connection = connect(&server).await;
    handshake(&mut *connection).await;
    connection.send(request(5, "tools/call")).await.unwrap();
    assert_eq!(next(&mut *connection).await["method"], "notifications/progress");
    assert_eq!(next(&mut *connection).await["id"], 77);
    assert_eq!(next(&mut *connection).await["id"], 5);
    idle(&mut *connection).await;
}

#[tokio::test]
async fn a_legacy_stream_is_resumed_where_it_broke() {
    let server = legacy(|seen| match seen.header("last-event-id") {
        Some("e1") => events("id: e2\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n\n"),
        Some("e2") => events(format!("id: e3\ndata: {}\n\n", result("9"))),
        _ => events("id: e1\nretry: 10\ndata: \n\n"),
    })
    .await;
    let mut connection = connect(&server).await;
    handshake(&mut *connection).await;
    connection.send(request(9, "tools/call")).await.unwrap();
    assert_eq!(next(&mut *connection).await["method"], "a");
    assert_eq!(next(&mut *connection).await["id"], 9);
    assert_eq!(server.seen().iter().filter(|seen| seen.header("last-event-id").is_some()).count(), 2);
}

#[tokio::test]
async fn a_stream_that_cannot_be_resumed_loses_the_request() {
    let server = legacy(|seen| match seen.header("last-event-id") {
        Some(_) => answer(400, "text/plain", ""),
        None if seen.rpc() == "noted" => events("id: e1\nretry: 1\ndata: \n\n"),
        None => events(": nothing\n\n"),
    })
    .await;
    let mut connection = connect(&server).await;
    handshake(&mut *connection).await;
    for (id, sent) in [(1, request(1, "noted")), (2, request(2, "m")), (3, modern(3, "noted", ""))] {
        connection.send(sent).await.unwrap();
        let answer = next(&mut *connection).await;
        assert_eq!((&answer["id"], reason(&answer)), (&json!(id), "stream_lost"));
    }
}

#[tokio::test]
async fn an_overlong_event_is_not_asked_for_again() {
    let server =
        legacy(|_| events(format!("id: e1\nretry: 1\ndata: \n\ndata: {}\n\n", "x".repeat(5000)))).await;
    let settings = json!({ "url": server.url("/mcp"), "message_len_max": 1024 });
    let mut connection = build(&RemoteHttp, &settings).unwrap().connect().await.unwrap();
    handshake(&mut *connection).await;
    connection.send(request(1, "m")).await.unwrap();
    assert_eq!(reason(&next(&mut *connection).await), "protocol_violation");
    assert!(server.seen().iter().all(|seen| seen.header("last-event-id").is_none()));
}

#[tokio::test]
async fn a_message_may_be_as_long_as_allowed_and_no_longer() {
    let server = legacy(|seen| {
        let len = if seen.rpc() == "fits" { 1024 } else { 1025 };
        let frame = result(&seen.id());
        let fill = "x".repeat(len - frame.len() - r#""f":"""#.len());
        events(format!(
            "id: e1\nevent: message\ndata: {}\n\n",
            frame.replace("{}", &format!(r#"{{"f":"{fill}"}}"#))
        ))
    })
    .await;
    let settings = json!({ "url": server.url("/mcp"), "message_len_max": 1024 });
    let mut connection = build(&RemoteHttp, &settings).unwrap().connect().await.unwrap();
    handshake(&mut *connection).await;
    connection.send(request(1, "fits")).await.unwrap();
    assert!(next(&mut *connection).await["result"]["f"].is_string());
    connection.send(request(2, "longer")).await.unwrap();
    let answer = next(&mut *connection).await;
    assert_eq!(answer["error"]["message"], "the server sent a message longer than 1024 bytes");
    assert_eq!(reason(&answer), "protocol_violation");
}

#[tokio::test]
async fn a_lost_session_is_told_twice() {
    for (status, body) in [
        (404, ""),
        (
            400,
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"No valid session ID provided"},"id":null}"#,
        ),
    ] {
        let server = legacy(move |_| answer(status, "application/json", body)).await;
        let mut connection = connect(&server).await;
        handshake(&mut *connection).await;
        connection.send(request(1, "tools/call")).await.unwrap();
        let answer = next(&mut *connection).await;
        assert_eq!((&answer["id"], reason(&answer)), (&json!(1), "session_lost"));
        assert_eq!(connection.recv().await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(connection.recv().await.unwrap().is_none());
        assert!(connection.send(request(2, "m")).await.is_err());
        connection.close().await.unwrap();
        assert!(server.seen().iter().all(|seen| seen.method != Method::DELETE));
    }
}

/// A server that forgets its sessions: those opened before the last [`Forgetful::forget`] are unknown.
struct Forgetful {
    server: TestServer,
    epoch: Arc<AtomicUsize>,
    executed: Arc<AtomicUsize>,
}

impl Forgetful {
    async fn start(status: u16, body: &'static str) -> Self {
        let (epoch, executed) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicUsize::new(0)));
        let (now, count) = (Arc::clone(&epoch), Arc::clone(&executed));
        let server = TestServer::start(move |seen| {
            let session = format!("s{}", now.load(Ordering::SeqCst));
            let known = seen.header("mcp-session-id") == Some(&session);
            let answer = match (seen.method.as_str(), seen.rpc().as_str()) {
                ("POST", "initialize") => {
                    let mut answer = initialized(&seen.id());
                    answer.headers_mut().insert("mcp-session-id", session.parse().unwrap());
                    answer
                }
                ("DELETE", _) => answer(200, "text/plain", ""),
                _ if !known => answer(status, "application/json", body),
                ("GET", _) => answer(405, "text/plain", ""),
                ("POST", method) if method.starts_with("notifications/") => answer(202, "text/plain", ""),
                _ => {
                    count.fetch_add(1, Ordering::SeqCst);
                    crate::test_server::json(result(&seen.id()))
                }
            };
            async { answer }.boxed()
        })
        .await;
        Self { server, epoch, executed }
    }

    fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    fn asked(&self, method: &str) -> usize {
        self.server.seen().iter().filter(|seen| seen.rpc() == method).count()
    }
}

const NO_SESSION: &str = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#;

#[tokio::test]
async fn a_forgotten_session_is_opened_anew_and_the_request_runs_once() {
    for (status, body) in [(404, ""), (400, NO_SESSION)] {
        let forgetful = Forgetful::start(status, body).await;
        let mut connection = connect(&forgetful.server).await;
        handshake(&mut *connection).await;
        let level = r#"{"jsonrpc":"2.0","id":5,"method":"logging/setLevel","params":{"level":"info"}}"#;
        connection.send(message(level.to_owned())).await.unwrap();
        assert_eq!(next(&mut *connection).await["id"], 5);
        forgetful.forget();
        for id in 10..20 {
            connection.send(request(id, "tools/call")).await.unwrap();
        }
        let mut answered = Vec::new();
        for _ in 10..20 {
            let answer = next(&mut *connection).await;
            assert!(answer.get("result").is_some(), "{status}: {answer}");
            answered.push(answer["id"].as_u64().unwrap());
        }
        answered.sort_unstable();
        assert!(answered.into_iter().eq(10..20));
        assert_eq!(forgetful.asked("initialize"), 2, "one of ten opens it anew");
        assert_eq!(forgetful.asked("notifications/initialized"), 2);
        // Both times the level was set, and each call once.
        assert_eq!((forgetful.asked("logging/setLevel"), forgetful.executed.load(Ordering::SeqCst)), (2, 12));
        connection.close().await.unwrap();
        let ended = forgetful.server.request(|seen| seen.method == Method::DELETE).await;
        assert_eq!(ended.header("mcp-session-id"), Some("s2"));
    }
}

#[tokio::test]
async fn a_request_that_waited_for_a_broken_handshake_was_not_sent() {
    let server = TestServer::start(|seen| {
        let answer = match seen.rpc().as_str() {
            "initialize" => initialized(&seen.id()),
            _ => answer(503, "text/plain", ""),
        };
        async { answer }.boxed()
    })
    .await;
    let mut connection = connect(&server).await;
    handshake(&mut *connection).await;
    for id in [1, 2] {
        connection.send(request(id, "tools/list")).await.unwrap();
    }
    for id in [1, 2] {
        let answer = next(&mut *connection).await;
        assert_eq!((&answer["id"], reason(&answer)), (&json!(id), "upstream_unavailable"));
        assert!(connection.send(request(3, "tools/list")).await.is_err());
    }
    assert!(connection.recv().await.unwrap_err().to_string().contains("status 503"));
    assert!(connection.recv().await.unwrap().is_none());
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_notification_meets_a_forgotten_session_too() {
    let forgetful = Forgetful::start(404, "").await;
    let mut connection = connect(&forgetful.server).await;
    handshake(&mut *connection).await;
    connection.send(request(1, "tools/list")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 1);
    forgetful.forget();
    connection.send(notification("notifications/roots/list_changed")).await.unwrap();
    work_until(&mut *connection, || forgetful.asked("notifications/roots/list_changed") == 2).await;
    connection.send(request(2, "tools/list")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 2);
    assert_eq!(forgetful.asked("initialize"), 2);
}

#[tokio::test]
async fn every_request_gets_an_answer() {
    let server = TestServer::start(|seen| {
        let answer = match seen.rpc().as_str() {
            "auth" => answer(
                401,
                "application/json",
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
            ),
            "down" => answer(503, "text/html", "<html>"),
            "moved" => answer(308, "text/plain", ""),
            "html" => answer(200, "text/html", "<html>"),
            "accepted" => answer(202, "text/plain", ""),
            "ndjson" => crate::test_server::json(format!("{0}\n{0}", result("1"))),
            "other" => crate::test_server::json(result("1234")),
            _ => panic!("unexpected"),
        };
        async { answer }.boxed()
    })
    .await;
    let mut connection = connect(&server).await;
    for (method, want, status) in [
        ("auth", "upstream_auth", Some(401)),
        ("down", "upstream_unavailable", Some(503)),
        ("moved", "upstream_unavailable", Some(308)),
        ("html", "protocol_violation", None),
        ("accepted", "protocol_violation", None),
        ("ndjson", "protocol_violation", None),
    ] {
        connection.send(request(1, method)).await.unwrap();
        let answer = next(&mut *connection).await;
        assert_eq!((&answer["id"], reason(&answer)), (&json!(1), want), "{method}");
        assert_eq!(answer["error"]["data"].get("status").and_then(Value::as_u64), status, "{method}");
    }
    connection.send(request(1, "other")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 1234);
    assert_eq!(reason(&next(&mut *connection).await), "protocol_violation");
    drop(server);
    let mut connection =
        build(&RemoteHttp, &json!({ "url": "http://127.0.0.1:1/" })).unwrap().connect().await.unwrap();
    connection.send(request(1, "m")).await.unwrap();
    let answer = next(&mut *connection).await;
    assert_eq!(reason(&answer), "upstream_unavailable");
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("could not connect to 127.0.0.1:1"));
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout() {
    let server = TestServer::start(|_| std::future::pending().boxed()).await;
    let settings = json!({ "url": server.url("/"), "call_timeout_ms": 50 });
    let mut connection = build(&RemoteHttp, &settings).unwrap().connect().await.unwrap();
    connection.send(request(1, "m")).await.unwrap();
    assert_eq!(reason(&next(&mut *connection).await), "timeout");
}

#[tokio::test]
async fn a_cancelled_modern_request_closes_its_stream_and_a_legacy_one_is_told() {
    let streams = Arc::new(Mutex::new(Vec::<UnboundedSender<String>>::new()));
    let open = Arc::clone(&streams);
    let server = legacy(move |seen| {
        if seen.rpc() == "notifications/cancelled" {
            return answer(202, "text/plain", "");
        }
        let (sender, answer) = live_events();
        open.lock().unwrap().push(sender);
        answer
    })
    .await;
    let mut connection = connect(&server).await;
    handshake(&mut *connection).await;
    connection.send(modern(1, "tools/call", "")).await.unwrap();
    connection.send(request(2, "tools/call")).await.unwrap();
    work_until(&mut *connection, || streams.lock().unwrap().len() == 2).await;
    for id in [1, 2] {
        let params = format!(r#"{{"requestId":{id}}}"#);
        let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
        connection.send(message(text)).await.unwrap();
    }
    work_until(&mut *connection, || streams.lock().unwrap().iter().all(UnboundedSender::is_closed)).await;
    let told: Vec<_> =
        server.seen().into_iter().filter(|seen| seen.rpc() == "notifications/cancelled").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].json()["params"]["requestId"], 2);
}

#[tokio::test]
async fn no_more_requests_travel_at_once_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = TestServer::start(move |seen| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        async move {
            peak.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            count.fetch_sub(1, Ordering::SeqCst);
            crate::test_server::json(result(&seen.id()))
        }
        .boxed()
    })
    .await;
    let mut connection = connect(&server).await;
    for id in 0..300 {
        connection.send(request(id, "m")).await.unwrap();
    }
    let mut ids = Vec::new();
    while ids.len() < 300 {
        ids.push(next(&mut *connection).await["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..300));
    assert!(most.load(Ordering::SeqCst) <= crate::outbox::REQUESTS_IN_FLIGHT_MAX);
}

#[test]
fn the_fast_path_is_told_and_bad_settings_name_the_field() {
    let settings = json!({ "url": "https://h/mcp", "headers": { "Authorization": "Bearer s" }, "connect_timeout_ms": 7 });
    let runtime = build(&RemoteHttp, &settings).unwrap();
    let upstream = runtime.http().unwrap();
    assert_eq!(
        (upstream.url.as_str(), upstream.connect_timeout),
        ("https://h/mcp", Duration::from_millis(7))
    );
    assert_eq!(upstream.headers, [("authorization".to_owned(), "Bearer s".to_owned())]);
    assert!(!format!("{upstream:?}").contains("Bearer"));
    for (settings, want) in [
        (json!({ "url": "ftp://h/mcp" }), "url: has to begin with http:// or https://"),
        (json!({ "url": "http://u@h/" }), "url: must not hold a user name or password; use headers"),
        (
            json!({ "url": "http://h/", "message_len_max": 0 }),
            "message_len_max: value is less than the minimum of 1024",
        ),
    ] {
        let Err(error) = build(&RemoteHttp, &settings) else { panic!("{settings} accepted") };
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidSettings, want));
    }
}
