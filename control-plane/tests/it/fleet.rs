//! FleetService: what nodes say, and how a revision moves through the fleet.

use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::*;
use tonic::{Code, Streaming};

use crate::harness::*;

async fn nodes(plane: &Plane) -> Vec<Node> {
    plane.fleet().await.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes
}

async fn next(stream: &mut Streaming<WatchRolloutResponse>) -> WatchRolloutResponse {
    tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap()
}

fn status(backend: &str, state: BackendState, revision: u64) -> BackendStatus {
    BackendStatus {
        backend: backend.into(),
        state: state.into(),
        revision,
        since_ms: 5,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_in_sync_once_it_has_applied_and_not_before() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a"]).await;
    let mut hello = hello("n1");
    hello.mcp_url = "http://127.0.0.1:4180".into();
    hello.resume_source = ResumeSource::Disk.into();
    let mut node = TestNode::connect(&plane, hello).await;
    node.acks = false;
    node.reach(revision).await;
    let before = &nodes(&plane).await[0];
    assert_eq!(
        (before.state(), before.applied_revision),
        (NodeState::Lagging, 0),
        "bytes that arrived are not applied"
    );
    assert_eq!(before.resume_source(), ResumeSource::Disk);
    assert!(before.snapshot_bytes > 0);
    node.ack();
    eventually(async || nodes(&plane).await[0].state() == NodeState::InSync).await;
    let after = &nodes(&plane).await[0];
    assert_eq!((after.applied_revision, after.persisted_revision, after.backends), (1, 1, 1));
    assert_eq!((after.mcp_url.as_str(), after.build.as_str()), ("http://127.0.0.1:4180", "test"));
    node.say(Said::Goodbye(Goodbye::default()));
    eventually(async || nodes(&plane).await[0].state() == NodeState::Disconnected).await;
    assert_eq!(nodes(&plane).await.len(), 1, "it is still listed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_tells_who_applied_and_who_refused() {
    let plane = Plane::start().await;
    let mut good = plane.node("good").await;
    let mut bad = plane.node("bad").await;
    good.reach(0).await;
    bad.reach(0).await;
    bad.acks = false;
    let revision = plane.apply(&["a", "b"]).await;
    let request = WatchRolloutRequest { revision, backends: vec!["a".into(), "gone".into()] };
    let mut stream = plane.fleet().await.watch_rollout(request).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    assert_eq!(first.nodes.iter().map(|node| node.node.as_str()).collect::<Vec<_>>(), ["bad", "good"]);
    good.reach(revision).await;
    good.say(Said::Status(StatusReport {
        full: true,
        statuses: vec![BackendStatus {
            stderr_tail: vec!["listening".into()],
            ..status("a", BackendState::Ready, revision)
        }],
        gone: vec![],
    }));
    bad.reach(revision).await;
    let rejection = Rejection {
        backend: "a".into(),
        revision,
        code: RejectionCode::BuildFailed.into(),
        field: "runtime.command".into(),
        message: "no such file".into(),
        serving_revision: 0,
    };
    bad.say(Said::Ack(Ack {
        received: Some(bad.cursor()),
        applied_revision: revision,
        rejected_changed: true,
        rejected: vec![rejection.clone()],
        rejected_count: 1,
        ..Default::default()
    }));
    loop {
        let rollout = next(&mut stream).await;
        let [bad, good] = &rollout.nodes[..] else { panic!("two nodes") };
        let ready = good.backends[0].status.as_ref().unwrap().state() == BackendState::Ready;
        if good.applied_revision == revision && ready && bad.backends[0].rejection.is_some() {
            assert!(good.backends[0].status.as_ref().unwrap().stderr_tail.is_empty(), "all is well");
            assert_eq!(bad.backends.len(), 1, "only backends that were asked for and exist");
            assert_eq!(bad.backends[0].rejection.as_ref(), Some(&rejection));
            break;
        }
    }
    let listed = nodes(&plane).await;
    assert_eq!((listed[0].rejected, listed[1].ready), (1, 1));
    bad.say(Said::Ack(Ack {
        received: Some(bad.cursor()),
        applied_revision: revision,
        rejected_count: 1,
        ..Default::default()
    }));
    bad.say(Said::Status(StatusReport::default()));
    let all = ListBackendStatusesRequest { backend: "a".into(), node: "bad".into() };
    let kept = plane.fleet().await.list_backend_statuses(all).await.unwrap().into_inner();
    assert!(kept.statuses[0].rejection.is_some(), "an ack without a set leaves the set as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_are_unknown_until_said_and_gone_with_the_backend() {
    let mut plane = Plane::start().await;
    let revision = plane.apply(&["a", "b"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    node.say(Said::Status(StatusReport {
        full: true,
        statuses: vec![
            BackendStatus { last_error: "é".repeat(5000), ..status("a", BackendState::Failing, revision) },
            status("never-stored", BackendState::Ready, revision),
        ],
        gone: vec![],
    }));
    let statuses = async |plane: &Plane| {
        let request = ListBackendStatusesRequest::default();
        plane.fleet().await.list_backend_statuses(request).await.unwrap().into_inner().statuses
    };
    eventually(async || statuses(&plane).await[0].status.as_ref().unwrap().state() == BackendState::Failing)
        .await;
    let said = statuses(&plane).await;
    assert_eq!(said.len(), 2);
    let (a, b) = (said[0].status.as_ref().unwrap(), said[1].status.as_ref().unwrap());
    assert_eq!((b.backend.as_str(), b.state()), ("b", BackendState::Unspecified));
    assert!(a.since_ms >= 5 && a.last_error.len() <= 1024);
    plane.delete("a").await;
    assert_eq!(statuses(&plane).await.len(), 1);
    plane.restart().await;
    assert!(nodes(&plane).await.is_empty(), "nothing about nodes is written");
    drop(node);
    let mut node = plane.node("n1").await;
    node.reach(2).await;
    assert_eq!(statuses(&plane).await[0].status.as_ref().unwrap().state(), BackendState::Unspecified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_removal_is_shown_and_can_be_accepted() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    node.say(Said::Ack(Ack { received: Some(node.cursor()), held_mass_removal: true, ..Default::default() }));
    eventually(async || nodes(&plane).await[0].state() == NodeState::HeldMassRemoval).await;
    let mut fleet = plane.fleet().await;
    let accept = |node: &str| AcceptMassRemovalRequest { node: node.into() };
    assert_eq!(reason(&fleet.accept_mass_removal(accept("n2")).await.unwrap_err()).1, "NODE_NOT_FOUND");
    assert_eq!(fleet.accept_mass_removal(accept("")).await.unwrap().into_inner().nodes, ["n1"]);
    loop {
        if let Body::Directive(directive) = node.next().await.unwrap().unwrap() {
            assert_eq!(directive.directive, Some(directive::Directive::AcceptMassRemoval(true)));
            break;
        }
    }
    node.ack();
    eventually(async || nodes(&plane).await[0].state() == NodeState::InSync).await;
    assert!(fleet.accept_mass_removal(accept("n1")).await.unwrap().into_inner().nodes.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_drained_when_it_says_so_and_only_if_it_is_connected() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a"]).await;
    let mut node = plane.node("n1").await;
    node.reach(revision).await;
    let mut fleet = plane.fleet().await;
    let drain = |node: &str, drain| DrainNodeRequest { node: node.into(), drain };
    assert_eq!(reason(&fleet.drain_node(drain("n2", true)).await.unwrap_err()).1, "NODE_NOT_FOUND");
    for wanted in [true, false] {
        fleet.drain_node(drain("n1", wanted)).await.unwrap();
        loop {
            if let Body::Directive(directive) = node.next().await.unwrap().unwrap() {
                assert_eq!(directive.directive, Some(directive::Directive::Drain(wanted)));
                break;
            }
        }
        assert_eq!(nodes(&plane).await[0].drained, !wanted, "asked is not done");
        node.say(Said::Ack(Ack { received: Some(node.cursor()), drained: wanted, ..Default::default() }));
        eventually(async || nodes(&plane).await[0].drained == wanted).await;
    }
    drop(node);
    eventually(async || nodes(&plane).await[0].state() == NodeState::Disconnected).await;
    let refused = fleet.drain_node(drain("n1", true)).await.unwrap_err();
    assert_eq!(reason(&refused).1, "NODE_NOT_CONNECTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runtime_types_are_listed_with_those_who_offer_them() {
    let plane = Plane::start().await;
    let mine = |text: &str| RuntimeType {
        name: "mine".into(),
        version: "1".into(),
        origin: "custom".into(),
        settings_schema_json: text.into(),
        ..Default::default()
    };
    let mut one = hello("n1");
    one.runtime_types = vec![mine(r#"{"type":"object"}"#)];
    let mut two = hello("n2");
    two.runtime_types = vec![mine(r#"{"type":"object"}"#), mine(r#"{"type":"object","title":"other"}"#)];
    let mut nodes = [TestNode::connect(&plane, one).await, TestNode::connect(&plane, two).await];
    for node in &mut nodes {
        node.reach(0).await;
    }
    let types =
        plane.fleet().await.list_runtime_types(ListRuntimeTypesRequest {}).await.unwrap().into_inner().types;
    let mut lines: Vec<_> = types
        .iter()
        .map(|offered| (offered.r#type.as_ref().unwrap().name.as_str(), offered.nodes.len()))
        .filter(|(name, _)| ["local-process", "mine"].contains(name))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [("local-process", 0), ("mine", 1), ("mine", 2)]);
    assert!(types.iter().all(|offered| offered.r#type.as_ref().unwrap().schema_hash.len() == 16));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_of_the_future_is_refused() {
    let plane = Plane::start().await;
    let request = WatchRolloutRequest { revision: 1, backends: vec![] };
    let error = plane.fleet().await.watch_rollout(request).await.unwrap_err();
    assert_eq!(reason(&error), (Code::OutOfRange, "REVISION_UNKNOWN".into()));
}

/// The next listing that a node is sent.
async fn told(node: &mut TestNode) -> Listing {
    loop {
        if let Some(Body::Listings(listings)) = node.next().await.unwrap() {
            return listings.listings.into_iter().next().expect("a listing");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_backend_lists_is_handed_from_node_to_node() {
    let plane = Plane::start().await;
    let revision = plane.apply(&["a"]).await;
    let (mut one, mut two) = (plane.node("one").await, plane.node("two").await);
    one.reach(revision).await;
    two.reach(revision).await;
    let listing = |backend: &str, digest: u8| Listing {
        backend: backend.into(),
        digest: vec![digest; 32],
        zstd: vec![digest],
    };
    let tell = |listings: Vec<Listing>| Said::Listings(Listings { listings });
    one.say(tell(vec![listing("unknown", 1), listing("a", 1)]));
    assert_eq!(told(&mut two).await, listing("a", 1), "those who are there hear of it");
    one.say(tell(vec![listing("a", 1), listing("a", 2)]));
    assert_eq!(told(&mut two).await, listing("a", 2), "and of what changes, once");
    let mut late = plane.node("late").await;
    assert_eq!(told(&mut late).await, listing("a", 2), "and so does who comes later");
    assert_eq!(late.revision, revision, "behind what it is about");
}
