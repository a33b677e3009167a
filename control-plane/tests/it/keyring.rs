//! The keys and the list of nodes, which reach nodes beside the revisions.

use omcp_proto::v1::sync_request::Body as Said;
use omcp_proto::v1::sync_response::Body;
use omcp_proto::v1::{Ack, Hello, Keyring, Members, RotateKeyringRequest};

use crate::harness::*;

/// What a new node is told before anything else.
async fn greeted(plane: &Plane, hello: Hello) -> (TestNode, Keyring, Members) {
    let mut node = TestNode::connect(plane, hello).await;
    node.next().await.unwrap();
    let Some(Body::Keyring(keyring)) = node.next().await.unwrap() else { panic!("no keyring") };
    let Some(Body::Members(members)) = node.next().await.unwrap() else { panic!("no members") };
    (node, keyring, members)
}

async fn next_keyring(node: &mut TestNode) -> Keyring {
    loop {
        if let Some(Body::Keyring(keyring)) = node.next().await.unwrap() {
            return keyring;
        }
    }
}

fn has(node: &TestNode, keyring: &Keyring) {
    let received = Some(node.cursor());
    node.say(Said::Ack(Ack { received, keyring: keyring.fingerprint, ..Default::default() }));
}

async fn rotate(plane: &Plane) -> String {
    plane.fleet().await.rotate_keyring(RotateKeyringRequest {}).await.unwrap().into_inner().key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyring_is_the_same_for_all_and_outlives_the_control_plane() {
    let mut plane = Plane::start().await;
    let (_one, first, _) = greeted(&plane, hello("n1")).await;
    let (_two, second, _) = greeted(&plane, hello("n2")).await;
    assert_eq!(first, second);
    assert_eq!((first.keys.len(), first.keys[0].secret.len()), (1, 32));
    assert_eq!(first.active, first.keys[0].id);
    plane.restart().await;
    let (_one, again, _) = greeted(&plane, hello("n1")).await;
    assert_eq!(again, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_seals_once_every_node_has_it() {
    let plane = Plane::start().await;
    let (mut one, before, _) = greeted(&plane, hello("n1")).await;
    let (mut two, ..) = greeted(&plane, hello("n2")).await;
    (one.acks, two.acks) = (false, false);
    let coming = rotate(&plane).await;
    assert_eq!(rotate(&plane).await, coming, "one rotation at a time");
    let (of_one, of_two) = (next_keyring(&mut one).await, next_keyring(&mut two).await);
    assert_eq!((of_one.active, of_one.keys.len()), (before.active, 2), "known, and not yet used");
    assert_eq!(of_one, of_two);
    has(&one, &of_one);
    has(&two, &of_two);
    let after = next_keyring(&mut one).await;
    assert_eq!((format!("{:08x}", after.active), after.keys.len()), (coming, 2));
    assert_eq!(next_keyring(&mut two).await, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_told_of_each_other() {
    let plane = Plane::start().await;
    let of = |name: &str, life: u8| {
        let (boot_id, mcp_url) = (vec![life; 16], format!("http://{name}:4180"));
        Hello { boot_id, mcp_url, ..hello(name) }
    };
    let (mut one, ..) = greeted(&plane, of("n1", 1)).await;
    let revision = plane.apply(&["a"]).await;
    let two = TestNode::connect(&plane, of("n2", 2)).await;
    let listed = loop {
        match one.next().await.unwrap() {
            Some(Body::Members(members)) if members.members.len() == 2 => break members,
            Some(_) => {}
            None => panic!("the stream ended"),
        }
    };
    let told: Vec<_> = listed.members.iter().map(|member| (member.url.as_str(), member.boot_id[0])).collect();
    assert_eq!(told, [("http://n1:4180", 1), ("http://n2:4180", 2)]);
    assert!(listed.partial, "a control plane that has just started does not know who is there");
    drop(two);
    let (_again, _, members) = greeted(&plane, of("n3", 3)).await;
    assert!(members.members.len() >= 2, "who hung up may still be there");
    one.reach(revision).await;
}
