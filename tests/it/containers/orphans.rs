use omcp_tests::harness::Cluster;
use omcp_tests::harness::wait::{self, holds};
use serde_json::json;

use super::*;

async fn until_left(engine: &Engine, filter: &str, count: usize) {
    wait::until(&format!("{count} containers with {filter}"), async || {
        let found = engine.containers(filter);
        holds(found.len() == count, found)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_containers_of_an_earlier_life_are_swept() {
    let engine = Engine::with_fixture();
    // Forgotten, as a power cut would do it: nothing of it is closed or dropped.
    let forgotten = Life::new("n1", "b1");
    std::mem::forget(forgotten.connect("mine", &engine, json!({})).await);
    let mut neighbour = Life::new("n2", "b1").connect("other", &engine, json!({})).await;
    initialize(&mut *neighbour).await;
    let unnamed = Life::new("", "").connect("unnamed", &engine, json!({})).await;
    engine.run(&["create", "--name", "stranger", "--network", "none", IMAGE]);
    assert_eq!(engine.containers("label=omcp.node=node").len(), 3);

    let next = Life::new("n1", "b2");
    let mut connection = next.connect("mine", &engine, json!({})).await;
    initialize(&mut *connection).await;
    let mut second = next.connect("mine", &engine, json!({})).await;
    initialize(&mut *second).await;
    assert_eq!(engine.containers("label=omcp.boot-id=b1").len(), 1, "the neighbour's");
    assert_eq!(engine.containers("label=omcp.boot-id=b2").len(), 2, "both of this life");
    assert_eq!(engine.containers("name=stranger").len(), 1);
    assert_eq!(call(&mut *neighbour, "echo", json!({ "message": "here" })).await, "here");
    drop(unnamed);
    until_left(&engine, "label=omcp.node=node", 3).await;
    for mut connection in [connection, second, neighbour] {
        connection.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_could_not_be_removed_is_removed_later() {
    let mut engine = Engine::with_fixture();
    let life = Life::new("n1", "b1");
    let mut connection = life.connect("left", &engine, json!({})).await;
    initialize(&mut *connection).await;
    engine.down();
    let error = loop {
        match received(&mut *connection).await {
            Ok(message) => assert!(message.is_some(), "an outage is no silent end"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("streams of container omcp-left-"), "{}", error.chain());
    assert!(connection.close().await.is_err());
    engine.up();
    // An engine that has just come back may fail once more: every connection tries again.
    wait::until("the container to be removed", async || {
        life.connect("next", &engine, json!({})).await.close().await.unwrap();
        let left = engine.containers("label=omcp.backend=left");
        holds(left.is_empty(), left)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_clears_up_when_it_is_back() {
    let engine = Engine::with_fixture();
    let secret = "do-not-log-this";
    let mut cluster = Cluster::start_with(1, &[("OMCP_LOG", "trace"), ("PROBE_SECRET", secret)]);
    // Of one era, so that nothing is probed beside the container that is kept.
    let backend = json!({
        "id": "boxed", "era": "modern", "env": { "SECRET": "${PROBE_SECRET}" },
        "runtime": { "type": "docker", "image": IMAGE, "engine": engine.address(), "pull_policy": "never" },
    });
    cluster.apply(&[backend]);
    cluster.until_status("boxed", |status| status["state"] == "ready").await;
    let called = cluster.omcp(&["call", "boxed.echo", "message=hello"]).expect(0);
    assert!(called.text().contains("hello"), "{}", called.text());
    assert!(!cluster.nodes[0].output().contains(secret), "the node logs the environment of containers");
    until_left(&engine, "label=omcp.backend=boxed", 1).await;
    let before = engine.container_of("boxed")["Id"].clone();
    cluster.nodes[0].kill();
    assert_eq!(engine.container_of("boxed")["Id"], before, "a killed node clears nothing up");
    cluster.nodes[0].restart();
    wait::until("a new container in place of the old", async || {
        let found = engine.containers("label=omcp.backend=boxed");
        holds(found.len() == 1 && found[0]["Id"] != before, found)
    })
    .await;
    wait::until("the new container to serve", async || {
        let called = cluster.omcp(&["call", "boxed.echo", "message=again"]);
        holds(called.code == 0, called.text())
    })
    .await;
    cluster.nodes[0].stop();
    until_left(&engine, "label=omcp.backend=boxed", 0).await;
}
