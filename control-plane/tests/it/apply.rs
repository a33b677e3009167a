//! ManifestService: check, plan, commit.

use omcp_proto::v1::*;
use tonic::Code;

use crate::harness::*;

fn request(backends: Vec<ManifestBackend>) -> ApplyManifestRequest {
    ApplyManifestRequest { manifest: Some(Manifest { backends }), ..Default::default() }
}

async fn apply(plane: &Plane, request: ApplyManifestRequest) -> Result<ApplyManifestResponse, tonic::Status> {
    plane.manifests().await.apply_manifest(request).await.map(tonic::Response::into_inner)
}

fn kinds(changes: &[ManifestChange]) -> Vec<(&str, ChangeKind)> {
    changes.iter().map(|change| (change.name.as_str(), change.kind())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_is_one_revision_and_the_same_one_is_none() {
    use ChangeKind::{Created, Deleted, Unchanged, Updated};
    let plane = Plane::start().await;
    let first = apply(&plane, request(vec![entry("b", "x"), entry("a", "x")])).await.unwrap();
    assert_eq!(first.revision, 1);
    assert_eq!(kinds(&first.changes), [("a", Created), ("b", Created)]);
    let second =
        apply(&plane, request(vec![entry("a", "x"), entry("b", "y"), entry("c", "x")])).await.unwrap();
    assert_eq!(second.revision, 2);
    assert_eq!(kinds(&second.changes), [("a", Unchanged), ("b", Updated), ("c", Created)]);
    let change = &second.changes[1];
    let field = &change.fields[0];
    assert!(change.rebuilds);
    assert_eq!(
        (field.path.as_str(), field.old_json.as_str(), field.new_json.as_str()),
        ("runtime.command", "\"x\"", "\"y\"")
    );
    let again = apply(&plane, request(vec![entry("b", "y")])).await.unwrap();
    assert_eq!((again.revision, again.epoch), (2, second.epoch));
    let pruned = ApplyManifestRequest { prune: true, ..request(vec![entry("b", "y")]) };
    let pruned = apply(&plane, pruned).await.unwrap();
    assert_eq!(kinds(&pruned.changes), [("a", Deleted), ("b", Unchanged), ("c", Deleted)]);
    assert_eq!(pruned.revision, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_told_at_once_with_its_path() {
    let plane = Plane::start().await;
    let mut bad_env = entry("good", "x");
    bad_env.spec.as_mut().unwrap().env.insert("A=B".into(), "${".into());
    let mut bad_tags = entry("Bad_Name", "x");
    bad_tags.spec.as_mut().unwrap().tags = vec!["fine".into(), "not fine".into()];
    bad_tags.spec.as_mut().unwrap().era = "stone".into();
    let mut no_command = entry("no-command", "x");
    no_command.spec.as_mut().unwrap().settings_json = r#"{"command":"x","args":["a",7,"${bad ref}"]}"#.into();
    let mut no_type = entry("no-type", "x");
    no_type.spec.as_mut().unwrap().runtime_type = String::new();
    let missing = ManifestBackend { name: "no-spec".into(), spec: None };
    let mut empty = entry("empty", "x");
    empty.spec.as_mut().unwrap().settings_json = String::new();
    let backends = vec![bad_env, bad_tags, no_command, no_type, missing, empty, entry("good", "y")];
    let error = apply(&plane, request(backends)).await.unwrap_err();
    assert_eq!(reason(&error), (Code::InvalidArgument, "INVALID_FIELDS".into()));
    let found = fields(&error);
    let paths: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
    for want in [
        "backends[0].env.A=B",
        "backends[1].name",
        "backends[1].tags[1]",
        "backends[1].era",
        "backends[2].runtime.args[1]",
        "backends[2].runtime.args[2]",
        "backends[3].runtime.type",
        "backends[4].runtime.type",
        "backends[5].runtime.command",
        "backends[6].name",
    ] {
        assert!(paths.contains(&want), "{want} in {found:#?}");
    }
    let head = plane.fleet().await.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().head_revision;
    assert_eq!(head, 0, "nothing was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_mistakes_still_fit_an_answer() {
    let plane = Plane::start().await;
    let bad = |n: usize| entry(&format!("Not A Name {n}"), "x");
    let error = apply(&plane, request((0..3000).map(bad).collect())).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let found = fields(&error);
    assert!(found.len() > 20, "{}", found.len());
    assert!(found.last().unwrap().1.contains("more"), "{:?}", found.last());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_types_are_a_warning_or_with_strict_an_error() {
    let plane = Plane::start().await;
    let mut mine = entry("mine", "x");
    mine.spec.as_mut().unwrap().runtime_type = "my-custom-runtime".into();
    let strict = ApplyManifestRequest { strict: true, ..request(vec![mine.clone()]) };
    let error = apply(&plane, strict).await.unwrap_err();
    assert_eq!(fields(&error)[0].0, "backends[0].runtime.type");
    assert!(fields(&error)[0].1.contains("local-process"));
    let applied = apply(&plane, request(vec![mine.clone()])).await.unwrap();
    let warning = &applied.warnings[0];
    assert_eq!((warning.reason.as_str(), warning.backend.as_str()), ("UNKNOWN_RUNTIME_TYPE", "mine"));
    assert!(warning.message.contains("remote-http"));

    let mut hello = hello("n1");
    hello.runtime_types = vec![RuntimeType {
        name: "my-custom-runtime".into(),
        settings_schema_json: r#"{"type":"object","properties":{"endpoint":{"type":"string"}},"required":["endpoint"],"additionalProperties":false}"#.into(),
        ..Default::default()
    }];
    let mut node = TestNode::connect(&plane, hello).await;
    node.reach(1).await;
    let error = apply(&plane, request(vec![mine])).await.unwrap_err();
    let found = fields(&error);
    assert_eq!(found.len(), 2, "a stranger's type is checked once a node has described it: {found:?}");
    let local = apply(&plane, request(vec![entry("local", "x")])).await.unwrap();
    assert_eq!(local.warnings[0].reason, "RUNTIME_TYPE_NOT_OFFERED");
    assert!(local.warnings[0].message.contains("n1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_settings_are_an_error_or_on_request_a_warning() {
    let plane = Plane::start().await;
    let mut bad = entry("bad", "x");
    bad.spec.as_mut().unwrap().settings_json = r#"{"comand":"s3cret","args":7}"#.into();
    let error = apply(&plane, request(vec![bad.clone()])).await.unwrap_err();
    assert_eq!(fields(&error).len(), 3, "{:?}", fields(&error));

    let settings_validation = SettingsValidation::Warn.into();
    let warn = |backends| ApplyManifestRequest { settings_validation, ..request(backends) };
    let diff = DiffManifestRequest {
        settings_validation,
        manifest: warn(vec![bad.clone()]).manifest,
        ..Default::default()
    };
    let told = plane.manifests().await.diff_manifest(diff).await.unwrap().into_inner().warnings;
    let applied = apply(&plane, warn(vec![bad.clone()])).await.unwrap();
    assert_eq!((applied.revision, &applied.warnings), (1, &told));
    let seen: Vec<_> =
        told.iter().map(|w| (w.reason.as_str(), w.backend.as_str(), w.field.as_str())).collect();
    for field in ["comand", "command", "args"] {
        let field = format!("backends[0].runtime.{field}");
        assert!(seen.contains(&("INVALID_SETTINGS", "bad", &field)), "{field} in {seen:?}");
    }
    assert!(told.iter().all(|warning| !warning.message.contains("s3cret")), "{told:?}");

    let mut backends = plane.backends().await;
    let other =
        |name: &str| Some(Backend { name: name.into(), spec: bad.spec.clone(), ..Default::default() });
    let create = CreateBackendRequest { backend: other("other"), ..Default::default() };
    assert_eq!(backends.create_backend(create.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    let created =
        backends.create_backend(CreateBackendRequest { settings_validation, ..create }).await.unwrap();
    assert_eq!(created.into_inner().warnings.len(), 3);
    let mut changed = other("other");
    changed.as_mut().unwrap().spec.as_mut().unwrap().display_name = "changed".into();
    let update = UpdateBackendRequest { backend: changed, ..Default::default() };
    assert_eq!(backends.update_backend(update.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    let updated =
        backends.update_backend(UpdateBackendRequest { settings_validation, ..update }).await.unwrap();
    assert_eq!(updated.into_inner().warnings.len(), 3);
}

/// A node that offers `mine` in one version, with one setting.
async fn node_with(plane: &Plane, name: &str, version: &str, setting: &str) -> TestNode {
    let schema = serde_json::json!({"properties": {setting: {}}, "additionalProperties": false});
    let mut hello = hello(name);
    hello.runtime_types = vec![RuntimeType {
        name: "mine".into(),
        version: version.into(),
        origin: "custom".into(),
        settings_schema_json: schema.to_string(),
        ..Default::default()
    }];
    let mut node = TestNode::connect(plane, hello).await;
    node.reach(0).await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_versions_of_a_type_the_newest_decides() {
    let plane = Plane::start().await;
    let _old = node_with(&plane, "old", "1.9.0", "before").await;
    let new = node_with(&plane, "new", "1.10.0", "after").await;
    let mine = |setting: &str| {
        let mut mine = entry("mine", "x");
        let spec = mine.spec.as_mut().unwrap();
        (spec.runtime_type, spec.settings_json) = ("mine".into(), format!(r#"{{"{setting}":1}}"#));
        mine
    };
    let types =
        plane.fleet().await.list_runtime_types(ListRuntimeTypesRequest {}).await.unwrap().into_inner();
    let versions = types.types.iter().map(|one| (one.r#type.clone().unwrap(), &one.nodes));
    let mine_only: Vec<_> = versions.filter(|(kind, _)| kind.name == "mine").collect();
    let told: Vec<_> =
        mine_only.iter().map(|(kind, nodes)| (kind.version.as_str(), nodes.join(","))).collect();
    assert_eq!(told, [("1.10.0", "new".to_owned()), ("1.9.0", "old".to_owned())]);

    let applied = apply(&plane, request(vec![mine("after")])).await.unwrap();
    let [warning] = &applied.warnings[..] else { panic!("{:?}", applied.warnings) };
    assert_eq!((warning.reason.as_str(), warning.backend.as_str()), ("OTHER_VERSION", "mine"));
    assert_eq!(warning.field, "backends[0].runtime.after");
    assert!(warning.message.contains("1.9.0") && warning.message.ends_with(": old"), "{}", warning.message);
    let error = apply(&plane, request(vec![mine("before")])).await.unwrap_err();
    assert_eq!(fields(&error)[0].0, "backends[0].runtime.before");

    let update = |setting: &str| {
        let backend = Backend { name: "mine".into(), spec: mine(setting).spec, ..Default::default() };
        UpdateBackendRequest { backend: Some(backend), ..Default::default() }
    };
    let mut backends = plane.backends().await;
    assert_eq!(backends.update_backend(update("before")).await.unwrap_err().code(), Code::InvalidArgument);

    drop(new);
    for _ in 0..100 {
        // What the node that left had does not count any more.
        match backends.update_backend(update("before")).await {
            Ok(answer) => return assert_eq!(answer.into_inner().warnings, []),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    panic!("the version of a node that left still decides");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_deletion_needs_to_be_asked_for() {
    let plane = Plane::start().await;
    plane.apply_all(many(60)).await;
    let prune = |keep: usize, max_deletes| ApplyManifestRequest {
        prune: true,
        max_deletes,
        ..request(many(60).into_iter().take(keep).collect())
    };
    let error = apply(&plane, prune(47, 0)).await.unwrap_err();
    assert_eq!(reason(&error), (Code::FailedPrecondition, "MASS_DELETE".into()));
    assert!(
        error.message().contains("13 of 60") && error.message().contains("12 allowed"),
        "{}",
        error.message()
    );
    let rehearsal = ApplyManifestRequest { validate_only: true, ..prune(0, 0) };
    assert_eq!(reason(&apply(&plane, rehearsal).await.unwrap_err()).1, "MASS_DELETE");
    assert!(apply(&plane, prune(48, 0)).await.is_ok(), "20 % are allowed");
    assert!(apply(&plane, prune(40, 5)).await.is_err(), "an explicit limit counts");
    assert!(apply(&plane, prune(0, 48)).await.is_ok());
    plane.apply_all(many(10)).await;
    assert!(apply(&plane, prune(0, 0)).await.is_ok(), "ten always are");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_has_limits() {
    let plane = Plane::with(|config| config.limits.backends_max = 1500).await;
    let error = apply(&plane, request(many(1001))).await.unwrap_err();
    assert_eq!(reason(&error), (Code::FailedPrecondition, "TOO_MANY_CHANGES".into()));
    let large = many(100).into_iter().map(|mut entry| {
        entry.spec.as_mut().unwrap().env.insert("PAD".into(), "x".repeat(50_000));
        entry
    });
    let error = apply(&plane, request(large.collect())).await.unwrap_err();
    assert_eq!(reason(&error), (Code::FailedPrecondition, "TRANSACTION_TOO_LARGE".into()));
    let mut huge = entry("huge", "x");
    huge.spec.as_mut().unwrap().env.insert("PAD".into(), "x".repeat(300_000));
    assert_eq!(reason(&apply(&plane, request(vec![huge])).await.unwrap_err()).0, Code::InvalidArgument);
    plane.apply_all(many(1000)).await;
    assert_eq!(
        apply(&plane, request(many(1001))).await.unwrap().revision,
        2,
        "what is unchanged does not count"
    );
    let error = apply(&plane, request(many(1600))).await.unwrap_err();
    assert_eq!(reason(&error), (Code::ResourceExhausted, "TOO_MANY_BACKENDS".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn diff_and_validate_only_write_nothing_and_export_gives_back_what_was_applied() {
    let plane = Plane::start().await;
    let backends = vec![entry("a", "x"), entry("b", "y")];
    let rehearsed = ApplyManifestRequest { validate_only: true, ..request(backends.clone()) };
    let rehearsed = apply(&plane, rehearsed).await.unwrap();
    assert_eq!((rehearsed.revision, rehearsed.changes.len()), (0, 2));
    let mut manifests = plane.manifests().await;
    let diff = |backends, prune| DiffManifestRequest {
        manifest: Some(Manifest { backends }),
        prune,
        ..Default::default()
    };
    assert_eq!(
        manifests.diff_manifest(diff(backends.clone(), false)).await.unwrap().into_inner().changes.len(),
        2
    );
    let export = manifests.export_manifest(ExportManifestRequest::default()).await.unwrap().into_inner();
    assert!(export.manifest.unwrap().backends.is_empty());
    plane.apply_all(backends.clone()).await;
    let export = manifests.export_manifest(ExportManifestRequest::default()).await.unwrap().into_inner();
    assert_eq!((export.manifest.unwrap().backends, export.revision), (backends, 1));
    let gone = manifests.diff_manifest(diff(vec![entry("b", "y")], true)).await.unwrap().into_inner();
    assert_eq!(kinds(&gone.changes), [("a", ChangeKind::Deleted), ("b", ChangeKind::Unchanged)]);
    let only = ExportManifestRequest { tags: vec!["none".into()] };
    assert!(
        manifests.export_manifest(only).await.unwrap().into_inner().manifest.unwrap().backends.is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_kept_byte_for_byte() {
    let plane = Plane::start().await;
    let mut odd = entry("odd", "x");
    let text = "{ \"command\" : \"x\",\n  \"args\":[ \"1.0\" ] }";
    odd.spec.as_mut().unwrap().settings_json = text.into();
    let revision = plane.apply_all(vec![odd]).await;
    let got = plane
        .backends()
        .await
        .get_backend(GetBackendRequest { name: "odd".into() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(got.backend.unwrap().spec.unwrap().settings_json, text);
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    let held = <BackendSpec as prost::Message>::decode(&node.held["odd"][..]).unwrap();
    assert_eq!(held.settings_json, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_is_done_once() {
    let plane = Plane::start().await;
    let request_id = "7d9f1c38-5a0e-4c0b-9d8e-0f1a2b3c4d5e";
    let once = |backends| ApplyManifestRequest { request_id: request_id.into(), ..request(backends) };
    let first = apply(&plane, once(vec![entry("a", "x")])).await.unwrap();
    plane.delete("a").await;
    assert_eq!(apply(&plane, once(vec![entry("a", "x")])).await.unwrap(), first);
    let error = apply(&plane, once(vec![entry("a", "y")])).await.unwrap_err();
    assert_eq!(reason(&error), (Code::InvalidArgument, "REQUEST_ID_REUSED".into()));
    let other =
        DeleteBackendRequest { name: "a".into(), request_id: request_id.into(), ..Default::default() };
    let error = plane.backends().await.delete_backend(other).await.unwrap_err();
    assert_eq!(reason(&error).1, "REQUEST_ID_REUSED");
}
