//! BackendService: one backend at a time, lists, and the watch.

use omcp_proto::v1::backend_change::Change;
use omcp_proto::v1::*;
use tonic::{Code, Streaming};

use crate::harness::*;

fn create(name: &str, command: &str) -> CreateBackendRequest {
    CreateBackendRequest { backend: backend(name, command), ..Default::default() }
}

fn update(backend: Backend, paths: &[&str]) -> UpdateBackendRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let update_mask = Some(prost_types::FieldMask { paths });
    UpdateBackendRequest { backend: Some(backend), update_mask, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backend_from_birth_to_death() {
    let plane = Plane::start().await;
    let mut client = plane.backends().await;
    let made = client.create_backend(create("a", "x")).await.unwrap().into_inner();
    let first = made.backend.unwrap();
    assert_eq!((made.revision, first.generation, first.revision), (1, 1, 1));
    assert!(first.create_time.is_some() && first.create_time == first.update_time && !first.etag.is_empty());
    assert_eq!(reason(&client.create_backend(create("a", "x")).await.unwrap_err()).1, "BACKEND_EXISTS");

    let same = client.update_backend(update(backend("a", "x").unwrap(), &[])).await.unwrap().into_inner();
    assert_eq!(
        (same.revision, same.backend.unwrap()),
        (1, first.clone()),
        "what changes nothing is no revision"
    );
    let changed =
        client.update_backend(update(backend("a", "y").unwrap(), &["spec"])).await.unwrap().into_inner();
    let second = changed.backend.unwrap();
    assert_eq!((changed.revision, second.generation, &second.uid), (2, 2, &first.uid));
    assert_ne!(second.etag, first.etag);

    let stale = DeleteBackendRequest { name: "a".into(), etag: first.etag.clone(), ..Default::default() };
    assert_eq!(
        reason(&client.delete_backend(stale).await.unwrap_err()),
        (Code::Aborted, "ETAG_MISMATCH".into())
    );
    let fresh = DeleteBackendRequest { name: "a".into(), etag: second.etag, ..Default::default() };
    assert_eq!(client.delete_backend(fresh.clone()).await.unwrap().into_inner().revision, 3);
    assert_eq!(reason(&client.delete_backend(fresh).await.unwrap_err()).1, "BACKEND_NOT_FOUND");
    let missing = DeleteBackendRequest { name: "a".into(), allow_missing: true, ..Default::default() };
    assert_eq!(client.delete_backend(missing).await.unwrap().into_inner().revision, 3);
    assert_eq!(
        client.get_backend(GetBackendRequest { name: "a".into() }).await.unwrap_err().code(),
        Code::NotFound
    );
    let reborn = client.create_backend(create("a", "x")).await.unwrap().into_inner().backend.unwrap();
    assert_ne!(
        (&reborn.uid, &reborn.etag),
        (&first.uid, &first.etag),
        "the same name is not the same backend"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masks_change_what_they_name() {
    let plane = Plane::start().await;
    let mut client = plane.backends().await;
    client.create_backend(create("a", "x")).await.unwrap();
    let mut wanted = backend("a", "ignored").unwrap();
    wanted.spec.as_mut().unwrap().tags = vec!["t".into()];
    wanted.spec.as_mut().unwrap().disabled = true;
    let updated = client.update_backend(update(wanted.clone(), &["spec.tags"])).await.unwrap().into_inner();
    let spec = updated.backend.unwrap().spec.unwrap();
    assert_eq!(
        (spec.tags.len(), spec.disabled, spec.settings_json.as_str()),
        (1, false, r#"{"command":"x"}"#)
    );
    let error = client.update_backend(update(wanted.clone(), &["spec.tags", "revision"])).await.unwrap_err();
    assert_eq!((error.code(), fields(&error)[0].0.as_str()), (Code::InvalidArgument, "update_mask"));

    let stale = Backend { etag: "\"0.0\"".into(), ..wanted.clone() };
    assert_eq!(client.update_backend(update(stale, &[])).await.unwrap_err().code(), Code::Aborted);
    let bad = Backend { spec: Some(BackendSpec { settings_json: "{}".into(), ..spec }), ..wanted };
    let error = client.update_backend(update(bad, &["spec.settings_json"])).await.unwrap_err();
    assert_eq!(fields(&error)[0].0, "backend.runtime.command", "the merged backend is checked");

    let absent = update(backend("b", "x").unwrap(), &[]);
    assert_eq!(client.update_backend(absent.clone()).await.unwrap_err().code(), Code::NotFound);
    let made = UpdateBackendRequest { allow_missing: true, ..absent };
    assert_eq!(client.update_backend(made).await.unwrap().into_inner().backend.unwrap().generation, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_only_writes_nothing() {
    let plane = Plane::start().await;
    let mut client = plane.backends().await;
    let rehearsed = CreateBackendRequest { validate_only: true, ..create("a", "x") };
    let made = client.create_backend(rehearsed).await.unwrap().into_inner();
    assert_eq!((made.revision, made.backend.unwrap().spec.unwrap()), (0, spec("x")));
    client.create_backend(create("a", "x")).await.unwrap();
    let rehearsed = UpdateBackendRequest { validate_only: true, ..update(backend("a", "y").unwrap(), &[]) };
    let updated = client.update_backend(rehearsed).await.unwrap().into_inner();
    assert_eq!((updated.revision, updated.backend.unwrap().spec.unwrap()), (1, spec("y")));
    let rehearsed = DeleteBackendRequest { name: "a".into(), validate_only: true, ..Default::default() };
    assert_eq!(client.delete_backend(rehearsed).await.unwrap().into_inner().revision, 1);
    let got = client.get_backend(GetBackendRequest { name: "a".into() }).await.unwrap().into_inner();
    assert_eq!(got.backend.unwrap().spec.unwrap(), spec("x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_cover_everything_once_even_while_it_changes() {
    let plane = Plane::start().await;
    let backends = many(250).into_iter().enumerate().map(|(n, mut entry)| {
        entry.spec.as_mut().unwrap().tags =
            if n % 2 == 0 { vec!["even".into(), "x".into()] } else { vec!["x".into()] };
        entry
    });
    plane.apply_all(backends.collect()).await;
    let mut client = plane.backends().await;
    let mut request =
        ListBackendsRequest { page_size: 30, tags: vec!["x".into(), "even".into()], ..Default::default() };
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let page = client.list_backends(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.revision, 1, "the revision of the first page");
        names.extend(page.backends.into_iter().map(|backend| backend.name));
        plane.apply(&[["zz1", "zz2", "zz3", "zz4", "zz5"][pages % 5]]).await;
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!((names.len(), pages), (125, 5));
    assert!(names.is_sorted());
    request.tags.clear();
    let error = client.list_backends(request).await.unwrap_err();
    assert_eq!((error.code(), fields(&error)[0].0.as_str()), (Code::InvalidArgument, "page_token"));
    let all = client.list_backends(ListBackendsRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.backends.len(), 100);
}

async fn answer(stream: &mut Streaming<WatchBackendsResponse>) -> WatchBackendsResponse {
    tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap()
}

fn names(response: &WatchBackendsResponse) -> Vec<String> {
    let name = |change: &BackendChange| match change.change.as_ref().unwrap() {
        Change::Put(backend) => format!("+{}", backend.name),
        Change::Deleted(name) => format!("-{name}"),
    };
    response.changes.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_misses_nothing() {
    let plane = Plane::with(|config| config.heartbeat_ms = 50).await;
    plane.apply(&["a", "b"]).await;
    plane.delete("b").await;
    let mut client = plane.backends().await;
    let mut stream = client.watch_backends(WatchBackendsRequest::default()).await.unwrap().into_inner();
    let first = answer(&mut stream).await;
    assert_eq!((names(&first), first.revision), (vec!["+a".to_owned()], 2));
    let idle = answer(&mut stream).await;
    assert_eq!((idle.changes.len(), idle.revision), (0, 2), "it says that nothing happened");
    plane.apply(&["c"]).await;
    plane.delete("a").await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(names(&answer(&mut stream).await));
    }
    assert_eq!(seen, ["+c", "-a"]);
    let from = WatchBackendsRequest { from_revision: 2, epoch: first.epoch.clone() };
    let mut again = client.watch_backends(from).await.unwrap().into_inner();
    let missed = answer(&mut again).await;
    assert_eq!((names(&missed), missed.revision), (vec!["+c".to_owned(), "-a".to_owned()], 4));
    let now = WatchBackendsRequest { from_revision: 4, epoch: first.epoch };
    let mut level = client.watch_backends(now).await.unwrap().into_inner();
    assert_eq!(answer(&mut level).await.changes.len(), 0, "the first answer comes at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_nowhere_is_refused() {
    let plane = Plane::with(|config| config.retain_revisions = 4).await;
    let mut last = 0;
    for n in 0..20 {
        last = plane.apply_all(vec![entry("a", &format!("{n}"))]).await;
    }
    let mut client = plane.backends().await;
    let epoch = client.list_backends(ListBackendsRequest::default()).await.unwrap().into_inner().epoch;
    let cases = [
        (1, epoch.clone(), "REVISION_COMPACTED"),
        (last + 1, epoch, "REVISION_UNKNOWN"),
        (last, vec![1; 16], "EPOCH_CHANGED"),
        (last, vec![], "INVALID_FIELDS"),
        (0, vec![1; 3], "INVALID_FIELDS"),
    ];
    for (from_revision, epoch, want) in cases {
        let error = client.watch_backends(WatchBackendsRequest { from_revision, epoch }).await.unwrap_err();
        assert_eq!(reason(&error).1, want);
        assert_eq!(error.code() == Code::OutOfRange, want != "INVALID_FIELDS");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_watch_comes_in_pieces_with_a_revision_each() {
    let plane = Plane::start().await;
    for part in 0..3 {
        let padded = (0..900).map(|n| {
            let mut entry = entry(&format!("b-{part}-{n}"), "x");
            entry.spec.as_mut().unwrap().env.insert("PAD".into(), "x".repeat(1500));
            entry
        });
        plane.apply_all(padded.collect()).await;
    }
    let mut stream =
        plane.backends().await.watch_backends(WatchBackendsRequest::default()).await.unwrap().into_inner();
    let (mut changes, mut revisions) = (0, Vec::new());
    while changes < 2700 {
        let piece = answer(&mut stream).await;
        changes += piece.changes.len();
        revisions.push(piece.revision);
    }
    assert_eq!(revisions, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_when_the_control_plane_stops() {
    let mut plane = Plane::start().await;
    let mut stream =
        plane.backends().await.watch_backends(WatchBackendsRequest::default()).await.unwrap().into_inner();
    answer(&mut stream).await;
    tokio::time::timeout(PATIENCE, plane.stop()).await.expect("an end in time");
    assert_eq!(reason(&stream.message().await.unwrap_err()), (Code::Unavailable, "STOPPING".into()));
}
