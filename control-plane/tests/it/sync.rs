//! The sync stream: what a node receives, and when.

use std::time::Duration;

use omcp_core::Digest;
use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::*;
use tonic::Code;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_gets_a_snapshot_and_then_only_changes() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a", "b", "c"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    assert_eq!((node.snapshots, node.held.len()), (1, 3));
    let revision = plane.apply(&["d"]).await;
    node.reach(revision).await;
    let revision = plane.delete("b").await;
    node.reach(revision).await;
    assert_eq!((node.snapshots, node.batches, node.changes), (1, 2, 2));
    assert_eq!(node.held.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_is_a_snapshot_too() {
    let plane = Plane::start().await;
    let mut node = plane.node("n1").await;
    node.reach(0).await;
    assert_eq!((node.snapshots, node.held.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_costs_nothing_if_nothing_changed() {
    let mut plane = Plane::start().await;
    let revision = plane.apply_all(many(200)).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    for restart in [false, true] {
        if restart {
            plane.restart().await;
        }
        node = node.resume(&plane).await;
        assert!(matches!(node.next().await.unwrap(), Some(Body::Welcome(_))));
        assert!(matches!(node.next().await.unwrap(), Some(Body::Keyring(_))));
        assert!(matches!(node.next().await.unwrap(), Some(Body::Members(_))));
        assert!(matches!(node.next().await.unwrap(), Some(Body::Progress(_))));
        assert_eq!((node.snapshots, node.batches), (0, 0));
        assert!(node.bytes < 1024, "{} bytes", node.bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_gets_exactly_what_was_missed() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a", "b", "c"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    plane.delete("a").await;
    plane.apply_all(vec![entry("b", "other")]).await;
    let revision = plane.apply_all(vec![entry("b", "another")]).await;
    // Publication follows the commit at a pace of its own: what this node has seen is published.
    plane.node("n2").await.reach(revision).await;
    node = node.resume(&plane).await;
    node.reach(revision).await;
    assert_eq!((node.snapshots, node.batches, node.changes), (0, 1, 2), "each backend at most once");
    assert_eq!(node.held.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_digest_or_epoch_leads_to_a_snapshot() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a", "b"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    let right = node.cursor();
    let wrong_digest = Cursor { digest: Digest::default().to_bytes().to_vec(), ..right.clone() };
    let wrong_epoch = Cursor { epoch: vec![1; 16], revision: revision + 1000, ..right };
    for resume in [wrong_digest, wrong_epoch] {
        let mut hello = hello("n1");
        hello.resume = Some(resume);
        let mut node = TestNode::connect(&plane, hello).await;
        node.reach(revision).await;
        assert_eq!((node.snapshots, node.held.len()), (1, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_on_a_live_stream_is_healed_by_a_snapshot() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a", "b"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    let cursor = Cursor { digest: vec![9; 32], ..node.cursor() };
    node.say(Said::Ack(Ack { received: Some(cursor), applied_revision: revision, ..Default::default() }));
    while node.snapshots < 2 {
        node.next().await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_healed_by_a_snapshot_no_older_than_what_the_node_holds() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a", "b"]).await;
    // This snapshot is kept, and what changes after it is little.
    plane.node("first").await.reach(revision).await;
    for (name, tells) in [("c", true), ("d", false)] {
        let (mut node, drifted) = drifted(&plane, name).await;
        let mut hello = hello("n1");
        hello.resume = tells.then(|| drifted.clone());
        hello.resume_source = ResumeSource::Memory.into();
        node = node.reconnect(&plane, hello).await;
        node.say(Said::Ack(Ack { received: Some(drifted.clone()), ..Default::default() }));
        until_snapshot(&mut node, 1).await;
        assert_eq!(node.revision, drifted.revision, "nothing goes backwards");
    }
    let (mut live, drifted) = drifted(&plane, "e").await;
    live.say(Said::Ack(Ack { received: Some(drifted.clone()), ..Default::default() }));
    until_snapshot(&mut live, 2).await;
    assert_eq!(live.revision, drifted.revision);
}

/// A node that has followed the change of `name`, and what it would say if it had not done it right.
async fn drifted(plane: &Plane, name: &str) -> (TestNode, Cursor) {
    let revision = plane.apply(&[name]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    let cursor = Cursor { digest: vec![9; 32], ..node.cursor() };
    (node, cursor)
}

async fn until_snapshot(node: &mut TestNode, count: usize) {
    while node.snapshots < count {
        node.next().await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_cursor_leads_to_a_snapshot_and_the_deletion_arrives() {
    let plane = Plane::with(|config| config.retain_revisions = 8).await;
    let revision = plane.apply(&["a", "b"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    plane.delete("a").await;
    let mut last = 0;
    for n in 0..40 {
        last = plane.apply_all(vec![entry("b", &format!("c{n}"))]).await;
    }
    node = node.resume(&plane).await;
    node.reach(last).await;
    assert_eq!(node.snapshots, 1);
    assert_eq!(node.held.keys().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_stream_of_a_name_wins() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a"]).await;
    let mut old = plane.node("n1").await;
    old.reach(revision).await;
    let mut new = plane.node("n1").await;
    new.reach(revision).await;
    assert_eq!(reason(&old.end().await), (Code::Aborted, "NODE_REPLACED".into()));
    let revision = plane.apply(&["b"]).await;
    new.reach(revision).await;
    let nodes = plane.fleet().await.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.len(), 1);
    assert_ne!(
        nodes[0].state(),
        NodeState::Disconnected,
        "the end of the old stream is not the end of the node"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_confirm_gets_four_frames_and_later_one_batch() {
    // Heartbeats come whether the window is open or not.
    let plane = Plane::with(|config| config.heartbeat_ms = 600_000).await;
    let revision = plane.apply(&["a"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    node.acks = false;
    for n in 0..4 {
        let revision = plane.apply_all(vec![entry("a", &format!("in the window {n}"))]).await;
        node.reach(revision).await;
    }
    let mut last = 0;
    for n in 0..10 {
        last = plane.apply_all(vec![entry("a", &format!("beyond it {n}"))]).await;
    }
    let more = tokio::time::timeout(Duration::from_millis(100), node.inbound.message()).await;
    assert!(more.is_err(), "the window is closed: {more:?}");
    assert!(node.revision < last);
    node.acks = true;
    node.ack();
    let before = (node.batches, node.changes);
    node.reach(last).await;
    assert_eq!((node.batches - before.0, node.changes - before.1), (1, 1), "one coalesced batch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_snapshot_comes_in_small_chunks_to_all_who_ask() {
    let plane = Plane::start().await;
    let mut last = 0;
    for part in many(3000).chunks(1000) {
        let large = part.iter().cloned().map(|mut entry| {
            // Text that does not compress.
            let noise: String =
                (0..40).map(|n| blake3::hash(format!("{}{n}", entry.name).as_bytes()).to_string()).collect();
            entry.spec.as_mut().unwrap().env.insert("NOISE".into(), noise);
            entry
        });
        last = plane.apply_all(large.collect()).await;
    }
    let mut nodes = futures_util::future::join_all(
        (0..8).map(|n| plane.node(["a", "b", "c", "d", "e", "f", "g", "h"][n])),
    )
    .await;
    for node in &mut nodes {
        node.reach(last).await;
        assert_eq!((node.snapshots, node.held.len()), (1, 3000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_comes_in_pieces_that_belong_together() {
    let plane = Plane::start().await;
    let mut node = plane.node("n1").await;
    node.reach(0).await;
    let backends: Vec<_> = many(1000)
        .into_iter()
        .map(|mut entry| {
            entry.spec.as_mut().unwrap().env.insert("PAD".into(), "x".repeat(2000));
            entry
        })
        .collect();
    let revision = plane.apply_all(backends).await;
    node.reach(revision).await;
    assert_eq!((node.batches, node.changes, node.held.len()), (1, 1000, 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_dropped_and_heartbeats_keep_a_talking_one() {
    let plane = Plane::with(|config| config.heartbeat_ms = 400).await;
    let mut silent = plane.node("silent").await;
    silent.acks = false;
    let mut talking = plane.node("talking").await;
    let talk = tokio::spawn(async move {
        // A silent one does not live as long.
        let mut heartbeats = 0;
        while heartbeats < 6 {
            let body = talking.next().await.unwrap().unwrap();
            heartbeats += u32::from(matches!(body, Body::Progress(_)));
        }
    });
    assert_eq!(reason(&silent.end().await), (Code::DeadlineExceeded, "NODE_SILENT".into()));
    talk.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ahead_of_the_store_starts_a_new_epoch() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    let (epoch, mut hello) = (node.epoch, hello("n2"));
    hello.resume = Some(Cursor { revision: revision + 500, ..node.cursor() });
    let mut ahead = TestNode::connect(&plane, hello).await;
    while ahead.snapshots == 0 {
        ahead.next().await.unwrap().unwrap();
    }
    assert_ne!(ahead.epoch, epoch);
    assert!(ahead.revision > revision + 500);
    assert_eq!(reason(&node.end().await), (Code::OutOfRange, "EPOCH_CHANGED".into()));
    node = node.resume(&plane).await;
    node.reach(ahead.revision).await;
    assert_eq!((node.epoch, node.snapshots), (ahead.epoch, 1), "all nodes move to the new epoch");
    let next = plane.apply(&["b"]).await;
    assert_eq!(next, ahead.revision + 1);
    node.reach(next).await;
    ahead.reach(next).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_asks_nodes_to_come_back_and_does_not_hang() {
    let mut plane = Plane::start().await;
    let revision = plane.apply(&["a"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    // A peer that neither reads nor leaves.
    let deaf = plane.node("deaf").await;
    tokio::time::timeout(PATIENCE, plane.stop()).await.expect("an end in time");
    let mut told = false;
    let end = loop {
        match node.next().await {
            Ok(Some(Body::Directive(Directive {
                directive: Some(directive::Directive::ReconnectWithinMs(_)),
            }))) => {
                told = true;
            }
            Ok(Some(_)) => {}
            Ok(None) => break tonic::Status::ok(""),
            Err(status) => break status,
        }
    };
    assert!(told);
    assert_eq!(reason(&end), (Code::Unavailable, "STOPPING".into()));
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_nodes_follow_a_change() {
    let plane = Plane::start().await;
    let revision = plane.apply_all(many(100)).await;
    let mut nodes = Vec::new();
    for n in 0..100 {
        let mut node = plane.node(&format!("n{n}")).await;
        node.reach(revision).await;
        nodes.push(node);
    }
    let revision = plane.apply(&["x"]).await;
    for node in &mut nodes {
        node.reach(revision).await;
        assert_eq!((node.snapshots, node.batches), (1, 1));
    }
}
