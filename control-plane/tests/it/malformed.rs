//! Requests nobody should send: each gets its documented code, and the control plane goes on.

use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::*;
use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound, OutOfRange, Unimplemented};
use tonic::{Code, Status};

use crate::harness::*;

type Case = (&'static str, Code, &'static str, Status);

async fn manifest(
    plane: &Plane,
    name: &'static str,
    change: impl FnOnce(&mut ManifestBackend),
) -> (&'static str, Status) {
    let mut backend = entry("a", "x");
    change(&mut backend);
    let request = ApplyManifestRequest {
        manifest: Some(Manifest { backends: vec![backend] }),
        validate_only: true,
        ..Default::default()
    };
    (name, plane.manifests().await.apply_manifest(request).await.map(drop).unwrap_err())
}

fn with(change: impl FnOnce(&mut BackendSpec)) -> impl FnOnce(&mut ManifestBackend) {
    |backend| change(backend.spec.as_mut().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_backends() {
    let plane = Plane::start().await;
    let cases = [
        (manifest(&plane, "name of capitals", |b| b.name = "A".into()).await, "backends[0].name"),
        (manifest(&plane, "no name", |b| b.name.clear()).await, "backends[0].name"),
        (manifest(&plane, "long name", |b| b.name = "a".repeat(33)).await, "backends[0].name"),
        (manifest(&plane, "path in name", |b| b.name = "../a".into()).await, "backends[0].name"),
        (manifest(&plane, "enormous name", |b| b.name = "x\n".repeat(1 << 20)).await, "backends[0].name"),
        (manifest(&plane, "no spec", |b| b.spec = None).await, "backends[0].runtime.type"),
        (manifest(&plane, "no type", with(|s| s.runtime_type.clear())).await, "backends[0].runtime.type"),
        (
            manifest(&plane, "odd type", with(|s| s.runtime_type = "a b".into())).await,
            "backends[0].runtime.type",
        ),
        (manifest(&plane, "no JSON", with(|s| s.settings_json = "{".into())).await, "backends[0].runtime"),
        (manifest(&plane, "no object", with(|s| s.settings_json = "[]".into())).await, "backends[0].runtime"),
        (
            manifest(&plane, "two values", with(|s| s.settings_json = "{} {}".into())).await,
            "backends[0].runtime",
        ),
        (
            manifest(
                &plane,
                "deep JSON",
                with(|s| s.settings_json = format!("{{\"command\":{}", "[".repeat(9000))),
            )
            .await,
            "backends[0].runtime",
        ),
        (
            manifest(
                &plane,
                "type twice",
                with(|s| s.settings_json = r#"{"type":"x","command":"x"}"#.into()),
            )
            .await,
            "backends[0].runtime.type",
        ),
        (
            manifest(
                &plane,
                "large settings",
                with(|s| {
                    s.settings_json = format!(r#"{{"command":"{}"}}"#, "x".repeat(70_000));
                }),
            )
            .await,
            "backends[0].runtime",
        ),
        (
            manifest(&plane, "number for text", with(|s| s.settings_json = r#"{"command":1}"#.into())).await,
            "backends[0].runtime.command",
        ),
        (
            manifest(&plane, "open reference", with(|s| s.settings_json = r#"{"command":"${X"}"#.into()))
                .await,
            "backends[0].runtime.command",
        ),
        (
            manifest(
                &plane,
                "unknown source",
                with(|s| s.settings_json = r#"{"command":"${vault:x}"}"#.into()),
            )
            .await,
            "backends[0].runtime.command",
        ),
        (manifest(&plane, "era", with(|s| s.era = "2024".into())).await, "backends[0].era"),
        (
            manifest(&plane, "tag with comma", with(|s| s.tags = vec!["a,b".into()])).await,
            "backends[0].tags[0]",
        ),
        (manifest(&plane, "empty tag", with(|s| s.tags = vec![String::new()])).await, "backends[0].tags[0]"),
        (manifest(&plane, "many tags", with(|s| s.tags = vec!["t".into(); 33])).await, "backends[0].tags"),
        (
            manifest(&plane, "long display name", with(|s| s.display_name = "x".repeat(201))).await,
            "backends[0].display_name",
        ),
        (
            manifest(&plane, "NUL in env", with(|s| drop(s.env.insert("A".into(), "\0".into())))).await,
            "backends[0].env.A",
        ),
        (
            manifest(&plane, "nameless env", with(|s| drop(s.env.insert(String::new(), "x".into())))).await,
            "backends[0].env.",
        ),
        (
            manifest(&plane, "bad ref in env", with(|s| drop(s.env.insert("A".into(), "${}".into())))).await,
            "backends[0].env.A",
        ),
        (
            manifest(
                &plane,
                "much env",
                with(|s| s.env.extend((0..129).map(|n| (format!("E{n}"), String::new())))),
            )
            .await,
            "backends[0].env",
        ),
        (
            manifest(&plane, "large in all", with(|s| drop(s.env.insert("A".into(), "x".repeat(300_000)))))
                .await,
            "backends[0]",
        ),
    ];
    for ((name, status), field) in cases {
        assert_eq!(reason(&status), (InvalidArgument, "INVALID_FIELDS".into()), "{name}: {status:?}");
        let found = fields(&status);
        assert!(found.iter().any(|(path, _)| path == field), "{name}: {field} in {found:?}");
        assert!(status.message().len() <= 1024, "{name}");
    }
    plane.apply(&["still-works"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_calls() {
    let plane = Plane::start().await;
    plane.apply(&["a"]).await;
    let mut backends = plane.backends().await;
    let mut fleet = plane.fleet().await;
    let mut cases: Vec<Case> = Vec::new();
    for (name, page_size, page_token) in
        [("page of -1", -1, ""), ("page of 1001", 1001, ""), ("token", 1, "nonsense")]
    {
        let request = ListBackendsRequest { page_size, page_token: page_token.into(), tags: vec![] };
        cases.push((
            name,
            InvalidArgument,
            "INVALID_FIELDS",
            backends.list_backends(request).await.unwrap_err(),
        ));
    }
    for name in ["", "nope", "../etc"] {
        let request = GetBackendRequest { name: name.into() };
        cases.push(("get", NotFound, "BACKEND_NOT_FOUND", backends.get_backend(request).await.unwrap_err()));
    }
    let none = CreateBackendRequest::default();
    cases.push((
        "create nothing",
        InvalidArgument,
        "INVALID_FIELDS",
        backends.create_backend(none).await.unwrap_err(),
    ));
    let id =
        CreateBackendRequest { backend: backend("b", "x"), request_id: "7".into(), ..Default::default() };
    cases.push((
        "request id",
        InvalidArgument,
        "INVALID_FIELDS",
        backends.create_backend(id).await.unwrap_err(),
    ));
    let none = UpdateBackendRequest::default();
    cases.push((
        "update nothing",
        InvalidArgument,
        "INVALID_FIELDS",
        backends.update_backend(none).await.unwrap_err(),
    ));
    let bare = Backend { name: "a".into(), ..Default::default() };
    let bare = UpdateBackendRequest { backend: Some(bare), ..Default::default() };
    cases.push((
        "no new values",
        InvalidArgument,
        "INVALID_FIELDS",
        backends.update_backend(bare).await.unwrap_err(),
    ));
    let none = DeleteBackendRequest::default();
    cases.push((
        "delete nothing",
        InvalidArgument,
        "INVALID_FIELDS",
        backends.delete_backend(none).await.unwrap_err(),
    ));
    let future = WatchBackendsRequest { from_revision: u64::MAX, epoch: vec![1; 16] };
    cases.push(("watch", OutOfRange, "EPOCH_CHANGED", backends.watch_backends(future).await.unwrap_err()));
    let future = WatchRolloutRequest { revision: u64::MAX, backends: vec![] };
    cases.push(("rollout", OutOfRange, "REVISION_UNKNOWN", fleet.watch_rollout(future).await.unwrap_err()));
    let wide = WatchRolloutRequest { revision: 1, backends: vec!["a".into(); 1001] };
    cases.push((
        "wide rollout",
        InvalidArgument,
        "INVALID_FIELDS",
        fleet.watch_rollout(wide).await.unwrap_err(),
    ));
    for (backend, node, want) in [("nope", "", "BACKEND_NOT_FOUND"), ("", "nope", "NODE_NOT_FOUND")] {
        let request = ListBackendStatusesRequest { backend: backend.into(), node: node.into() };
        cases.push(("statuses", NotFound, want, fleet.list_backend_statuses(request).await.unwrap_err()));
    }
    for (name, code, want, status) in cases {
        assert_eq!(reason(&status), (code, want.into()), "{name}: {status:?}");
    }
    let empty = plane.manifests().await.apply_manifest(ApplyManifestRequest::default()).await.unwrap();
    assert_eq!(empty.into_inner().revision, 1, "an empty manifest changes nothing");
}

async fn first(plane: &Plane, said: Vec<Said>) -> Status {
    let (_out, mut inbound) = raw(plane, said).await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, inbound.message()).await.expect("an end in time") {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok(""),
            Err(status) => return status,
        }
    }
}

fn said(change: impl FnOnce(&mut Hello)) -> Vec<Said> {
    let mut hello = hello("n1");
    change(&mut hello);
    vec![Said::Hello(hello)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_nodes() {
    let plane = Plane::start().await;
    plane.apply(&["a"]).await;
    let cursor = |epoch: usize, revision, digest: usize| {
        Some(Cursor { epoch: vec![1; epoch], revision, digest: vec![1; digest] })
    };
    let types = |count: usize, schema: String| {
        vec![RuntimeType { name: "t".into(), settings_schema_json: schema, ..Default::default() }; count]
    };
    let ahead = Ack { received: None, ..Default::default() };
    let cases = [
        ("Ack first", InvalidArgument, "SYNC_PROTOCOL", vec![Said::Ack(ahead)]),
        ("Goodbye first", InvalidArgument, "SYNC_PROTOCOL", vec![Said::Goodbye(Goodbye::default())]),
        ("two Hellos", InvalidArgument, "SYNC_PROTOCOL", [said(|_| ()), said(|_| ())].concat()),
        ("no name", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.node.clear())),
        ("odd name", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.node = "a/b".into())),
        ("long name", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.node = "a".repeat(129))),
        ("no boot id", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.boot_id.clear())),
        ("long build", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.build = "x".repeat(3000))),
        (
            "future protocol",
            FailedPrecondition,
            "PROTOCOL_VERSION",
            said(|h| (h.protocol_min, h.protocol_max) = (2, 3)),
        ),
        (
            "no protocol",
            FailedPrecondition,
            "PROTOCOL_VERSION",
            said(|h| (h.protocol_min, h.protocol_max) = (0, 0)),
        ),
        ("short epoch", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.resume = cursor(15, 1, 32))),
        ("short digest", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.resume = cursor(16, 1, 31))),
        ("endless revision", InvalidArgument, "SYNC_PROTOCOL", said(|h| h.resume = cursor(16, u64::MAX, 32))),
        (
            "many types",
            InvalidArgument,
            "SYNC_PROTOCOL",
            said(|h| h.runtime_types = types(257, String::new())),
        ),
        (
            "large schema",
            InvalidArgument,
            "SYNC_PROTOCOL",
            said(|h| h.runtime_types = types(1, " ".repeat(300_000))),
        ),
        (
            "nameless type",
            InvalidArgument,
            "SYNC_PROTOCOL",
            said(|h| h.runtime_types = vec![RuntimeType::default()]),
        ),
        ("5 MiB", OutOfRange, "UNREADABLE", said(|h| h.build = "x".repeat(5 << 20))),
    ];
    for (name, code, want, said) in cases {
        let status = first(&plane, said).await;
        assert_eq!(reason(&status), (code, want.into()), "{name}: {status:?}");
    }
    let mut node = plane.node("n1").await;
    node.reach(1).await;
    let ahead = Cursor { revision: 7, ..node.cursor() };
    node.say(Said::Ack(Ack { received: Some(ahead), ..Default::default() }));
    assert_eq!(
        reason(&node.end().await),
        (InvalidArgument, "SYNC_PROTOCOL".into()),
        "an ack of what was never sent"
    );
    let mut node = plane.node("n1").await;
    node.reach(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_and_encodings_are_unimplemented() {
    use tonic::codegen::http::uri::PathAndQuery;
    let plane = Plane::start().await;
    let mut grpc = tonic::client::Grpc::new(plane.sync_channel().await);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/omcp.v1.SyncService/Other");
    let codec = tonic_prost::ProstCodec::<Hello, Hello>::default();
    let error = grpc.unary(tonic::Request::new(Hello::default()), path, codec).await.unwrap_err();
    assert_eq!(error.code(), Unimplemented);
    let mut client = sync_service_client::SyncServiceClient::new(plane.sync_channel().await)
        .send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let error = client.sync(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(error.code(), Unimplemented);
}
