use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use omcp_core::runtime::NoStderr;
use omcp_core::{DynRuntimeType, ErrorKind, McpMessage};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};

use self::signature::SECRET;
use super::*;
use crate::test_server::{
    Answer, Seen, TestServer, answer, build, idle, message, next, notification, request, result, work_until,
};

mod signature;

fn settings(url: &str) -> Value {
    json!({
        "function": "billing", "region": "eu-west-1", "endpoint_url": url,
        "access_key_id": signature::KEY_ID, "secret_access_key": SECRET,
    })
}

async fn connect_with(settings: &Value) -> Box<dyn BackendConnection> {
    build(&Lambda, settings).unwrap().connect().await.unwrap()
}

async fn connect(server: &TestServer) -> Box<dyn BackendConnection> {
    connect_with(&settings(&server.url(""))).await
}

/// An endpoint that checks every signature before `handler` answers.
async fn endpoint(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> TestServer {
    TestServer::start(move |seen| {
        let answer = match signature::verify(&seen) {
            Ok(()) => handler(&seen),
            Err(why) => refusal(403, "InvalidSignatureException", &format!("{why}\nSECOND LINE")),
        };
        async { answer }.boxed()
    })
    .await
}

fn refusal(status: u16, code: &str, text: &str) -> Answer {
    let mut refusal = answer(status, "application/json", json!({ "Message": text }).to_string());
    refusal.headers_mut().insert("x-amzn-errortype", code.parse().unwrap());
    refusal
}

fn returns(payload: impl Into<String>) -> Answer {
    answer(200, "application/json", payload.into())
}

fn error(answer: &Value) -> (&str, &str) {
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let texts = (&answer["error"]["data"]["reason"], &answer["error"]["message"]);
    (texts.0.as_str().unwrap(), texts.1.as_str().unwrap())
}

#[tokio::test]
async fn a_message_is_the_payload_of_a_signed_invocation() {
    let server = endpoint(|seen| returns(result(&seen.id()))).await;
    let mut with_all = settings(&server.url(""));
    with_all["function"] = json!("arn:aws:lambda:eu-west-1:111122223333:function:billing");
    with_all["qualifier"] = json!("live");
    with_all["session_token"] = json!("a/token+of=few:minutes");
    with_all.as_object_mut().unwrap().remove("region");
    for (settings, path) in [
        (settings(&server.url("")), "/2015-03-31/functions/billing/invocations"),
        (
            with_all,
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A111122223333%3Afunction%3Abilling/invocations?Qualifier=live",
        ),
    ] {
        let mut connection = connect_with(&settings).await;
        let text = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{ "n": 9007199254740993 }}"#;
        connection.send(message(text)).await.unwrap();
        assert_eq!(next(&mut *connection).await["id"], 7);
        let seen = server.seen().pop().unwrap();
        assert_eq!((seen.path.as_str(), seen.body.as_str()), (path, text));
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_nothing_secret_is_repeated() {
    let server = endpoint(|_| panic!("signed with the wrong secret")).await;
    let mut wrong = settings(&server.url(""));
    wrong["secret_access_key"] = json!("not the secret");
    let mut connection = connect_with(&wrong).await;
    connection.send(request(1, "ping")).await.unwrap();
    let refused = next(&mut *connection).await;
    let (reason, text) = error(&refused);
    assert_eq!(reason, "upstream_auth");
    assert!(text.contains("InvalidSignatureException") && text.contains("billing"), "{text}");
    assert!(!text.contains("SECOND LINE") && !text.contains("not the secret"), "{text}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_aws_refuses_is_told_by_kind_and_never_tried_again() {
    let server = endpoint(|seen| match seen.rpc().as_str() {
        "throttled" => {
            let mut refusal = refusal(429, "TooManyRequestsException", "Rate Exceeded.");
            refusal.headers_mut().insert("retry-after", "7".parse().unwrap());
            refusal
        }
        "denied" => refusal(403, "AccessDeniedException", "User: x is not authorized"),
        "large" => refusal(413, "RequestTooLargeException", "too large"),
        _ => refusal(500, "ServiceException", "An error occurred"),
    })
    .await;
    let mut connection = connect(&server).await;
    for (id, method, reason, says) in [
        (1, "throttled", "upstream_unavailable", "throttled"),
        (2, "denied", "upstream_auth", "User: x is not authorized"),
        (3, "large", "invalid_request", "too long"),
        (4, "broken", "upstream_unavailable", "ServiceException"),
    ] {
        connection.send(request(id, method)).await.unwrap();
        let refused = next(&mut *connection).await;
        let told = error(&refused);
        assert!(told.0 == reason && told.1.contains(says), "{refused}");
        let hint = if method == "throttled" { json!(7000) } else { Value::Null };
        assert_eq!(refused["error"]["data"]["retryAfterMs"], hint);
        assert_eq!(server.seen().len() as u64, id);
    }
}

#[tokio::test]
async fn a_function_error_is_told_with_type_and_message() {
    let server = endpoint(|_| {
        let report = r#"{"errorType":"KeyError","errorMessage":"'price'","stackTrace":["a","b"]}"#;
        let mut failed = returns(report);
        failed.headers_mut().insert("x-amz-function-error", "Unhandled".parse().unwrap());
        failed
    })
    .await;
    let mut connection = connect(&server).await;
    connection.send(request(1, "tools/call")).await.unwrap();
    let failed = next(&mut *connection).await;
    assert_eq!(
        error(&failed),
        ("protocol_violation", "function billing failed (Unhandled): KeyError: 'price'")
    );
    let want = json!({ "reason": "protocol_violation", "functionError": "Unhandled", "errorType": "KeyError",
        "errorMessage": "'price'" });
    assert_eq!(failed["error"]["data"], want);
}

#[tokio::test]
async fn what_is_no_answer_is_a_fault_of_the_function() {
    let server = endpoint(|seen| {
        returns(match seen.rpc().as_str() {
            "adapter" => r#"{"jsonrpc":"2.0","id":0,"error":{"code":500,"message":"Internal failure"}}"#,
            "empty" => "{}",
            "null" => "null",
            "gateway" => r#"{"statusCode":200,"body":"{}"}"#,
            "other" => r#"{"jsonrpc":"2.0","id":99,"result":{}}"#,
            _ => "<html>",
        })
    })
    .await;
    let mut connection = connect(&server).await;
    connection.send(request(1, "adapter")).await.unwrap();
    let own = next(&mut *connection).await;
    assert_eq!(
        (&own["id"], &own["error"]["code"]),
        (&json!(1), &json!(500)),
        "an adapter's own error is kept"
    );
    for (method, says) in [
        ("empty", "answers notifications"),
        ("null", "nothing"),
        ("gateway", "API Gateway"),
        ("other", "no JSON-RPC response"),
        ("html", "<html>"),
    ] {
        connection.send(request(2, method)).await.unwrap();
        let bad = next(&mut *connection).await;
        assert!(error(&bad).0 == "protocol_violation" && error(&bad).1.contains(says), "{bad}");
    }
}

#[tokio::test]
async fn a_function_that_is_gone_ends_the_connection() {
    let server = endpoint(|_| refusal(404, "ResourceNotFoundException", "Function not found")).await;
    let mut connection = connect(&server).await;
    connection.send(request(1, "ping")).await.unwrap();
    assert_eq!(error(&next(&mut *connection).await).0, "upstream_unavailable");
    let gone = connection.recv().await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unreachable);
    assert!(gone.to_string().contains("there is no function billing"), "{gone}");
    assert!(connection.recv().await.unwrap().is_none());
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_slow_function_costs_its_own_call_only() {
    let server = TestServer::start(|seen| {
        async move {
            if seen.rpc() == "slow" {
                std::future::pending::<()>().await;
            }
            returns(result(&seen.id()))
        }
        .boxed()
    })
    .await;
    let mut impatient = settings(&server.url(""));
    impatient["call_timeout_ms"] = json!(5_000);
    let mut connection = connect_with(&impatient).await;
    connection.send(request(1, "slow")).await.unwrap();
    connection.send(request(2, "fast")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 2);
    let late = next(&mut *connection).await;
    assert_eq!(error(&late), ("timeout", "function billing: no answer in 5000 ms; see call_timeout_ms"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_broken_connection_loses_the_call_and_no_connection_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let dropping = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let read = socket.read(&mut [0; 4096]).await.unwrap();
            assert!(read > 0, "a request came before the end");
        }
    });
    let mut connection = connect_with(&settings(&url)).await;
    connection.send(request(1, "tools/call")).await.unwrap();
    assert_eq!(error(&next(&mut *connection).await).0, "stream_lost");
    assert_eq!(accepted.load(Ordering::SeqCst), 1, "it may have run, so it is not invoked again");
    dropping.abort();
    let _ = dropping.await;
    connection.send(request(2, "tools/call")).await.unwrap();
    assert_eq!(error(&next(&mut *connection).await).0, "upstream_unavailable");
}

#[tokio::test]
async fn what_is_too_long_is_not_sent() {
    let server = endpoint(|seen| returns(result(&seen.id()))).await;
    let mut connection = connect(&server).await;
    let frame = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":""}}"#;
    for (len, sent) in [(function::PAYLOAD_LEN_MAX, 1), (function::PAYLOAD_LEN_MAX + 1, 1)] {
        let fill = "x".repeat(len - frame.len());
        connection.send(message(frame.replace("\"\"", &format!("\"{fill}\"")))).await.unwrap();
        let heard = next(&mut *connection).await;
        assert_eq!(server.seen().len(), sent);
        if len > function::PAYLOAD_LEN_MAX {
            let (reason, text) = error(&heard);
            assert!(reason == "invalid_request" && text.contains("6291456"), "{text}");
        }
    }
}

#[tokio::test]
async fn invocations_are_bounded_over_all_connections() {
    let (pair, running) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let server = TestServer::start(move |seen| {
        let (pair, running) = (Arc::clone(&pair), Arc::clone(&running));
        async move {
            assert!(running.fetch_add(1, Ordering::SeqCst) < 2, "no more than two at once");
            pair.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            returns(result(&seen.id()))
        }
        .boxed()
    })
    .await;
    let mut bounded = settings(&server.url(""));
    bounded["concurrency_max"] = json!(2);
    let runtime = build(&Lambda, &bounded).unwrap();
    let mut connections = [runtime.connect().await.unwrap(), runtime.connect().await.unwrap()];
    for connection in &mut connections {
        for id in 0..10 {
            connection.send(request(id, "m")).await.unwrap();
        }
    }
    let [first, second] = &mut connections;
    let all = async |connection: &mut Box<dyn BackendConnection>| {
        for _ in 0..10 {
            assert!(next(&mut **connection).await["result"].is_object());
        }
    };
    tokio::join!(all(first), all(second));
}

#[tokio::test]
async fn a_cancelled_call_is_dropped_and_the_function_is_not_told() {
    struct Ended(Arc<Notify>);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let server = TestServer::start(move |seen| {
        let ended = Ended(Arc::clone(&told));
        async move {
            if seen.rpc() == "slow" {
                std::future::pending::<()>().await;
            }
            std::mem::forget(ended);
            returns(result(&seen.id()))
        }
        .boxed()
    })
    .await;
    let mut connection = connect(&server).await;
    connection.send(request(1, "slow")).await.unwrap();
    work_until(&mut *connection, || server.seen().len() == 1).await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    connection.send(message(cancel)).await.unwrap();
    connection.send(request(2, "fast")).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 2);
    tokio::time::timeout(Duration::from_secs(10), ended.notified()).await.expect("the invocation is dropped");
    idle(&mut *connection).await;
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_handshake_declares_nothing_and_notifications_are_invocations() {
    let server = endpoint(|seen| {
        returns(match seen.rpc().as_str() {
            "initialize" => format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{"listChanged":true}}}}}}}}"#,
                seen.id()
            ),
            "tools/list" => result(&seen.id()),
            _ => "{}".to_owned(),
        })
    })
    .await;
    let mut connection = connect(&server).await;
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"sampling":{}},"clientInfo":{"name":"c","version":"1"}}}"#;
    connection.send(message(initialize)).await.unwrap();
    assert_eq!(next(&mut *connection).await["result"]["capabilities"], json!({ "tools": {} }));
    connection.send(notification("notifications/initialized")).await.unwrap();
    connection.send(request(1, "tools/list")).await.unwrap();
    connection.send(message(r#"{"jsonrpc":"2.0","id":"q","result":{}}"#)).await.unwrap();
    assert_eq!(next(&mut *connection).await["id"], 1);
    let order: Vec<_> = server.seen().iter().map(Seen::rpc).collect();
    assert_eq!(order, ["initialize", "notifications/initialized", "tools/list"]);
    assert_eq!(server.seen()[0].json()["params"]["capabilities"], json!({}));
}

#[tokio::test]
async fn a_fresh_copy_of_a_function_is_initialized_before_the_call_is_repeated() {
    let fresh = Arc::new(Mutex::new(true));
    let copy = Arc::clone(&fresh);
    let server = endpoint(move |seen| {
        let mut fresh = copy.lock().unwrap();
        let refuses = *fresh && seen.rpc() == "tools/call";
        *fresh &= seen.rpc() != "notifications/initialized";
        returns(match refuses {
            true => format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32000,"message":"Server not initialized"}}}}"#,
                seen.id()
            ),
            false => result(&seen.id()),
        })
    })
    .await;
    let mut connection = connect(&server).await;
    connection.send(request(0, "initialize")).await.unwrap();
    next(&mut *connection).await;
    connection.send(notification("notifications/initialized")).await.unwrap();
    connection.send(request(1, "tools/call")).await.unwrap();
    assert!(next(&mut *connection).await["result"].is_object());
    *fresh.lock().unwrap() = true;
    connection.send(request(2, "tools/call")).await.unwrap();
    let again = next(&mut *connection).await;
    assert!(again["id"] == 2 && again["result"].is_object(), "{again}");
    let order: Vec<_> = server.seen().iter().skip(3).map(Seen::rpc).collect();
    assert_eq!(order, ["tools/call", "initialize", "notifications/initialized", "tools/call"]);
}

#[test]
fn settings_are_checked_before_anything_is_reached() {
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:billing";
    for (settings, field) in [
        (json!({ "function": "" }), "function: "),
        (json!({ "function": arn, "region": "us-east-1" }), "region: "),
        (json!({ "function": "f", "endpoint_url": "localhost:9000" }), "endpoint_url: "),
        (json!({ "function": "f", "secret_access_key": "S3CRET" }), "access_key_id: "),
        (json!({ "function": "f", "session_token": "S3CRET" }), "session_token: "),
        (json!({ "function": "f", "concurrency_max": 257 }), "concurrency_max: "),
    ] {
        let error = build(&Lambda, &settings).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidSettings);
        assert!(error.to_string().starts_with(field) && !error.to_string().contains("S3CRET"), "{error}");
    }
    assert!(build(&Lambda, &json!({ "function": arn, "region": "eu-west-1" })).is_ok());
    let context = RuntimeContext {
        backend: "b".parse().unwrap(),
        env: BTreeMap::from([("PORT".to_owned(), "1".to_owned())]),
        stderr: Arc::new(NoStderr),
        node: omcp_core::NodeIdentity::default(),
    };
    let error = DynRuntimeType::create(&Lambda, r#"{"function":"f"}"#, context).err().unwrap();
    assert!(error.to_string().contains("env"), "{error}");
}

#[tokio::test]
async fn a_subscription_is_acknowledged_and_invokes_nothing() {
    let server = endpoint(|_| panic!("invoked")).await;
    let mut connection = connect(&server).await;
    let listen: McpMessage =
        message(r#"{"jsonrpc":"2.0","id":"s","method":"subscriptions/listen","params":{}}"#);
    connection.send(listen).await.unwrap();
    let acknowledged = next(&mut *connection).await;
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": "s" });
    assert_eq!(acknowledged["params"], json!({ "notifications": {}, "_meta": meta }));
    idle(&mut *connection).await;
}
