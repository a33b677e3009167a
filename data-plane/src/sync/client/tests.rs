//! The client against a sync service of the test's own, over TCP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use omcp_core::NodeIdentity;
use omcp_proto::v1::sync_service_server::{SyncService, SyncServiceServer};
use omcp_proto::v1::{self, Ack, BackendState, RejectionCode, ResumeSource, StatusReport};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response};

use super::super::last_good::LastGood;
use super::super::session::tests::Store;
use super::*;
use crate::backends::BackendLimits;
use crate::backends::stub::{Stub, spec};
use crate::host::secrets::Secrets;

const PATIENCE: Duration = Duration::from_secs(10);

/// One stream, as the control plane sees it.
struct Stream {
    node: Streaming<SyncRequest>,
    control: mpsc::Sender<Result<SyncResponse, Status>>,
}

struct Service(mpsc::Sender<Stream>);

#[tonic::async_trait]
impl SyncService for Service {
    type SyncStream = ReceiverStream<Result<SyncResponse, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (control, outbound) = mpsc::channel(64);
        self.0
            .send(Stream { node: request.into_inner(), control })
            .await
            .map_err(|_| Status::unavailable("over"))?;
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

impl Stream {
    async fn hears(&mut self) -> Said {
        let message = timeout(PATIENCE, self.node.message()).await.expect("the node says something");
        message.unwrap().expect("the stream goes on").body.unwrap()
    }

    async fn hello(&mut self) -> Hello {
        let Said::Hello(hello) = self.hears().await else { panic!("the first message is a hello") };
        hello
    }

    /// The next ack, past status reports.
    async fn ack(&mut self) -> Ack {
        loop {
            if let Said::Ack(ack) = self.hears().await {
                return ack;
            }
        }
    }

    /// The first ack that tells of this applied revision.
    async fn applied(&mut self, revision: u64) -> Ack {
        loop {
            let ack = self.ack().await;
            if ack.applied_revision == revision {
                return ack;
            }
        }
    }

    async fn report(&mut self) -> StatusReport {
        loop {
            if let Said::Status(report) = self.hears().await {
                return report;
            }
        }
    }

    async fn says(&self, bodies: impl IntoIterator<Item = Heard>) {
        for body in bodies {
            self.control.send(Ok(SyncResponse { body: Some(body) })).await.unwrap();
        }
    }

    /// The node hangs up.
    async fn ends(mut self) {
        while let Ok(Some(_)) = timeout(PATIENCE, self.node.message()).await.expect("the node hangs up") {}
    }
}

/// A node's client, and the control plane it talks to.
struct Scene {
    stub: Stub,
    set: BackendSet,
    view: watch::Receiver<View>,
    streams: mpsc::Receiver<Stream>,
    stop: watch::Sender<bool>,
    client: JoinHandle<Result<(), SetEnded>>,
    state: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with_state(tempfile::tempdir().unwrap()).await
    }

    async fn with_state(state: tempfile::TempDir) -> Self {
        let (streams_sender, streams) = mpsc::channel(8);
        let control_plane = serve(Service(streams_sender)).await;
        let stub = Stub::default();
        let set = BackendSet::start(
            stub.registry(),
            Secrets::default(),
            NodeIdentity::default(),
            BackendLimits::default(),
        );
        let files = LastGood::open(state.path()).unwrap();
        let session = Session::new(files.load(0));
        set.apply(session.held().all()).await;
        let cursor = (session.held().epoch, session.held().revision);
        let identity = Identity {
            control_plane: format!("http://{control_plane}"),
            node: "n1".to_owned(),
            boot_id: [3; 16],
            mcp_url: "http://127.0.0.1:1".to_owned(),
            admin_url: "http://127.0.0.1:2".to_owned(),
            runtime_types: watch::channel(crate::plugins::runtime_types(&stub.registry())).1,
        };
        let members = Arc::new(Members::load("n1", state.path()).unwrap());
        let files = Some(Writer::start(files, cursor));
        let client = Client::new(identity, session, set.clone(), members, files);
        let (stop, stopping) = watch::channel(false);
        let view = client.view();
        Self { stub, set, view, streams, stop, client: tokio::spawn(client.run(stopping)), state }
    }

    async fn stream(&mut self) -> Stream {
        timeout(PATIENCE, self.streams.recv()).await.expect("the node connects").unwrap()
    }

    /// A stream that has brought the node level with the store.
    async fn level(&mut self, store: &Store) -> Stream {
        let mut stream = self.stream().await;
        stream.hello().await;
        stream.says([store.welcome()].into_iter().chain(store.snapshot())).await;
        stream.applied(store.revision).await;
        stream
    }

    fn serves(&self) -> Vec<String> {
        let mut names: Vec<_> = self.set.table().all().keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    async fn end(self) -> tempfile::TempDir {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.client).await.expect("the client stops").unwrap().unwrap();
        self.set.close().await;
        self.state
    }
}

async fn serve(service: Service) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(SyncServiceServer::new(service));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// A store of stub backends with these settings.
fn store(epoch: u8, revision: u64, backends: &[(&str, Value)]) -> Store {
    let specs: BTreeMap<_, _> =
        backends.iter().map(|(name, settings)| ((*name).to_owned(), (revision, spec(settings)))).collect();
    Store { epoch: omcp_core::Epoch([epoch; 16]), revision, specs }
}

fn plus(store: &Store, name: &str, settings: Value) -> Store {
    let mut next = store.clone();
    next.revision += 1;
    next.specs.insert(name.to_owned(), (next.revision, spec(&settings)));
    next
}

#[tokio::test]
async fn connect_snapshot_build_ack_then_follow() {
    let mut scene = Scene::new().await;
    let first = store(1, 5, &[("a", json!({})), ("bad", json!({"create": "fail"}))]);
    let mut stream = scene.stream().await;
    let hello = stream.hello().await;
    assert_eq!(
        (hello.node.as_str(), &hello.resume, hello.resume_source()),
        ("n1", &None, ResumeSource::None)
    );
    assert_eq!((hello.runtime_types.len(), hello.runtime_types[0].name.as_str()), (1, "stub"));
    assert_eq!(hello.runtime_types[0].origin, "custom");
    stream.says([first.welcome()].into_iter().chain(first.snapshot())).await;
    let ack = stream.applied(5).await;
    assert_eq!(ack.received, Some(first.cursor()));
    assert_eq!((ack.rejected_changed, ack.rejected_count), (true, 1));
    assert_eq!((ack.rejected[0].code(), ack.rejected[0].revision), (RejectionCode::Invalid, 5));
    assert_eq!(scene.serves(), ["a"]);
    let second = plus(&first, "b", json!({"speaks": "modern"}));
    stream.says([Heard::Changes(second.batch(&first))]).await;
    let ack = stream.applied(6).await;
    assert_eq!(ack.received, Some(second.cursor()));
    assert!(!ack.rejected_changed && ack.rejected.is_empty() && ack.rejected_count == 1);
    assert_eq!(scene.serves(), ["a", "b"]);
    stream.says([second.progress()]).await;
    assert_eq!(stream.ack().await.applied_revision, 6, "a heartbeat is answered");
    assert!(scene.view.borrow().connected);
    scene.end().await;
}

#[tokio::test]
async fn status_is_full_first_and_then_only_what_changed() {
    let mut scene = Scene::new().await;
    let first = store(1, 1, &[("a", json!({})), ("b", json!({}))]);
    let mut stream = scene.stream().await;
    stream.hello().await;
    stream.says([first.welcome()].into_iter().chain(first.snapshot())).await;
    assert!(stream.report().await.full);
    let mut states = BTreeMap::new();
    while states.values().filter(|state| **state == BackendState::Ready).count() < 2 {
        let report = stream.report().await;
        assert!(!report.full);
        states.extend(report.statuses.into_iter().map(|status| (status.backend.clone(), status.state())));
    }
    let second = first.clone().without(2, &["a"]);
    stream.says([Heard::Changes(second.batch(&first))]).await;
    loop {
        let report = stream.report().await;
        assert!(!report.full && report.statuses.iter().all(|status| status.backend == "b"), "{report:?}");
        if report.gone == ["a"] {
            break;
        }
    }
    drop(stream);
    let mut stream = scene.stream().await;
    stream.hello().await;
    stream.says([second.welcome()]).await;
    let report = stream.report().await;
    assert!(report.full, "a new stream knows nothing");
    assert_eq!(report.statuses.iter().map(|status| status.backend.as_str()).collect::<Vec<_>>(), ["b"]);
    scene.end().await;
}

#[tokio::test]
async fn a_lost_stream_changes_nothing_and_is_resumed() {
    let mut scene = Scene::new().await;
    let first = store(1, 5, &[("a", json!({}))]);
    let stream = scene.level(&first).await;
    let served = scene.set.table().get("a").unwrap();
    drop(stream);
    let mut stream = scene.stream().await;
    let hello = stream.hello().await;
    assert_eq!((hello.resume.clone(), hello.resume_source()), (Some(first.cursor()), ResumeSource::Memory));
    assert!(Arc::ptr_eq(&served, &scene.set.table().get("a").unwrap()));
    let second = plus(&first, "b", json!({}));
    stream.says([second.welcome(), Heard::Changes(second.batch(&first))]).await;
    assert!(stream.ack().await.rejected_changed, "a new stream is told the whole set of rejections");
    stream.applied(6).await;
    assert!(Arc::ptr_eq(&served, &scene.set.table().get("a").unwrap()));
    scene.end().await;
}

#[tokio::test]
async fn a_gap_is_resumed_and_a_wrong_digest_resynchronised() {
    let mut scene = Scene::new().await;
    let first = store(1, 1, &[("a", json!({}))]);
    let stream = scene.level(&first).await;
    let (second, third) = (plus(&first, "b", json!({})), plus(&plus(&first, "b", json!({})), "c", json!({})));
    stream.says([Heard::Changes(third.batch(&second))]).await;
    stream.ends().await;
    let mut stream = scene.stream().await;
    assert_eq!(stream.hello().await.resume, Some(first.cursor()));
    let mut lying = second.batch(&first);
    lying.digest = first.cursor().digest;
    stream.says([second.welcome(), Heard::Changes(lying)]).await;
    stream.ends().await;
    assert_eq!(scene.serves(), ["a"], "nothing of it was applied");
    let mut stream = scene.stream().await;
    assert_eq!(stream.hello().await.resume, None);
    stream.says([third.welcome()].into_iter().chain(third.snapshot())).await;
    stream.applied(3).await;
    assert_eq!(scene.serves(), ["a", "b", "c"]);
    scene.end().await;
}

#[tokio::test]
async fn an_empty_store_wipes_nobody_until_a_person_agrees() {
    let mut scene = Scene::new().await;
    let stream = scene.level(&store(1, 5, &[("a", json!({})), ("b", json!({}))])).await;
    drop(stream);
    let empty = store(2, 1, &[]);
    let mut stream = scene.stream().await;
    stream.hello().await;
    stream.says([empty.welcome()].into_iter().chain(empty.snapshot())).await;
    let held = loop {
        let ack = stream.ack().await;
        if ack.held_mass_removal {
            break ack;
        }
    };
    assert_eq!((held.received, held.applied_revision), (Some(empty.cursor()), 0));
    assert_eq!(scene.serves(), ["a", "b"]);
    let accept = v1::directive::Directive::AcceptMassRemoval(true);
    stream.says([Heard::Directive(v1::Directive { directive: Some(accept) })]).await;
    assert!(!stream.applied(1).await.held_mass_removal);
    assert!(scene.serves().is_empty());
    scene.end().await;
}

#[tokio::test]
async fn what_was_received_is_on_disk_and_serves_before_any_control_plane() {
    let mut scene = Scene::new().await;
    let first = store(1, 5, &[("a", json!({})), ("b", json!({}))]);
    let mut stream = scene.level(&first).await;
    while stream.ack().await.persisted_revision != 5 {}
    let second = plus(&first, "c", json!({}));
    stream.says([Heard::Changes(second.batch(&first))]).await;
    stream.applied(6).await;
    let state = scene.end().await;
    let mut scene = Scene::with_state(state).await;
    assert_eq!(scene.serves(), ["a", "b", "c"], "what was unwritten at the end was written then");
    let hello = scene.stream().await.hello().await;
    assert_eq!((hello.resume, hello.resume_source), (Some(second.cursor()), ResumeSource::Disk.into()));
    assert_eq!(scene.stub.0.created.load(std::sync::atomic::Ordering::SeqCst), 3);
    scene.end().await;
}

#[tokio::test]
async fn a_stopping_node_says_goodbye() {
    let mut scene = Scene::new().await;
    let mut stream = scene.level(&store(1, 1, &[("a", json!({}))])).await;
    scene.stop.send_replace(true);
    while !matches!(stream.hears().await, Said::Goodbye(_)) {}
    scene.end().await;
}

#[tokio::test]
async fn a_silent_control_plane_is_left_and_found_again() {
    let mut scene = Scene::new().await;
    let first = store(1, 1, &[("a", json!({}))]);
    let stream = scene.level(&first).await;
    tokio::time::pause();
    tokio::time::advance(IDLE_DEADLINE + Duration::from_secs(1)).await;
    tokio::time::resume();
    stream.ends().await;
    assert!(scene.view.borrow().last_error.contains("silent"), "{:?}", scene.view.borrow().last_error);
    assert_eq!(scene.stream().await.hello().await.resume, Some(first.cursor()));
    assert_eq!(scene.serves(), ["a"]);
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_applied_is_not_confirmed() {
    let mut scene = Scene::new().await;
    let first = store(1, 1, &[("a", json!({}))]);
    let mut stream = scene.level(&first).await;
    scene.set.close().await;
    let second = plus(&first, "b", json!({}));
    stream.says([Heard::Changes(second.batch(&first))]).await;
    while let Ok(Some(message)) = timeout(PATIENCE, stream.node.message()).await.unwrap() {
        assert!(!matches!(message.body, Some(Said::Ack(ack)) if ack.applied_revision == 2));
    }
    assert_eq!(timeout(PATIENCE, scene.client).await.unwrap().unwrap(), Err(SetEnded));
}

#[test]
fn a_control_plane_that_is_back_is_dialled_within_a_second_and_not_all_the_time() {
    for failures in 1..100 {
        let refused: Duration = (0..20).map(|_| pause(failures, Duration::ZERO)).sum();
        assert!(refused <= 20 * AWAY_MAX, "{failures}");
        assert!(failures < 6 || refused >= 20 * Duration::from_millis(450), "{failures}: {refused:?}");
        assert_eq!(pause(failures, dial::CONNECT_DEADLINE), Duration::ZERO, "a dial in vain is pause enough");
    }
    assert!(AWAY_MAX.max(dial::CONNECT_DEADLINE) < Duration::from_secs(1));
}

#[test]
fn a_line_that_comes_and_goes_is_not_dialled_faster() {
    let short = SETTLED / 2;
    let failures = (0..20).fold(0, |failures, _| row_of_failures(failures, true, short));
    assert!(pause(failures, Duration::ZERO) >= AWAY_MAX / 2);
    assert_eq!(row_of_failures(failures, true, SETTLED), 1, "one that lasted is a fresh start");
    assert_eq!(row_of_failures(failures, false, SETTLED), failures + 1, "unless it brought nothing");
}

#[test]
fn slow_heartbeats_are_waited_for() {
    let seconds = |heartbeat_ms| patience(heartbeat_ms).as_secs();
    assert_eq!([0, 10_000, 60_000, u32::MAX].map(seconds), [35, 35, 210, 2100]);
}

#[test]
fn what_would_end_the_same_way_again_is_a_refusal() {
    let refused = |code| matches!(lost(&Status::new(code, "x")), End::Refused(_));
    for code in [Code::Aborted, Code::InvalidArgument, Code::FailedPrecondition] {
        assert!(refused(code), "{code:?}");
    }
    assert!(!refused(Code::Unavailable) && !refused(Code::DeadlineExceeded));
}

#[tokio::test]
async fn directives_are_obeyed() {
    let mut scene = Scene::new().await;
    let first = store(1, 1, &[("a", json!({}))]);
    let stream = scene.level(&first).await;
    let reconnect = v1::directive::Directive::ReconnectWithinMs(20);
    stream.says([Heard::Directive(v1::Directive { directive: Some(reconnect) })]).await;
    stream.ends().await;
    let mut stream = scene.stream().await;
    assert_eq!(stream.hello().await.resume, Some(first.cursor()));
    let resync = v1::directive::Directive::Resync(true);
    stream.says([first.welcome(), Heard::Directive(v1::Directive { directive: Some(resync) })]).await;
    stream.ends().await;
    assert_eq!(scene.stream().await.hello().await.resume, None);
    scene.end().await;
}

#[tokio::test]
async fn ten_thousand_backends_arrive_in_one_snapshot() {
    let mut scene = Scene::new().await;
    let backends: Vec<_> = (0..10_000).map(|n| format!("b{n}")).collect();
    let all: Vec<_> = backends.iter().map(|name| (name.as_str(), json!({}))).collect();
    let first = store(1, 1, &all);
    let mut stream = scene.stream().await;
    stream.hello().await;
    let bodies = first.snapshot();
    let began = Instant::now();
    stream.says([first.welcome()].into_iter().chain(bodies)).await;
    stream.applied(1).await;
    println!("10,000 backends received and applied in {:?}", began.elapsed());
    let second = plus(&first, "one-more", json!({}));
    let batch = second.batch(&first);
    let began = Instant::now();
    stream.says([Heard::Changes(batch)]).await;
    stream.applied(2).await;
    println!("one more applied and acknowledged in {:?}", began.elapsed());
    assert_eq!(scene.set.table().len(), 10_001);
    scene.end().await;
}
