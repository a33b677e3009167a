use std::path::Path;

use omcp_core::Digest;
use sqlx::{Connection, Row, SqliteConnection};

use super::*;
use crate::publish::Table;
use crate::record::EncodedSpec;

/// Puts a backend whose spec is `text`, or adds one to the number that its spec is.
struct Put(&'static str, Option<&'static str>);

impl Intent for Put {
    fn plan(&mut self, have: &View<'_>) -> Result<Plan, Error> {
        let held =
            have.get(self.0).map_or("0".into(), |record| String::from_utf8(record.spec.to_vec()).unwrap());
        let text = self.1.map_or_else(|| (held.parse::<u64>().unwrap() + 1).to_string(), str::to_owned);
        let spec = EncodedSpec {
            hash: omcp_core::revision::spec_hash(text.as_bytes()),
            bytes: text.into_bytes().into(),
        };
        Ok(Plan { puts: vec![(self.0.into(), spec)], deletes: Vec::new() })
    }

    fn answer(&self, done: &Done<'_>) -> Vec<u8> {
        done.revision.to_string().into_bytes()
    }
}

struct Delete(&'static str);

impl Intent for Delete {
    fn plan(&mut self, have: &View<'_>) -> Result<Plan, Error> {
        have.get(self.0).ok_or_else(|| Error::NoSuchBackend(self.0.into()))?;
        Ok(Plan { puts: Vec::new(), deletes: vec![self.0.into()] })
    }

    fn answer(&self, done: &Done<'_>) -> Vec<u8> {
        done.revision.to_string().into_bytes()
    }
}

fn write(intent: impl Intent + 'static) -> Write {
    Write { actor: "anna".into(), request: None, intent: Box::new(intent) }
}

fn once(id: &str, body: u8, intent: impl Intent + 'static) -> Write {
    let request = Some(RequestKey { id: id.into(), body: [body; 32] });
    Write { request, ..write(intent) }
}

async fn open(path: &Path) -> (Store, Arc<Hub>) {
    try_open(path, 1000).await.unwrap()
}

async fn try_open(path: &Path, retain_revisions: u64) -> Result<(Store, Arc<Hub>), OpenError> {
    Store::open(StoreOptions { path: path.into(), retain_revisions }).await
}

async fn put(store: &Store, name: &'static str, text: &'static str) -> u64 {
    number(store.write(write(Put(name, Some(text)))).await.unwrap())
}

fn number(answer: Bytes) -> u64 {
    std::str::from_utf8(&answer).unwrap().parse().unwrap()
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(path.to_str().unwrap()).await.unwrap()
}

fn recount(table: &Table) -> Digest {
    let mut digest = Digest::default();
    table.iter().for_each(|(name, record)| digest.add(name, &record.hash));
    digest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_lose_nothing_and_revisions_have_no_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, hub) = open(&path).await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for _ in 0..10 {
                    revisions.push(number(store.write(write(Put("counter", None))).await.unwrap()));
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        let mine = task.await.unwrap();
        assert!(mine.is_sorted(), "a writer sees its own writes in order");
        revisions.extend(mine);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=640).collect::<Vec<_>>());
    let record = hub.table().get("counter").unwrap().clone();
    assert_eq!((&record.spec[..], record.generation, record.revision), (&b"640"[..], 640, 640));
    assert_eq!(hub.head().digest, recount(&hub.table()));
}

struct Panics;

impl Intent for Panics {
    fn plan(&mut self, _: &View<'_>) -> Result<Plan, Error> {
        panic!("a bug")
    }

    fn answer(&self, _: &Done<'_>) -> Vec<u8> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_write_that_panics_does_not_end_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _hub) = open(&dir.path().join("x.db")).await;
    assert!(matches!(store.write(write(Panics)).await, Err(Error::Store(_))));
    assert_eq!(put(&store, "a", "1").await, 1);
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/x.db");
    let (store, hub) = open(&path).await;
    put(&store, "a", "1").await;
    put(&store, "b", "1").await;
    put(&store, "a", "2").await;
    store.write(write(Delete("b"))).await.unwrap();
    store.close().await;
    let (_store, again) = open(&path).await;
    assert_eq!(hub.head(), again.head());
    assert_eq!(hub.table().get("a"), again.table().get("a"));
    assert_eq!(hub.table().digest_at(2), again.table().digest_at(2));
    let since = |hub: &Hub| hub.table().since(1).map(|(at, name, _)| (at, name.clone())).collect::<Vec<_>>();
    assert_eq!(since(&hub), since(&again), "tombstones included");
}

#[tokio::test]
async fn a_request_sent_twice_is_done_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, hub) = open(&path).await;
    let first = store.write(once("r1", 1, Put("counter", None))).await.unwrap();
    put(&store, "other", "x").await;
    assert_eq!(store.write(once("r1", 1, Put("counter", None))).await.unwrap(), first);
    assert_eq!(&hub.table().get("counter").unwrap().spec[..], b"1");
    let error = store.write(once("r1", 2, Put("counter", None))).await.unwrap_err();
    assert!(matches!(error, Error::RequestIdReused(id) if id == "r1"));
    store.close().await;
    let (store, _hub) = open(&path).await;
    assert_eq!(
        store.write(once("r1", 1, Put("counter", None))).await.unwrap(),
        first,
        "a restart forgets nothing"
    );
    store.close().await;
    let mut connection = raw(&path).await;
    sqlx::query("UPDATE request SET at_ms = at_ms - 24 * 60 * 60 * 1000")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let (store, hub) = open(&path).await;
    store.write(once("r1", 2, Put("counter", None))).await.unwrap();
    assert_eq!(&hub.table().get("counter").unwrap().spec[..], b"2", "after a day the id is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_answers_are_forgotten_without_any_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, _hub) = open(&path).await;
    store.write(once("old", 1, Put("a", Some("1")))).await.unwrap();
    store.close().await;
    let mut connection = raw(&path).await;
    sqlx::query("UPDATE request SET at_ms = at_ms - 24 * 60 * 60 * 1000")
        .execute(&mut connection)
        .await
        .unwrap();
    let (store, _hub) = open(&path).await;
    store.write(once("new", 1, Put("a", Some("1")))).await.unwrap();
    store.close().await;
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT id FROM request").fetch_all(&mut connection).await.unwrap();
    assert_eq!(kept, ["new"]);
}

#[tokio::test]
async fn a_refused_request_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _hub) = open(&dir.path().join("x.db")).await;
    assert!(store.write(once("r1", 1, Delete("a"))).await.is_err());
    put(&store, "a", "1").await;
    assert_eq!(number(store.write(once("r1", 1, Delete("a"))).await.unwrap()), 2);
}

#[tokio::test]
async fn history_tells_who_changed_what() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, _hub) = open(&path).await;
    put(&store, "a", "1").await;
    store.write(once("r1", 1, Put("a", Some("2")))).await.unwrap();
    store.write(write(Delete("a"))).await.unwrap();
    store.close().await;
    let mut connection = raw(&path).await;
    let rows = sqlx::query("SELECT revision, op, actor, request_id, old_hash IS NULL AS new FROM history")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let line = |row: &sqlx::sqlite::SqliteRow| {
        let (revision, op): (i64, String) = (row.get("revision"), row.get("op"));
        let (actor, request, new): (String, String, bool) =
            (row.get("actor"), row.get("request_id"), row.get("new"));
        format!("{revision} {op} {actor} {request} {new}")
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    assert_eq!(lines, ["1 create anna  true", "2 update anna r1 false", "3 delete anna  false"]);
}

/// Makes SQLite refuse to store a backend of this name, in the way `how` says.
async fn poison(path: &Path, sql: &'static str) {
    let mut connection = raw(path).await;
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_takes_nobody_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, hub) = open(&path).await;
    poison(
        &path,
        "CREATE TRIGGER poison BEFORE INSERT ON backend WHEN NEW.name = 'bad'
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
    )
    .await;
    let writes = (0..40).map(|n| {
        let store = store.clone();
        let name = if n % 4 == 0 { "bad" } else { "counter" };
        async move { (name, store.write(write(Put(name, None))).await) }
    });
    for (name, result) in futures_util::future::join_all(writes).await {
        assert_eq!(result.is_ok(), name == "counter", "{name}: {result:?}");
    }
    assert_eq!(hub.head().revision, 30, "a failed write takes no revision");
    assert_eq!(&hub.table().get("counter").unwrap().spec[..], b"30");
    store.close().await;
    assert_eq!(open(&path).await.1.head(), hub.head());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_rolled_back_publishes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, hub) = open(&path).await;
    put(&store, "a", "1").await;
    poison(
        &path,
        "CREATE TRIGGER poison BEFORE INSERT ON backend WHEN NEW.name = 'bad'
         BEGIN SELECT RAISE(ROLLBACK, 'poisoned'); END",
    )
    .await;
    assert!(store.write(write(Put("bad", Some("1")))).await.is_err());
    assert_eq!(hub.head().revision, 1);
    assert_eq!(put(&store, "a", "2").await, 2, "and the store goes on");
    store.close().await;
    assert_eq!(open(&path).await.1.head(), hub.head());
}

#[tokio::test]
async fn compaction_moves_the_boundary_and_keeps_what_is_above_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, hub) = try_open(&path, 5).await.unwrap();
    put(&store, "early", "1").await;
    store.write(write(Delete("early"))).await.unwrap();
    for _ in 0..7 {
        store.write(write(Put("counter", None))).await.unwrap();
    }
    put(&store, "late", "1").await;
    store.write(write(Delete("late"))).await.unwrap();
    for _ in 0..4 {
        store.write(write(Put("counter", None))).await.unwrap();
    }
    store.close().await;
    let compacted = hub.table().compacted;
    assert!((5..=10).contains(&compacted), "{compacted}");
    let names =
        |hub: &Hub, from| hub.table().since(from).map(|(_, name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&hub, compacted), ["late", "counter"]);
    assert!(hub.table().digest_at(compacted).is_some());
    assert_eq!(hub.table().digest_at(compacted - 1), None);
    let (_store, again) = try_open(&path, 5).await.unwrap();
    assert_eq!(again.table().compacted, compacted);
    assert_eq!(names(&again, compacted), ["late", "counter"]);
    assert_eq!(again.table().digest_at(compacted - 1), None);
}

#[tokio::test]
async fn an_older_copy_is_noticed_and_starts_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("x.db"), dir.path().join("yesterday"));
    let (store, hub) = open(&path).await;
    put(&store, "a", "1").await;
    store.close().await;
    std::fs::copy(&path, &copy).unwrap();
    let (store, _) = open(&path).await;
    put(&store, "b", "1").await;
    let lost = put(&store, "c", "1").await;
    store.close().await;
    std::fs::copy(&copy, &path).unwrap();
    let (store, restored) = open(&path).await;
    assert_ne!(restored.head().epoch, hub.head().epoch);
    assert!(restored.head().revision > lost, "no revision is given out twice");
    assert_eq!(restored.table().compacted, restored.head().revision, "nobody resumes across the gap");
    assert_eq!(restored.table().len(), 1);
    let head = restored.head();
    store.close().await;
    assert_eq!(open(&path).await.1.head(), head, "once is enough");
}

#[tokio::test]
async fn the_same_copy_put_back_twice_is_noticed_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("x.db"), dir.path().join("yesterday"));
    let (store, hub) = open(&path).await;
    put(&store, "a", "1").await;
    store.close().await;
    std::fs::copy(&path, &copy).unwrap();
    let (store, _) = open(&path).await;
    let (mut epochs, mut last) = (vec![hub.head().epoch], put(&store, "b", "1").await);
    store.close().await;
    for _ in 0..2 {
        std::fs::copy(&copy, &path).unwrap();
        let (store, hub) = open(&path).await;
        assert!(!epochs.contains(&hub.head().epoch), "no epoch lives twice");
        assert!(hub.head().revision > last, "no revision is given out twice");
        epochs.push(hub.head().epoch);
        last = put(&store, "b", "2").await;
        store.close().await;
    }
}

#[tokio::test]
async fn the_database_belongs_to_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, _hub) = open(&path).await;
    let error = try_open(&path, 10).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)) && error.to_string().contains("--db"), "{error}");
    store.close().await;
    assert!(try_open(&path, 10).await.is_ok());
    assert!(matches!(store.write(write(Delete("a"))).await, Err(Error::Stopping)));
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.db");
    std::fs::write(
        &text,
        "this is no database, and it is long enough to have a header of its own".repeat(20),
    )
    .unwrap();
    let error = try_open(&text, 10).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }) && error.to_string().contains("backup"), "{error}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("this"), "the file is left as it was");
    let error = try_open(dir.path(), 10).await.unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");

    let newer = dir.path().join("newer.db");
    open(&newer).await.0.close().await;
    let mut connection = raw(&newer).await;
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let error = try_open(&newer, 10).await.unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { version: 9999, .. }), "{error}");
}

#[tokio::test]
async fn a_row_changed_behind_our_back_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (store, _hub) = open(&path).await;
    put(&store, "a", "1").await;
    store.close().await;
    let mut connection = raw(&path).await;
    sqlx::query("UPDATE backend SET spec = x'00'").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = try_open(&path, 10).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }) && error.to_string().contains("digest"), "{error}");
}

#[tokio::test]
async fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let (_store, _hub) = open(&path).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
