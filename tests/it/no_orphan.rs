//! However a process, its supervisor or its node ends, nothing is left of it.
//!
//! The servers have children that hide: one in another session, a daemon without a parent. All of them
//! ignore SIGTERM and the end of their input. They are found again by a mark in their environment.

/// A second signal ends a node that drains.
mod second_signal;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use omcp_tests::fixture::behaviour::BROOD_LEN;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern};
use omcp_tests::harness::load::Load;
use omcp_tests::harness::manifest::{manifest, stdio};
use omcp_tests::harness::processes::{self, Process};
use omcp_tests::harness::wait::{self, holds};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// What a supervisor and the one that forks them are called.
const SUPERVISOR: &str = "omcp-supervisor";
const SPAWNER: &str = "omcp-spawner";
/// A server and its brood.
const TREE_LEN: usize = 1 + BROOD_LEN;

/// A mark that no other test, and no other run of this one, has.
fn mark(story: &str) -> String {
    format!("{story}-{}", std::process::id())
}

/// A server that can only be killed, with a brood that has to be found first.
fn stubborn(mark: &str) -> Value {
    let quirks = ["brood", "ignore-eof", "ignore-sigterm"];
    let options: Vec<_> = quirks.iter().flat_map(|quirk| ["--behave", quirk]).collect();
    let mut backend = stdio("stubborn", &options);
    backend["env"] = json!({ "OMCP_TEST_MARK": mark });
    backend["runtime"]["stop_timeout_ms"] = json!(200);
    backend["runtime"]["kill_timeout_ms"] = json!(200);
    backend
}

/// The marked ones, without the sleeps that come and go.
fn marked(mark: &str) -> Vec<Process> {
    processes::marked(mark).into_iter().filter(|process| process.name != "sleep").collect()
}

async fn until_marked(mark: &str, wanted: impl Fn(usize) -> bool) {
    wait::until("the marked processes", async || {
        let found = marked(mark);
        holds(wanted(found.len()), found)
    })
    .await;
}

/// The marked ones, once there are so many, and the same at two looks: while a brood is born there are others,
/// which only start it.
async fn settled(mark: &str, count: usize) -> BTreeSet<u32> {
    let mut before = BTreeSet::new();
    wait::until("the marked processes to stay", async || {
        let found: BTreeSet<_> = marked(mark).iter().map(|process| process.pid).collect();
        let same = std::mem::replace(&mut before, found.clone()) == found;
        holds(same && found.len() == count, found.clone()).map(|()| found)
    })
    .await
}

async fn until_gone(pids: &BTreeSet<u32>) {
    wait::until("their end", async || {
        let left: Vec<_> = pids.iter().filter_map(|pid| processes::read(*pid)).collect();
        holds(left.iter().all(|process| process.is_zombie), left)
    })
    .await;
}

fn kill(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).expect("no process has number 0");
    Ok(kill_process(pid, Signal::KILL)?)
}

/// The supervisors of a node, and what forks them.
fn supervisors(node: u32) -> Vec<Process> {
    let ours = |process: &Process| process.name == SUPERVISOR || process.name == SPAWNER;
    processes::below(node).into_iter().filter(ours).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_leaves_nothing() -> Result<()> {
    let mut cluster = Cluster::start(1);
    let mark = mark("killed-node");
    cluster.apply(&[stubborn(&mark)]);
    let endpoint = cluster.nodes[0].endpoint("stubborn");
    let mut load = Load::default();
    load.add(&endpoint).await;
    load.add(&endpoint).await;
    // One process for stateless calls, one for each session.
    until_marked(&mark, |count| count >= 3 * TREE_LEN).await;
    let supervisors = supervisors(cluster.nodes[0].pid());
    ensure!(supervisors.len() > 3, "{supervisors:?}");
    cluster.nodes[0].kill();
    until_marked(&mark, |count| count == 0).await;
    until_gone(&supervisors.iter().map(|process| process.pid).collect()).await;
    load.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_killed_takes_all_with_it_and_is_replaced() -> Result<()> {
    let cluster = Cluster::start(1);
    let mark = mark("killed-supervisor");
    cluster.apply(&[stubborn(&mark)]);
    let client = Modern::new(&cluster.nodes[0].endpoint("stubborn"));
    for victim in [SUPERVISOR, SPAWNER, SUPERVISOR] {
        let old = client.tool("pid", json!({})).await?;
        let tree = settled(&mark, TREE_LEN).await;
        let supervisor = supervisor_of(old.parse()?);
        let spawner = processes::below(cluster.nodes[0].pid()).into_iter().find(|one| one.name == SPAWNER);
        match (victim, spawner) {
            (SUPERVISOR, _) => kill(supervisor.pid)?,
            (_, spawner) => {
                // Supervisors go on without it, and the next one comes from a new one.
                kill(spawner.expect("the node has one").pid)?;
                assert_eq!(client.tool("pid", json!({})).await?, old);
                kill(old.parse()?)?;
            }
        }
        until_gone(&tree).await;
        let new = wait::until("another process", async || client.tool("pid", json!({})).await).await;
        ensure!(new != old, "still {old}");
    }
    Ok(())
}

fn supervisor_of(pid: u32) -> Process {
    let parent = processes::read(pid).and_then(|process| processes::read(process.parent));
    parent.filter(|parent| parent.name == SUPERVISOR).expect("a supervisor is the parent")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_ends_its_tree_alone() -> Result<()> {
    let cluster = Cluster::start(1);
    let mark = mark("session");
    cluster.apply(&[stubborn(&mark)]);
    let endpoint = cluster.nodes[0].endpoint("stubborn");
    let shared = Modern::new(&endpoint).tool("pid", json!({})).await?;
    let before = settled(&mark, TREE_LEN).await;
    let session = Legacy::connect(&endpoint).await?;
    session.tool("pid", json!({})).await?;
    until_marked(&mark, |count| count == 2 * TREE_LEN).await;
    session.delete().await?;
    wait::until("only the shared ones", async || {
        let now: BTreeSet<_> = marked(&mark).iter().map(|process| process.pid).collect();
        holds(now == before, now)
    })
    .await;
    assert_eq!(Modern::new(&endpoint).tool("pid", json!({})).await?, shared);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_deleted_in_its_handshake_leaves_nothing() {
    let cluster = Cluster::start(1);
    let mark = mark("handshake");
    let mut backend = stdio("mute", &["--behave", "hang-handshake", "--behave", "brood"]);
    backend["env"] = json!({ "OMCP_TEST_MARK": mark });
    backend["runtime"]["start_timeout_ms"] = json!(600_000);
    cluster.try_apply_text(&manifest(&[backend]), &[]).expect(0);
    until_marked(&mark, |count| count >= TREE_LEN).await;
    cluster.omcp(&["delete", "mute", "--yes"]).expect(0);
    until_marked(&mark, |count| count == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sessions_leave_neither_zombies_nor_descriptors() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("plain", &[])]);
    let node = &cluster.nodes[0];
    let endpoint = node.endpoint("plain");
    // Whatever is opened once and kept is open after a few.
    sessions(&endpoint, 4).await?;
    let is_idle = || supervisors(node.pid()).len() == 2;
    wait::until("an idle node", async || holds(is_idle(), supervisors(node.pid()))).await;
    let base = processes::descriptors(node.pid());
    for _ in 0..10 {
        sessions(&endpoint, 10).await?;
    }
    wait::until("an idle node again", async || {
        let zombies = processes::below(node.pid()).into_iter().filter(|process| process.is_zombie).count();
        let open = processes::descriptors(node.pid());
        let seen = (zombies, open, supervisors(node.pid()));
        holds(zombies == 0 && open <= base && is_idle(), seen)
    })
    .await;
    Ok(())
}

/// Opens so many sessions, uses them and closes them.
async fn sessions(endpoint: &str, count: usize) -> Result<()> {
    for _ in 0..count {
        let session = Legacy::connect(endpoint).await?;
        assert_eq!(session.tool("echo", json!({ "message": "x" })).await?, "x");
        session.delete().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_told_with_its_status_and_last_words() {
    let cluster = Cluster::start(1);
    let ends = [("exit 3", "exited with status 3"), ("kill -9 $$", "was ended by signal 9")];
    let backend = |name: &str, script: &str| {
        let script = format!("echo the disk is made of cheese >&2; {script}");
        json!({ "id": name, "runtime": { "type": "local-process", "command": "sh", "args": ["-c", script] } })
    };
    let backends = [backend("exits", ends[0].0), backend("killed", ends[1].0)];
    cluster.try_apply(&backends).expect(8);
    for (name, (_, end)) in ["exits", "killed"].into_iter().zip(ends) {
        cluster
            .until_status(name, |status| {
                let error = status["last_error"].as_str().unwrap_or_default();
                let exit = status["last_exit"].as_str().unwrap_or_default();
                error.contains(end)
                    && status["stderr_tail"].to_string().contains("cheese")
                    && exit.contains(end)
                    && exit.contains("s of processor time and at most")
            })
            .await;
        let log = cluster.omcp(&["logs", name]).expect(0).stdout;
        assert!(log.contains("cheese") && log.contains(end), "{log}");
        let told = cluster.omcp(&["describe", name]).expect(0).stdout;
        assert!(told.contains("last exit: pid ") && told.contains(end), "{told}");
    }
}
