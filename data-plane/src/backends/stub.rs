//! A runtime type for tests: its settings say what its peers speak and how they misbehave.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use omcp_core::{
    BackendConnection, GatewayError, HttpUpstream, McpMessage, Runtime, RuntimeContext, RuntimeRegistry,
    RuntimeType,
};
use omcp_proto::v1::BackendSpec;
use prost::Message;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the peers of one test did.
#[derive(Default)]
pub struct Log {
    pub created: AtomicUsize,
    pub connected: AtomicUsize,
    pub open: AtomicUsize,
    pub most_connecting: AtomicUsize,
    connecting: AtomicUsize,
    down: Mutex<BTreeSet<String>>,
    deaf: Mutex<BTreeSet<String>>,
}

impl Log {
    /// Lets peers of this label refuse connections, or no longer.
    pub fn set_down(&self, label: &str, down: bool) {
        let mut labels = self.down.lock().unwrap();
        if down {
            labels.insert(label.to_owned())
        } else {
            labels.remove(label)
        };
    }

    /// Lets peers of this label answer nothing, or again.
    pub fn set_deaf(&self, label: &str, deaf: bool) {
        let mut labels = self.deaf.lock().unwrap();
        if deaf {
            labels.insert(label.to_owned())
        } else {
            labels.remove(label)
        };
    }

    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Default)]
pub struct Stub(pub Arc<Log>);

impl Stub {
    pub fn registry(&self) -> RuntimeRegistry {
        RuntimeRegistry::new().with(self.clone()).unwrap()
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// "legacy", "modern", "both", "silent" (until initialize), "touchy" (ends on anything but initialize),
    /// "posing" (shakes hands with the modern revision), "aloof" (modern, and silent when it should shake hands),
    /// "future" (another revision), "broken" (answers everything with an error)
    #[serde(default = "legacy")]
    speaks: String,
    /// "fail" or "panic"
    #[serde(default)]
    create: String,
    #[serde(default)]
    connect: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    http: bool,
    /// Its peers are no processes of this machine.
    #[serde(default)]
    remote: bool,
    /// Its peers can ask nothing.
    #[serde(default)]
    only_answers: bool,
    /// Any value: differs between definitions.
    #[serde(default)]
    #[expect(dead_code, reason = "it only tells definitions apart")]
    version: u32,
}

fn legacy() -> String {
    "legacy".to_owned()
}

impl RuntimeType for Stub {
    const NAME: &'static str = "stub";
    type Settings = Settings;

    fn create(&self, settings: Settings, _context: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
        assert_ne!(settings.create, "panic", "the stub panics on demand");
        if settings.create == "fail" {
            return Err(GatewayError::invalid_settings("create: the stub fails on demand"));
        }
        self.0.created.fetch_add(1, Ordering::SeqCst);
        let http = HttpUpstream {
            url: "http://127.0.0.1:1/mcp".to_owned(),
            headers: Vec::new(),
            connect_timeout: std::time::Duration::from_secs(1),
        };
        Ok(Box::new(StubRuntime { http: settings.http.then_some(http), settings, log: self.0.clone() }))
    }
}

struct StubRuntime {
    settings: Settings,
    http: Option<HttpUpstream>,
    log: Arc<Log>,
}

#[async_trait]
impl Runtime for StubRuntime {
    async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
        let Settings { connect, label, speaks, .. } = &self.settings;
        assert_ne!(connect, "panic", "the stub panics on demand");
        let connecting = self.log.connecting.fetch_add(1, Ordering::SeqCst) + 1;
        self.log.most_connecting.fetch_max(connecting, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.log.connecting.fetch_sub(1, Ordering::SeqCst);
        if self.log.down.lock().unwrap().contains(label) {
            return Err(GatewayError::unreachable(format!("{label} is down")));
        }
        let pid = self.log.connected.fetch_add(1, Ordering::SeqCst) + 1;
        self.log.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Peer {
            speaks: speaks.clone(),
            label: label.clone(),
            remote: self.settings.remote,
            era: None,
            says: VecDeque::new(),
            gone: false,
            closed: false,
            pid: pid as u32,
            log: self.log.clone(),
        }))
    }

    fn http(&self) -> Option<&HttpUpstream> {
        self.http.as_ref()
    }

    fn only_answers(&self) -> bool {
        self.settings.only_answers
    }
}

struct Peer {
    speaks: String,
    label: String,
    remote: bool,
    /// The era it is locked to, as servers of both eras are.
    era: Option<&'static str>,
    says: VecDeque<Value>,
    gone: bool,
    closed: bool,
    pid: u32,
    log: Arc<Log>,
}

impl Peer {
    fn answer(&mut self, method: &str, id: &Value) {
        if self.log.deaf.lock().unwrap().contains(&self.label) {
            return;
        }
        let said = match (self.speaks.as_str(), method) {
            ("broken", _) => Err(-32603),
            ("future", "server/discover") => {
                return self.refuse(id, -32022, json!({"supported": ["2099-01-01"]}));
            }
            ("future", _) => Err(-32601),
            ("both" | "modern" | "posing" | "aloof", "server/discover") if self.era != Some("legacy") => {
                self.era = Some("modern");
                Ok(json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}))
            }
            ("modern", "initialize") => return self.refuse(id, -32022, json!({"supported": ["2026-07-28"]})),
            ("both", "initialize") if self.era == Some("modern") => {
                return self.refuse(id, -32022, Value::Null);
            }
            ("posing", "initialize") => Ok(json!({"protocolVersion": "2026-07-28", "capabilities": {}})),
            ("aloof", "initialize") => return,
            (_, "initialize") => {
                self.era = Some("legacy");
                Ok(json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}))
            }
            ("silent", _) if self.era.is_none() => return,
            ("touchy", _) if self.era.is_none() => {
                self.gone = true;
                return;
            }
            (_, "ping") => Ok(json!({})),
            // A subscription lasts until somebody ends it.
            (_, "subscriptions/listen") => return,
            (_, "tools/list") => Ok(json!({"tools": [{"name": "a"}, {"name": "b"}]})),
            _ => Err(-32601),
        };
        match said {
            Ok(result) => self.says.push_back(json!({"jsonrpc": "2.0", "id": id, "result": result})),
            Err(code) => self.refuse(id, code, Value::Null),
        }
    }

    fn refuse(&mut self, id: &Value, code: i64, data: Value) {
        let error = json!({"code": code, "message": "no", "data": data});
        self.says.push_back(json!({"jsonrpc": "2.0", "id": id, "error": error}));
    }
}

#[async_trait]
impl BackendConnection for Peer {
    async fn send(&mut self, message: McpMessage) -> Result<(), GatewayError> {
        let message: Value = serde_json::from_slice(message.bytes()).unwrap();
        if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
            self.answer(method, id);
        }
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<McpMessage>, GatewayError> {
        match self.says.pop_front() {
            Some(message) => Ok(Some(McpMessage::trusted(message.to_string().into()))),
            None if self.gone => Ok(None),
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) -> Result<(), GatewayError> {
        if !std::mem::replace(&mut self.closed, true) {
            self.log.open.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn pid(&self) -> Option<u32> {
        (!self.remote).then_some(self.pid)
    }
}

/// The encoded spec of a backend of this type.
pub fn spec(settings: &Value) -> Bytes {
    encode(&BackendSpec {
        runtime_type: "stub".to_owned(),
        settings_json: settings.to_string(),
        ..BackendSpec::default()
    })
}

pub fn encode(spec: &BackendSpec) -> Bytes {
    spec.encode_to_vec().into()
}
