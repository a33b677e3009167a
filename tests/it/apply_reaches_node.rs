//! A manifest reaches every node, and what changes in it changes there.

use anyhow::Result;
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Http, Legacy};
use omcp_tests::harness::manifest::{manifest, stdio};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_comes_changes_and_goes() -> Result<()> {
    let cluster = Cluster::start(2);
    cluster.apply(&[stdio("one", &[]), stdio("two", &[])]);
    for node in &cluster.nodes {
        for backend in ["one", "two"] {
            let client = Legacy::connect(&node.endpoint(backend)).await?;
            assert_eq!(client.tool("echo", json!({ "message": backend })).await?, backend);
        }
    }
    let mut changed = stdio("one", &[]);
    changed["env"] = json!({ "OMCP_MARK": "changed" });
    cluster.apply(&[changed]);
    for node in &cluster.nodes {
        let client = Legacy::connect(&node.endpoint("one")).await?;
        assert!(client.tool("env", json!({})).await?.contains(r#""OMCP_MARK":"changed""#));
    }
    cluster.omcp(&["delete", "two", "--wait"]).expect(0);
    for node in &cluster.nodes {
        let reply = Http::default().request(http::Method::GET, &node.endpoint("two"), &[], b"").await?;
        assert_eq!(reply.status, 404);
        assert_eq!(
            Legacy::connect(&node.endpoint("one")).await?.request("ping", json!({})).await?,
            json!({})
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_manifest_again_changes_nothing() {
    let cluster = Cluster::start(1);
    let backends = [stdio("one", &[]), stdio("two", &[])];
    cluster.apply(&backends);
    let before = cluster.omcp(&["get", "-o", "json"]).expect(0).stdout;
    cluster.apply(&backends);
    assert_eq!(cluster.omcp(&["get", "-o", "json"]).expect(0).stdout, before);
    let text = manifest(&backends);
    assert_eq!(cluster.omcp(&["diff", "-f", &write(&cluster, &text)]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_resolved_on_the_node_and_nowhere_else() -> Result<()> {
    let cluster = Cluster::start_with(1, &[("OMCP_TEST_SECRET", "hush-1234")]);
    let mut backend = stdio("one", &[]);
    backend["env"] = json!({ "TOKEN": "Bearer ${OMCP_TEST_SECRET}" });
    cluster.apply(&[backend]);
    let client = Legacy::connect(&cluster.nodes[0].endpoint("one")).await?;
    assert!(client.tool("env", json!({})).await?.contains("Bearer hush-1234"));
    let told = [
        cluster.omcp(&["export"]).expect(0).text(),
        cluster.omcp(&["status", "-o", "json"]).expect(0).text(),
        cluster.omcp(&["describe", "one"]).expect(0).text(),
        cluster.control_plane.output(),
        cluster.nodes[0].output(),
    ];
    assert!(told[0].contains("${OMCP_TEST_SECRET}"), "{}", told[0]);
    assert!(told.iter().all(|text| !text.contains("hush-1234")));
    Ok(())
}

fn write(cluster: &Cluster, manifest: &str) -> String {
    let path = cluster.folder().join("manifest.yaml");
    std::fs::write(&path, manifest).expect("a file can be written");
    path.display().to_string()
}
