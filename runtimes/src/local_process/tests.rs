use std::collections::BTreeMap;

use omcp_core::runtime::NoStderr;
use omcp_core::{DynRuntimeType, ErrorKind, NodeIdentity};
use serde_json::json;

use super::*;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

fn ping() -> McpMessage {
    McpMessage::parse(PING.into()).unwrap()
}

fn build(settings: serde_json::Value) -> Result<Box<dyn Runtime>, GatewayError> {
    let context = RuntimeContext {
        backend: "b".parse().unwrap(),
        env: BTreeMap::from([("ANSWER".to_owned(), r#"{"jsonrpc":"2.0","id":2,"result":{}}"#.to_owned())]),
        stderr: Arc::new(NoStderr),
        node: NodeIdentity::default(),
    };
    DynRuntimeType::create(&LocalProcess, &settings.to_string(), context)
}

async fn shell(script: &str) -> Box<dyn BackendConnection> {
    shell_with_start_timeout(script, 60_000).await
}

async fn shell_with_start_timeout(script: &str, start_timeout_ms: u64) -> Box<dyn BackendConnection> {
    let settings = json!({
        "command": "sh", "args": ["-c", script], "start_timeout_ms": start_timeout_ms, "stop_timeout_ms": 200, "kill_timeout_ms": 200,
    });
    build(settings).unwrap().connect().await.unwrap()
}

fn refusal(settings: serde_json::Value) -> String {
    let Err(error) = build(settings) else { panic!("accepted") };
    assert_eq!(error.kind(), ErrorKind::InvalidSettings);
    error.to_string()
}

#[tokio::test]
async fn an_echo_echoes_until_closed() {
    let mut connection = shell("cat").await;
    for _ in 0..3 {
        connection.send(ping()).await.unwrap();
        assert_eq!(connection.recv().await.unwrap().unwrap().bytes(), PING);
    }
    assert!(connection.pid().is_some());
    connection.close().await.unwrap();
    connection.close().await.unwrap();
    assert!(connection.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn the_environment_of_the_backend_reaches_it() {
    let mut connection = shell("read -r line; echo \"$ANSWER\"; exec cat").await;
    connection.send(ping()).await.unwrap();
    assert_eq!(connection.recv().await.unwrap().unwrap().id(), Some(&b"2"[..]));
    connection.close().await.unwrap();
}

#[tokio::test]
async fn an_exit_is_told_after_the_last_words() {
    for (script, end) in [
        ("exit 3", "exited with status 3"),
        ("echo \"$ANSWER\"; exit 4", "exited with status 4"),
        ("echo \"$ANSWER\"; kill -9 $$", "was ended by signal 9"),
        ("sleep 300 & exit 5", "exited with status 5"),
        ("setsid sleep 3 & exit 6", "exited with status 6"),
    ] {
        let mut connection = shell(script).await;
        connection.send(ping()).await.unwrap();
        if script.starts_with("echo") {
            assert_eq!(connection.recv().await.unwrap().unwrap().id(), Some(&b"2"[..]), "{script}");
        }
        let error = connection.recv().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{script}");
        assert!(error.to_string().contains(end), "{script}: {error}");
        assert!(connection.recv().await.unwrap().is_none(), "{script}");
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_send_to_the_dead_tells_how_they_died() {
    let mut connection = shell("read -r line; exit 9").await;
    let big =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"p":"{}"}}}}"#, "x".repeat(2_000_000));
    let big = McpMessage::parse(big.into()).unwrap();
    let error = loop {
        if let Err(error) = connection.send(big.clone()).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().ends_with("exited with status 9"), "{}", error.chain());
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_program_that_never_answers_is_given_up() {
    let mut connection = shell_with_start_timeout("exec sleep 300", 400).await;
    connection.send(ping()).await.unwrap();
    let error = connection.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("wrote no message in 400 ms; see start_timeout_ms"), "{error}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn silence_before_the_first_message_is_no_fault() {
    let mut connection = shell_with_start_timeout("exec cat", 2000).await;
    let waited = timeout(Duration::from_millis(2500), connection.recv()).await;
    assert!(waited.is_err());
    connection.send(ping()).await.unwrap();
    assert!(connection.recv().await.unwrap().is_some());
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_output_is_an_end() {
    let mut connection = shell("exec >&-; exec sleep 300").await;
    let error = connection.recv().await.unwrap_err();
    assert!(error.to_string().ends_with("runs but closed its output"), "{error}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_stubborn_and_talkative_program_is_ended() {
    let mut connection = shell("trap '' TERM; while :; do echo \"$ANSWER\"; done").await;
    assert!(connection.recv().await.unwrap().is_some());
    timeout(Duration::from_secs(20), connection.close()).await.expect("an end").unwrap();
}

#[test]
fn what_cannot_work_is_refused_by_field() {
    for (settings, want) in [
        (json!({ "command": "no-such-program" }), "command: no program \"no-such-program\" in PATH"),
        (json!({ "command": "./x", "working_dir": "/etc" }), "command: no file /etc/x"),
        (
            json!({ "command": "sh", "working_dir": "/etc/passwd" }),
            "working_dir: /etc/passwd is no directory on this node",
        ),
        (
            json!({ "command": "sh", "memory_limit_bytes": 9 }),
            "memory_limit_bytes: has to be at least 1048576",
        ),
        (json!({ "command": "sh", "pids_limit": 0 }), "pids_limit: has to be at least 1"),
        (json!({ "command": "sh", "args": ["a", "b\0"] }), "args[1]: holds a NUL byte"),
    ] {
        assert_eq!(refusal(settings), want);
    }
    for (settings, want) in [
        (json!({}), "command"),
        (json!({ "command": "sh", "cwd": "/" }), "cwd"),
        (json!({ "command": "sh", "call_timeout_ms": 0 }), "call_timeout_ms"),
        (json!({ "command": "sh", "line_len_max": 5 }), "line_len_max"),
    ] {
        assert!(refusal(settings.clone()).starts_with(&format!("{want}: ")), "{}", refusal(settings));
    }
}

#[test]
fn the_schema_tells_defaults_and_bounds() {
    let schema = LocalProcess.settings_schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["command"]));
    let timeout = &schema["properties"]["call_timeout_ms"];
    assert_eq!(timeout["default"], 300_000);
    assert_eq!((&timeout["minimum"], &timeout["maximum"]), (&json!(1), &json!(3_600_000)));
    assert!(timeout["description"].as_str().unwrap().contains("milliseconds"));
}
