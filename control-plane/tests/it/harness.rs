//! A control plane in a temporary directory, and a node that speaks the sync protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use omcp_control_plane::{Config, ControlPlane, Running};
use omcp_core::revision::spec_hash;
use omcp_core::{Digest, Epoch};
use omcp_proto::v1::backend_service_client::BackendServiceClient;
use omcp_proto::v1::change::Op;
use omcp_proto::v1::fleet_service_client::FleetServiceClient;
use omcp_proto::v1::manifest_service_client::ManifestServiceClient;
use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::sync_service_client::SyncServiceClient;
use omcp_proto::v1::*;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Plane {
    /// Holds the database; gone with the plane.
    _dir: tempfile::TempDir,
    pub running: Option<Running>,
    pub config: Config,
}

impl Plane {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("omcp.db"));
        config.admin_listen = "127.0.0.1:0".parse().unwrap();
        config.sync_listen = "127.0.0.1:0".parse().unwrap();
        change(&mut config);
        let running = Some(ControlPlane::start(config.clone()).await.unwrap());
        Self { _dir: dir, running, config }
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().shutdown().await;
    }

    pub async fn restart(&mut self) {
        if self.running.is_some() {
            self.stop().await;
        }
        self.running = Some(ControlPlane::start(self.config.clone()).await.unwrap());
    }

    pub fn db(&self) -> PathBuf {
        self.config.db.clone()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub async fn admin_channel(&self) -> Channel {
        channel(format!("http://{}", self.running().admin())).await
    }

    pub async fn sync_channel(&self) -> Channel {
        channel(format!("http://{}", self.running().sync())).await
    }

    pub async fn backends(&self) -> BackendServiceClient<Channel> {
        BackendServiceClient::new(self.admin_channel().await)
    }

    pub async fn manifests(&self) -> ManifestServiceClient<Channel> {
        ManifestServiceClient::new(self.admin_channel().await)
    }

    pub async fn fleet(&self) -> FleetServiceClient<Channel> {
        FleetServiceClient::new(self.admin_channel().await)
    }

    /// Applies backends named `names`, each with a command of its own; returns the revision.
    pub async fn apply(&self, names: &[&str]) -> u64 {
        let backends = names.iter().map(|name| entry(name, name)).collect();
        self.apply_all(backends).await
    }

    pub async fn apply_all(&self, backends: Vec<ManifestBackend>) -> u64 {
        let request = ApplyManifestRequest { manifest: Some(Manifest { backends }), ..Default::default() };
        self.manifests().await.apply_manifest(request).await.unwrap().into_inner().revision
    }

    pub async fn delete(&self, name: &str) -> u64 {
        let request = DeleteBackendRequest { name: name.into(), ..Default::default() };
        self.backends().await.delete_backend(request).await.unwrap().into_inner().revision
    }

    pub async fn node(&self, name: &str) -> TestNode {
        TestNode::connect(self, hello(name)).await
    }
}

async fn channel(url: String) -> Channel {
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

pub fn spec(command: &str) -> BackendSpec {
    BackendSpec {
        runtime_type: "local-process".into(),
        settings_json: serde_json::json!({ "command": command }).to_string(),
        ..Default::default()
    }
}

pub fn entry(name: &str, command: &str) -> ManifestBackend {
    ManifestBackend { name: name.into(), spec: Some(spec(command)) }
}

pub fn backend(name: &str, command: &str) -> Option<Backend> {
    Some(Backend { name: name.into(), spec: Some(spec(command)), ..Default::default() })
}

pub fn many(count: usize) -> Vec<ManifestBackend> {
    (0..count).map(|n| entry(&format!("backend-{n:05}"), &format!("command-{n}"))).collect()
}

/// Code and `ErrorInfo.reason` of an error.
pub fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    assert!(info.as_ref().is_none_or(|info| info.domain == "omcp"), "{status:?}");
    (status.code(), info.map(|info| info.reason).unwrap_or_default())
}

/// Paths and reasons of the bad fields of an error.
pub fn fields(status: &Status) -> Vec<(String, String)> {
    let bad = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    bad.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

pub fn hello(name: &str) -> Hello {
    Hello {
        node: name.into(),
        boot_id: vec![7; 16],
        build: "test".into(),
        protocol_min: 1,
        protocol_max: 1,
        ..Default::default()
    }
}

/// A node that applies everything to a map.
pub struct TestNode {
    out: mpsc::UnboundedSender<SyncRequest>,
    pub inbound: Streaming<SyncResponse>,
    pub epoch: Epoch,
    pub revision: u64,
    pub digest: Digest,
    pub held: BTreeMap<String, Vec<u8>>,
    staged: BTreeMap<String, Vec<u8>>,
    pending: Vec<Change>,
    pub snapshots: usize,
    pub batches: usize,
    pub changes: usize,
    pub bytes: usize,
    /// Whether to confirm what comes.
    pub acks: bool,
}

impl TestNode {
    pub async fn connect(plane: &Plane, hello: Hello) -> Self {
        Self::try_connect(plane, hello).await.unwrap()
    }

    pub async fn try_connect(plane: &Plane, hello: Hello) -> Result<Self, Status> {
        let (out, inbound) = raw(plane, vec![Said::Hello(hello)]).await?;
        Ok(Self {
            out,
            inbound,
            epoch: Epoch::default(),
            revision: 0,
            digest: Digest::default(),
            held: BTreeMap::new(),
            staged: BTreeMap::new(),
            pending: Vec::new(),
            snapshots: 0,
            batches: 0,
            changes: 0,
            bytes: 0,
            acks: true,
        })
    }

    /// Connects again, with what it holds.
    pub async fn resume(self, plane: &Plane) -> Self {
        let mut hello = hello("n1");
        hello.resume = Some(self.cursor());
        self.reconnect(plane, hello).await
    }

    pub async fn reconnect(self, plane: &Plane, hello: Hello) -> Self {
        let mut next = Self::connect(plane, hello).await;
        (next.epoch, next.revision, next.digest, next.held) =
            (self.epoch, self.revision, self.digest, self.held);
        next
    }

    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch.0.to_vec(),
            revision: self.revision,
            digest: self.digest.to_bytes().to_vec(),
        }
    }

    pub fn say(&self, body: Said) {
        // A stream that has ended is what some tests are about.
        let _ = self.out.send(SyncRequest { body: Some(body) });
    }

    pub fn ack(&self) {
        self.say(Said::Ack(Ack {
            received: Some(self.cursor()),
            applied_revision: self.revision,
            persisted_revision: self.revision,
            ..Default::default()
        }));
    }

    /// Takes the next message.
    pub async fn next(&mut self) -> Result<Option<Body>, Status> {
        let message =
            tokio::time::timeout(PATIENCE, self.inbound.message()).await.expect("a message in time")?;
        let Some(message) = message else { return Ok(None) };
        self.bytes += message.encoded_len();
        let body = message.body.expect("a body");
        self.take(&body);
        Ok(Some(body))
    }

    fn take(&mut self, body: &Body) {
        match body {
            Body::Welcome(welcome) => assert_eq!(welcome.protocol, 1),
            Body::SnapshotBegin(_) => self.staged.clear(),
            Body::SnapshotChunk(chunk) => self.stage(&chunk.zstd),
            Body::SnapshotEnd(end) => self.swap(end.cursor.as_ref().unwrap()),
            Body::Changes(batch) => self.batch(batch),
            Body::Progress(progress) => self.compare(progress.head.as_ref().unwrap()),
            Body::Directive(_) | Body::Listings(_) | Body::Keyring(_) | Body::Members(_) | Body::Ended(_) => {
            }
        }
    }

    fn stage(&mut self, compressed: &[u8]) {
        assert!(compressed.len() <= 64 * 1024);
        let raw = zstd::stream::decode_all(compressed).unwrap();
        for change in SnapshotPiece::decode(&raw[..]).unwrap().changes {
            let Some(Op::Put(spec)) = change.op else { panic!("a snapshot holds puts") };
            self.staged.insert(change.name, spec.to_vec());
        }
    }

    fn swap(&mut self, cursor: &Cursor) {
        self.held = std::mem::take(&mut self.staged);
        self.digest = Digest::default();
        for (name, spec) in &self.held {
            self.digest.add(name, &spec_hash(spec));
        }
        assert_eq!(cursor.digest, self.digest.to_bytes(), "the snapshot proves itself");
        (self.epoch, self.revision) = (Epoch::from_slice(&cursor.epoch).unwrap(), cursor.revision);
        self.snapshots += 1;
        self.confirm();
    }

    fn batch(&mut self, batch: &ChangeBatch) {
        assert_eq!(batch.from_revision, self.revision, "batches form a chain");
        self.pending.extend(batch.changes.iter().cloned());
        if batch.more {
            return;
        }
        for change in std::mem::take(&mut self.pending) {
            self.change(change);
        }
        self.revision = batch.to_revision;
        self.batches += 1;
        assert_eq!(batch.digest, self.digest.to_bytes(), "the batch proves itself");
        self.confirm();
    }

    fn change(&mut self, change: Change) {
        self.changes += 1;
        if let Some(old) = self.held.remove(&change.name) {
            self.digest.remove(&change.name, &spec_hash(&old));
        }
        if let Some(Op::Put(spec)) = change.op {
            self.digest.add(&change.name, &spec_hash(&spec));
            self.held.insert(change.name, spec.to_vec());
        }
    }

    fn compare(&mut self, head: &Cursor) {
        if head.revision == self.revision {
            assert_eq!(head.digest, self.digest.to_bytes(), "the heartbeat tells the truth");
        }
        self.confirm();
    }

    fn confirm(&self) {
        if self.acks {
            self.ack();
        }
    }

    /// Reads until it stands at `revision`.
    pub async fn reach(&mut self, revision: u64) {
        while self.revision < revision || self.epoch == Epoch::default() {
            self.next().await.unwrap().expect("the stream goes on");
        }
        assert_eq!(self.revision, revision);
    }

    /// Reads until the stream ends; returns its status.
    pub async fn end(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }
}

/// A stream on which `first` is said.
pub async fn raw(
    plane: &Plane,
    first: Vec<Said>,
) -> Result<(mpsc::UnboundedSender<SyncRequest>, Streaming<SyncResponse>), Status> {
    let (out, queue) = mpsc::unbounded_channel();
    for body in first {
        out.send(SyncRequest { body: Some(body) }).unwrap();
    }
    let mut client = SyncServiceClient::new(plane.sync_channel().await);
    let inbound = client.sync(UnboundedReceiverStream::new(queue)).await?.into_inner();
    Ok((out, inbound))
}

/// Waits until `check` holds.
pub async fn eventually<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
