//! Every kind of bad server beside one that is well: what becomes of its calls, and where it shows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::{FutureExt, LocalBoxFuture, join_all};
use http::Method;
use omcp_tests::chaos::look;
use omcp_tests::fixture::behaviour::BROOD_LEN;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Http, Legacy, Modern};
use omcp_tests::harness::load::Load;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::node::Node;
use omcp_tests::harness::processes;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Longest that a client waits for the answer that its backend is broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// A node with two dozen processes, in a debug build.
const MEMORY_KIB_MAX: u64 = 96 << 10;
/// A check is due soon, and gives up after ten seconds; this is for both on a busy machine.
const CHECK_LIMIT: Duration = Duration::from_secs(60);
/// For what has to serve: a busy machine takes its time to start two dozen processes.
const PATIENT_MS: usize = 20_000;
/// Longer than any call here may take.
const SLOW_MS: u64 = 120_000;
/// Longer than a line may be here.
const GIANT_LEN: usize = 8 << 20;
const LINE_LEN_MAX: usize = 1 << 20;
const MARK: &str = "OMCP_TEST_MARK";

/// One kind, as docs/processes.md calls it.
struct Kind {
    name: &'static str,
    quirks: &'static [&'static str],
    outcome: fn(Backend<'_>) -> LocalBoxFuture<'_, Result<()>>,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "exit-at-once",
        quirks: &["exit-at-once"],
        outcome: |it| it.never_serves("status 3").boxed_local(),
    },
    Kind {
        name: "hang-handshake",
        quirks: &["hang-handshake"],
        outcome: |it| it.never_serves("1500").boxed_local(),
    },
    Kind { name: "half-line", quirks: &["half-line"], outcome: |it| it.never_serves("").boxed_local() },
    Kind {
        name: "half-line-hang",
        quirks: &["half-line-hang"],
        outcome: |it| it.never_serves("1500").boxed_local(),
    },
    Kind { name: "garbage", quirks: &["garbage"], outcome: |it| it.tells("about to answer").boxed_local() },
    Kind {
        name: "flood-stderr",
        quirks: &["flood-stderr"],
        outcome: |it| it.tells("lines dropped").boxed_local(),
    },
    Kind { name: "flood-stdout", quirks: &["flood-stdout"], outcome: |it| it.serves().boxed_local() },
    Kind { name: "answer-twice", quirks: &["answer-twice"], outcome: |it| it.is_counted().boxed_local() },
    Kind { name: "unknown-ids", quirks: &["unknown-ids"], outcome: |it| it.is_counted().boxed_local() },
    Kind { name: "slow", quirks: &[], outcome: |it| it.times_out().boxed_local() },
    Kind { name: "giant", quirks: &[], outcome: |it| it.breaks_off().boxed_local() },
    Kind { name: "deaf", quirks: &["deaf"], outcome: |it| it.is_found_out().boxed_local() },
    Kind { name: "die", quirks: &["die-on=slow"], outcome: |it| it.comes_back().boxed_local() },
    Kind {
        name: "brood",
        quirks: &["brood", "ignore-eof", "ignore-sigterm"],
        outcome: |it| it.leaves_nothing().boxed_local(),
    },
];

/// One of them on a node.
#[derive(Clone, Copy)]
struct Backend<'a> {
    cluster: &'a Cluster,
    node: &'a Node,
    name: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_bounded_visible_and_alone() -> Result<()> {
    let cluster = Cluster::start_with(1, &[("OMCP_CHECK_EVERY_MS", "1000")]);
    let node = &cluster.nodes[0];
    cluster.apply(&[stdio("healthy", &[])]);
    let mut load = Load::default();
    load.add(&node.endpoint("healthy")).await;
    let backends: Vec<_> = KINDS.iter().map(definition).collect();
    cluster.try_apply(&backends).expect(8);
    let outcomes = KINDS.iter().map(|kind| async {
        let backend = Backend { cluster: &cluster, node, name: kind.name };
        (kind.outcome)(backend).await.context(kind.name)
    });
    for outcome in join_all(outcomes).await {
        outcome?;
    }
    let (calls, failures) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls");
    let memory_kib = look::memory_kib(node.pid())?;
    ensure!(memory_kib < MEMORY_KIB_MAX, "the node holds {memory_kib} KiB");
    Ok(())
}

#[test]
fn every_kind_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/processes.md");
    let page = std::fs::read_to_string(path).expect("the page exists");
    for kind in KINDS {
        assert!(page.contains(&format!("| `{}` |", kind.name)), "{} is not in docs/processes.md", kind.name);
    }
}

fn definition(kind: &Kind) -> Value {
    let options: Vec<_> = kind.quirks.iter().flat_map(|quirk| ["--behave", quirk]).collect();
    let mut backend = stdio(kind.name, &options);
    backend["env"] = json!({ MARK: mark(kind.name) });
    // Short only where its end is what shows.
    let short = |kinds: &[&str], ms: usize| if kinds.contains(&kind.name) { ms } else { PATIENT_MS };
    for (field, value) in [
        ("start_timeout_ms", short(&["hang-handshake", "half-line-hang"], 1_500)),
        ("call_timeout_ms", short(&["slow", "deaf"], 3_000)),
        ("stop_timeout_ms", 200),
        ("kill_timeout_ms", 200),
        ("line_len_max", LINE_LEN_MAX),
    ] {
        backend["runtime"][field] = json!(value);
    }
    backend
}

fn mark(kind: &str) -> String {
    format!("kind-{kind}-{}", std::process::id())
}

impl Backend<'_> {
    fn modern(&self) -> Modern {
        Modern::new(&self.node.endpoint(self.name))
    }

    /// It is shown as failing with the reason, and clients of both eras hear soon.
    async fn never_serves(self, reason: &str) -> Result<()> {
        self.cluster
            .until_status(self.name, |status| {
                ["failing", "crash-loop"].iter().any(|state| status["state"] == *state)
                    && status["failures"].as_u64() >= Some(1)
                    && status["last_error"]
                        .as_str()
                        .is_some_and(|text| !text.is_empty() && text.contains(reason))
            })
            .await;
        let began = Instant::now();
        let modern = self.modern().tool("echo", json!({ "message": "x" })).await.map(|_| ());
        let legacy = Legacy::connect(&self.node.endpoint(self.name)).await.map(|_| ());
        for outcome in [modern, legacy] {
            let text = format!("{:#}", outcome.err().context("it works")?);
            ensure!(text.contains(self.name), "the backend is not named: {text}");
        }
        ensure!(began.elapsed() < 2 * ANSWER_LIMIT, "clients heard after {:?}", began.elapsed());
        Ok(())
    }

    /// Clients of both eras are served.
    async fn serves(self) -> Result<()> {
        for message in ["a", "b", "c"] {
            assert_eq!(self.modern().tool("echo", json!({ "message": message })).await?, message);
            let session = Legacy::connect(&self.node.endpoint(self.name)).await?;
            assert_eq!(session.tool("echo", json!({ "message": message })).await?, message);
            session.delete().await?;
        }
        Ok(())
    }

    /// It serves, and its log says what is wrong with it, at no length.
    async fn tells(self, words: &str) -> Result<()> {
        self.serves().await?;
        let logs = wait::until("the log", async || {
            let logs = self.cluster.omcp(&["logs", self.name]).expect(0).stdout;
            holds(logs.contains(words), logs.clone()).map(|_| logs)
        })
        .await;
        ensure!(logs.len() < 1 << 20, "{} bytes of logs", logs.len());
        Ok(())
    }

    /// It serves; answers that nobody waits for are dropped and counted.
    async fn is_counted(self) -> Result<()> {
        let before = self.late().await?;
        self.serves().await?;
        wait::until("the count of answers that nobody waited for", async || {
            let late = self.late().await.map_err(|error| format!("{error:#}"))?;
            holds(late > before, late.to_string())
        })
        .await;
        Ok(())
    }

    /// A call takes no longer than it may, and no other call waits for it.
    async fn times_out(self) -> Result<()> {
        let client = self.modern();
        let slow = json!({ "name": "progress", "arguments": { "steps": 1, "delay_ms": SLOW_MS },
            "_meta": { "progressToken": "p" } });
        let mut call = client.open("tools/call", slow).await?.under_way().await?;
        for _ in 0..10 {
            assert_eq!(client.tool("echo", json!({ "message": "x" })).await?, "x");
        }
        assert_eq!(call.error().await?["data"]["reason"], "timeout");
        assert_eq!(client.tool("echo", json!({ "message": "x" })).await?, "x");
        Ok(())
    }

    /// The connection is given up with the call, and the next one has a new process.
    async fn breaks_off(self) -> Result<()> {
        let client = self.modern();
        let old = client.tool("pid", json!({})).await?;
        let big = json!({ "name": "big", "arguments": { "bytes": GIANT_LEN } });
        let error = client.open("tools/call", big).await?.error().await?;
        assert_eq!(error["data"]["reason"], "protocol_violation", "{error}");
        let new = wait::until("a new process", async || client.tool("pid", json!({})).await).await;
        ensure!(new != old, "the same process");
        Ok(())
    }

    /// Calls time out, and a check shows that it is not well although calls go on.
    async fn is_found_out(self) -> Result<()> {
        let client = self.modern();
        let mut call = client.open("tools/call", json!({ "name": "pid", "arguments": {} })).await?;
        assert_eq!(call.error().await?["data"]["reason"], "timeout");
        let calls = async {
            loop {
                // However they end: they must not be taken for a sign of life.
                client.tool("pid", json!({})).await.ok();
            }
        };
        let seen = async {
            loop {
                let status = self.cluster.status(self.name, self.node.name());
                if status["last_error"].as_str().is_some_and(|text| text.contains("check")) {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            seen = timeout(CHECK_LIMIT, seen) => seen.context("no check has found it out"),
            () = calls => Ok(()),
        }
    }

    /// A call that it died of is answered, and it is started again.
    async fn comes_back(self) -> Result<()> {
        let client = self.modern();
        let old = client.tool("pid", json!({})).await?;
        let error = client
            .open("tools/call", json!({ "name": "slow", "arguments": { "ms": 1 } }))
            .await?
            .error()
            .await?;
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32603), &json!("stream_lost")));
        let new = wait::until("a new process", async || client.tool("pid", json!({})).await).await;
        ensure!(new != old, "the same process");
        Ok(())
    }

    /// Deleted, it is gone with all that it started, whatever they ignore.
    async fn leaves_nothing(self) -> Result<()> {
        self.serves().await?;
        let mark = mark(self.name);
        let found = processes::marked(&mark).len();
        ensure!(found > BROOD_LEN, "{found} processes");
        self.cluster.omcp(&["delete", self.name, "--yes"]).expect(0);
        wait::until("the end of all its processes", async || {
            let left = processes::marked(&mark);
            holds(left.is_empty(), left)
        })
        .await;
        Ok(())
    }

    async fn late(&self) -> Result<u64> {
        let url = format!("{}/metrics", self.node.admin);
        let page = Http::default().request(Method::GET, &url, &[], b"").await?.bytes().await?;
        let page = String::from_utf8_lossy(&page).into_owned();
        let line = page.lines().find_map(|line| line.strip_prefix("omcp_late_answers_total "));
        Ok(line.context("no such metric")?.parse()?)
    }
}
