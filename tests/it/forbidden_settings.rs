//! Settings that their runtime type forbids: refused at the door, or sent on request and rejected by the
//! nodes.

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Modern;
use omcp_tests::harness::manifest::{manifest, stdio};
use serde_json::{Value, json};

/// Three mistakes, and a secret where serde would quote it.
fn mistaken() -> Value {
    let mut backend = stdio("mistaken", &[]);
    backend["runtime"]["agrs"] = json!(["${OMCP_TEST_SECRET}"]);
    backend["runtime"]["working_dir"] = json!(["${OMCP_TEST_SECRET}"]);
    backend["runtime"]["stop_timeout_ms"] = json!("${OMCP_TEST_SECRET}");
    backend
}

#[tokio::test(flavor = "multi_thread")]
async fn are_refused_unless_sent_all_the_same() -> Result<()> {
    let cluster = Cluster::start_with(2, &[("OMCP_TEST_SECRET", "hush-1234")]);
    let text = manifest(&[stdio("healthy", &[]), mistaken()]);
    for command in ["apply", "diff"] {
        let refused =
            omcp_tests::harness::omcp::run(&cluster.control_plane.admin, &[command, "-f", "-"], &text);
        let refused = refused.expect(2);
        for word in ["agrs", "did you mean args?", "working_dir", "stop_timeout_ms"] {
            ensure!(refused.stderr.contains(word), "{command}: no {word} in {}", refused.stderr);
        }
    }
    assert_eq!(cluster.omcp(&["get", "-o", "name"]).expect(0).stdout, "");

    let sent = cluster.try_apply_text(&text, &["--wait", "--validate=warn"]).expect(8);
    ensure!(sent.stderr.contains("nodes will reject this backend"), "{}", sent.stderr);
    for node in &cluster.nodes {
        let status = cluster.status("mistaken", node.name());
        assert_eq!(status["state"], "rejected", "{status}");
        assert_eq!(status["rejection"]["code"], "invalid", "{status}");
        assert_eq!(status["rejection"]["field"], "runtime.working_dir", "{status}");
        let message = status["rejection"]["message"].as_str().unwrap_or_default();
        for word in
            ["agrs: is not a setting", "did you mean args?", "working_dir: must be string", "stop_timeout_ms"]
        {
            ensure!(message.contains(word), "no {word} in {message}");
        }
        let healthy = Modern::new(&node.endpoint("healthy"));
        assert_eq!(healthy.tool("echo", json!({ "message": "hello" })).await?, "hello");
        ensure!(!node.output().contains("hush-1234"), "{}", node.output());
    }
    let told = cluster.omcp(&["status", "-o", "json"]).expect(0).text();
    ensure!(!told.contains("hush-1234") && !sent.text().contains("hush-1234"), "{told}");

    let mut corrected = mistaken();
    corrected["runtime"] = stdio("mistaken", &[])["runtime"].clone();
    cluster.apply(&[corrected]);
    Ok(())
}
