//! What the lists look like.

use omcp_proto::v1::{
    Backend, BackendSpec, BackendState, BackendStatus, Node, NodeBackendStatus, NodeState, Rejection,
    ResumeSource,
};

use super::{get, nodes, status};
use crate::output::{Format, View};

fn plain(view: &View, format: Format) -> String {
    anstream::adapter::strip_str(&view.render(format)).to_string()
}

fn backend(name: &str, disabled: bool) -> Backend {
    let spec = BackendSpec {
        runtime_type: "local-process".into(),
        settings_json: r#"{"command":"x"}"#.into(),
        tags: vec!["a".into(), "b".into()],
        disabled,
        ..BackendSpec::default()
    };
    Backend {
        name: name.into(),
        spec: Some(spec),
        generation: 2,
        revision: 7,
        etag: "e".into(),
        ..Backend::default()
    }
}

fn statuses() -> Vec<NodeBackendStatus> {
    let said = |backend: &str, node: &str, state: BackendState, last_error: &str| NodeBackendStatus {
        node: node.into(),
        status: Some(BackendStatus {
            backend: backend.into(),
            state: state.into(),
            since_ms: 61_000,
            last_error: last_error.into(),
            tools: Some(3),
            ..BackendStatus::default()
        }),
        ..NodeBackendStatus::default()
    };
    let mut rejected = said("github", "node-b", BackendState::Starting, "");
    rejected.rejection = Some(Rejection {
        field: "runtime.args".into(),
        message: "is wrong\u{1b}[2J".into(),
        ..Rejection::default()
    });
    vec![
        said("github", "node-a", BackendState::Ready, "old news"),
        rejected,
        said("search", "node-a", BackendState::Failing, "exited with status 3"),
    ]
}

#[test]
fn backends() {
    let view =
        get::view(&[backend("github", false), backend("off", true), backend("new", false)], &statuses());
    assert_eq!(
        plain(&view, Format::Table),
        "\
NAME     TYPE            STATE      NODES   TOOLS   TAGS
github   local-process   rejected   1/2     3       a,b
off      local-process   disabled   0/0     -       a,b
new      local-process   no-node    0/0     -       a,b
"
    );
    assert_eq!(plain(&view, Format::Name), "github\noff\nnew\n");
    assert!(plain(&view, Format::Wide).starts_with(
        "NAME     TYPE            STATE      NODES   TOOLS   TAGS   REVISION   GENERATION   DISPLAY NAME\n"
    ));
    let json: serde_json::Value = serde_json::from_str(&plain(&view, Format::Json)).unwrap();
    assert_eq!(json["backends"][1]["disabled"], true);
    assert_eq!(json["backends"][0]["runtime"], serde_json::json!({"type": "local-process", "command": "x"}));
}

#[test]
fn states() {
    let view = status::view(&statuses());
    assert_eq!(
        plain(&view, Format::Table),
        "\
BACKEND   NODE     STATE      SINCE   REASON
github    node-a   ready      1m1s
github    node-b   rejected   1m1s    runtime.args: is wrong [2J
search    node-a   failing    1m1s    exited with status 3
"
    );
    assert_eq!(plain(&view, Format::Name), "node-a/github\nnode-b/github\nnode-a/search\n");
    let json: serde_json::Value = serde_json::from_str(&plain(&view, Format::Json)).unwrap();
    assert_eq!(json["statuses"][1]["rejection"]["field"], "runtime.args");
    assert_eq!(json["statuses"][2]["tools"], 3);
}

#[test]
fn fleet() {
    let node = |name: &str, state: NodeState, applied_revision| Node {
        name: name.into(),
        state: state.into(),
        applied_revision,
        head_revision: 12,
        silent_ms: 400,
        backends: 3,
        ready: 2,
        rejected: 1,
        resume_source: ResumeSource::Disk.into(),
        mcp_url: "http://a:4180".into(),
        ..Node::default()
    };
    let view = nodes::view(&[
        node("node-a", NodeState::InSync, 12),
        node("node-b", NodeState::HeldMassRemoval, 9),
        node("node-c", NodeState::Disconnected, 0),
    ]);
    assert_eq!(
        plain(&view, Format::Table),
        "\
NAME     STATE               REVISION   LAG   SILENT   BACKENDS   READY   REJECTED
node-a   in-sync             12         0     400ms    3          2       1
node-b   held-mass-removal   9          3     400ms    3          2       1
node-c   disconnected        0          12    400ms    3          2       1
"
    );
    let yaml = plain(&view, Format::Yaml);
    assert!(yaml.starts_with("nodes:\n  - name: node-a\n    state: in-sync\n"), "{yaml}");
    assert!(yaml.contains("    mcp_url: \"http://a:4180\"\n"), "{yaml}");
}
