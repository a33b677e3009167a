//! Both ends together, over real sockets; and plugins that misbehave.

mod odd;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use omcp_core::runtime::NoStderr;
use omcp_core::{BackendConnection, DynRuntimeType, ErrorKind, McpMessage, RuntimeRegistry, StderrSink};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::time::sleep;

use self::odd::{Manner, Odd};
use super::*;
use crate::local_process::LocalProcess;
use crate::remote_http::RemoteHttp;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
/// Long enough for anything that is meant to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A served plugin; it ends with its async runtime.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn address(&self) -> String {
        format!("unix:{}/plugin.sock", self.folder.path().display())
    }

    fn listener(&self) -> UnixListener {
        UnixListener::bind(self.folder.path().join("plugin.sock")).unwrap()
    }

    /// Serves `registry` as a plugin.
    fn serving(registry: RuntimeRegistry) -> Self {
        let home = Self::new();
        tokio::spawn(serve("tested", "1.2.3", registry, home.listener()));
        home
    }

    fn local_process() -> Self {
        Self::serving(RuntimeRegistry::new().with(LocalProcess).unwrap())
    }

    fn odd(manner: Manner) -> Self {
        let home = Self::new();
        tokio::spawn(Odd(manner).serve(home.listener()));
        home
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl StderrSink for Kept {
    fn line(&self, line: &[u8]) {
        self.0.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
    }
}

impl Kept {
    async fn until(&self, wanted: &str) -> String {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.0.lock().unwrap().iter().find(|line| line.contains(wanted)).cloned();
            if let Some(line) = found {
                return line;
            }
            assert!(tokio::time::Instant::now() < end, "no {wanted:?} in {:?}", self.0.lock().unwrap());
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn context(stderr: Arc<dyn StderrSink>) -> RuntimeContext {
    RuntimeContext {
        backend: "b".parse().unwrap(),
        env: BTreeMap::new(),
        stderr,
        node: omcp_core::NodeIdentity::default(),
    }
}

fn build(settings: Value) -> Result<Box<dyn Runtime>, GatewayError> {
    DynRuntimeType::create(&Plugin, &settings.to_string(), context(Arc::new(NoStderr)))
}

async fn connect(settings: Value) -> Result<Box<dyn BackendConnection>, GatewayError> {
    build(settings).unwrap().connect().await
}

async fn refusal(settings: Value) -> GatewayError {
    match connect(settings).await {
        Ok(_) => panic!("it was connected"),
        Err(error) => error,
    }
}

/// A program behind `local-process` behind a plugin.
async fn shell(home: &Home, script: &str) -> Box<dyn BackendConnection> {
    let settings = json!({ "command": "sh", "args": ["-c", script] });
    connect(json!({ "endpoint": home.address(), "settings": settings })).await.unwrap()
}

fn message(text: &str) -> McpMessage {
    McpMessage::parse(text.to_owned().into()).unwrap()
}

#[tokio::test]
async fn an_echo_echoes_until_closed() {
    let home = Home::local_process();
    let mut connection = shell(&home, "cat").await;
    assert!(connection.pid().is_some_and(|pid| pid != std::process::id()));
    for _ in 0..3 {
        connection.send(message(PING)).await.unwrap();
        assert_eq!(connection.recv().await.unwrap().unwrap().bytes(), PING);
    }
    connection.close().await.unwrap();
    connection.close().await.unwrap();
    assert!(connection.recv().await.unwrap().is_none());
    assert_eq!(connection.send(message(PING)).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn nothing_is_lost_when_recv_is_dropped() {
    let home = Home::local_process();
    let mut connection = shell(&home, "cat").await;
    let (mut sent, mut heard) = (0_u32, 0_u32);
    while heard < 500 {
        if sent < 500 {
            connection
                .send(message(&format!(r#"{{"jsonrpc":"2.0","id":{sent},"method":"m"}}"#)))
                .await
                .unwrap();
            sent += 1;
        }
        // Polled once and dropped, as the owner does whenever something else is to be done.
        match connection.recv().now_or_never() {
            Some(answer) => {
                assert_eq!(answer.unwrap().unwrap().id(), Some(heard.to_string().as_bytes()));
                heard += 1;
            }
            None => tokio::task::yield_now().await,
        }
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_backend_is_told_with_its_last_words() {
    let home = Home::local_process();
    let kept = Arc::new(Kept::default());
    let settings = json!({ "command": "sh", "args": ["-c", "echo oops >&2; read -r line; exit 7"] });
    let settings = json!({ "endpoint": home.address(), "settings": settings });
    let runtime = DynRuntimeType::create(&Plugin, &settings.to_string(), context(kept.clone())).unwrap();
    let mut connection = runtime.connect().await.unwrap();
    connection.send(message(PING)).await.unwrap();
    let error = connection.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("exited with status 7"), "{error}");
    assert!(connection.recv().await.unwrap().is_none());
    kept.until("oops").await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn settings_are_refused_with_the_path_of_the_field() {
    let home = Home::local_process();
    for (settings, want) in [
        (
            json!({ "comand": "s3cret" }),
            "settings.comand: is not a setting of runtime type local-process; did you mean command?",
        ),
        (json!({ "command": "sh", "args": [1] }), "settings.args[0]: must be string"),
        // What the schema cannot tell, the plugin's own code does.
        (json!({ "command": "no-such-program" }), "settings.command: no program"),
    ] {
        let error = refusal(json!({ "endpoint": home.address(), "settings": settings })).await;
        assert_eq!(error.kind(), ErrorKind::InvalidSettings, "{error}");
        assert!(error.to_string().starts_with(want), "{error}");
        assert!(!error.chain().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn where_the_plugin_is_has_to_be_said_once() {
    for (settings, field) in [
        (json!({}), "endpoint: "),
        (json!({ "endpoint": "unix:/a", "command": "sh" }), "endpoint: "),
        (json!({ "endpoint": "tcp:s3cret" }), "endpoint: "),
        (json!({ "command": "no-such-program" }), "command: "),
        (json!({ "command": "sh", "working_dir": "/no/such" }), "working_dir: "),
    ] {
        let Err(error) = build(settings) else { panic!("accepted") };
        assert_eq!(error.kind(), ErrorKind::InvalidSettings);
        assert!(error.to_string().starts_with(field) && !error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn the_type_is_named_or_the_only_one() {
    let registry = RuntimeRegistry::new().with(LocalProcess).unwrap().with(RemoteHttp).unwrap();
    let home = Home::serving(registry);
    let error = refusal(json!({ "endpoint": home.address() })).await.to_string();
    assert!(error.starts_with("runtime: ") && error.contains("local-process, remote-http"), "{error}");
    let error = refusal(json!({ "endpoint": home.address(), "runtime": "tcp" })).await;
    assert_eq!(error.kind(), ErrorKind::UnknownRuntime);
    assert!(error.to_string().contains("plugin tested 1.2.3 has no runtime type \"tcp\""), "{error}");
    let settings = json!({ "command": "cat" });
    let settings = json!({ "endpoint": home.address(), "runtime": "local-process", "settings": settings });
    connect(settings).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_type_is_offered_with_the_schema_of_the_plugin() {
    let home = Home::local_process();
    let source = Source::parse(&home.address(), Arc::new(NoStderr)).unwrap();
    let provider = Arc::new(Provider::new(source, settings::Limits::default()));
    let offered = OfferedType::new("local-process", Arc::clone(&provider));
    assert_eq!(offered.settings_schema(), json!({ "type": "object" }));
    provider.link().await.unwrap();
    assert_eq!(offered.settings_schema(), LocalProcess.settings_schema());
    let create = |settings: Value| offered.create(&settings.to_string(), context(Arc::new(NoStderr)));
    let Err(error) = create(json!({ "command": 1 })) else { panic!("accepted") };
    assert_eq!(error.to_string(), "command: must be string, but is number");
    let runtime = create(json!({ "command": "cat", "call_timeout_ms": 1234 })).unwrap();
    runtime.connect().await.unwrap().close().await.unwrap();
    assert_eq!(runtime.call_timeout(), Duration::from_millis(1234));
}

#[tokio::test]
async fn another_version_of_the_protocol_is_refused_and_both_are_named() {
    let home = Home::odd(Manner::Protocol(2, 3));
    let error = refusal(json!({ "endpoint": home.address() })).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(text.contains("plugin odd 9.9 speaks plugin protocol 2 to 3"), "{text}");
    assert!(text.contains(&format!("this node, version {}, speaks 1", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[tokio::test]
async fn what_can_only_answer_is_known_once_it_is_connected() {
    let home = Home::odd(Manner::OnlyAnswers);
    let runtime = build(json!({ "endpoint": home.address() })).unwrap();
    assert!(!runtime.only_answers());
    let _connection = runtime.connect().await.unwrap();
    assert!(runtime.only_answers());
}

#[tokio::test]
async fn a_plugin_that_is_not_ready_is_tried_again() {
    let home = Home::odd(Manner::NotServing);
    let error = refusal(json!({ "endpoint": home.address() })).await;
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unreachable, true));
    assert!(error.to_string().contains("not serving"), "{error}");
}

#[tokio::test]
async fn every_wait_ends() {
    let mute = Home::new();
    let listener = mute.listener();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let error = refusal(json!({ "endpoint": mute.address(), "describe_timeout_ms": 100 })).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), "the plugin did not describe itself in 100 ms");
    accepting.abort();
    let silent = Home::odd(Manner::NeverOpens);
    let error = refusal(json!({ "endpoint": silent.address(), "open_timeout_ms": 100 })).await;
    assert_eq!(error.to_string(), "plugin odd 9.9 did not reach the backend in 100 ms");
    let nobody = Home::new();
    let error = refusal(json!({ "endpoint": nobody.address() })).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(&nobody.address()), "{error}");
}

#[tokio::test]
async fn a_plugin_that_reads_nothing_is_given_up() {
    let home = Home::odd(Manner::NeverReads);
    let settings = json!({ "endpoint": home.address(), "write_timeout_ms": 200 });
    let mut connection = connect(settings).await.unwrap();
    let fill = "x".repeat(256 * 1024);
    let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"fill":"{fill}"}}}}"#);
    let mut sent = 0;
    let error = loop {
        match connection.send(message(&text)).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 64, "the queue has no bound");
    };
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // It is heard all the same.
    assert_eq!(connection.recv().await.unwrap().unwrap().bytes(), PING);
}

#[tokio::test]
async fn what_is_no_message_is_skipped_and_what_is_too_long_ends_the_connection() {
    let home = Home::odd(Manner::Babbles);
    let mut connection = connect(json!({ "endpoint": home.address() })).await.unwrap();
    assert_eq!(connection.recv().await.unwrap().unwrap().bytes(), PING);
    connection.close().await.unwrap();
    let mut connection =
        connect(json!({ "endpoint": home.address(), "message_len_max": 1024 })).await.unwrap();
    assert_eq!(connection.recv().await.unwrap().unwrap().bytes(), PING);
    let error = connection.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("message_len_max"), "{error}");
    assert!(connection.recv().await.unwrap().is_none());
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_program_that_exits_at_once_is_told_with_its_last_words() {
    let kept = Arc::new(Kept::default());
    let folder = tempfile::tempdir().unwrap();
    let script = "echo started >> starts; echo broken >&2; exit 3";
    let settings = json!({ "command": "sh", "args": ["-c", script], "working_dir": folder.path() });
    let runtime = DynRuntimeType::create(&Plugin, &settings.to_string(), context(kept.clone())).unwrap();
    let first = runtime.connect().await.err().expect("it was not connected");
    // However slow this machine is, the next attempt comes at once.
    tokio::time::pause();
    let second = runtime.connect().await.err().expect("it was not connected");
    tokio::time::resume();
    for error in [first, second] {
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        let text = error.chain();
        assert!(text.contains("sh exited with status 3 before it listened on its socket"), "{text}");
    }
    kept.until("broken").await;
    let starts = std::fs::read_to_string(folder.path().join("starts")).unwrap();
    assert_eq!(starts, "started\n", "a start that failed is not repeated at once");
}

#[tokio::test]
async fn a_program_that_never_listens_is_ended() {
    let kept = Arc::new(Kept::default());
    let settings = json!({
        "command": "sh",
        "args": ["-c", "echo pid=$$ socket=$OMCP_PLUGIN_SOCKET; exec sleep 300"],
        "start_timeout_ms": 3000, "stop_timeout_ms": 50, "kill_timeout_ms": 50,
    });
    let runtime = DynRuntimeType::create(&Plugin, &settings.to_string(), context(kept.clone())).unwrap();
    let Err(error) = runtime.connect().await else { panic!("connected") };
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // What it prints is kept as well.
    let line = kept.until("pid=").await;
    let (pid, socket) = line.strip_prefix("pid=").unwrap().split_once(" socket=").unwrap();
    let end = tokio::time::Instant::now() + PATIENCE;
    let folder = Path::new(socket).parent().unwrap();
    while Path::new(&format!("/proc/{pid}")).exists() || folder.exists() {
        assert!(tokio::time::Instant::now() < end, "{line} is left");
        sleep(Duration::from_millis(10)).await;
    }
}
