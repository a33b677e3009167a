//! Secrets: resolved on the node that builds a backend, in every type and at any place, and told nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Http, Legacy, Modern};
use omcp_tests::harness::manifest::{manifest, stdio};
use omcp_tests::harness::node::Node;
use omcp_tests::harness::process::{self, Process};
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

/// In the node's environment, in its secrets directory, and in its environment without anybody asking.
const ENV: &str = "canary-env-5f1c";
const FILE: &str = "canary-file-88ab";
const HIDDEN: &str = "canary-hidden-c0de";
const CANARIES: [&str; 3] = [ENV, FILE, HIDDEN];
/// What a process may see of the node's environment.
const INHERITED: [&str; 9] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL"];

/// A node with every kind of runtime, its canaries, and logs as talkative as can be.
fn cluster() -> Cluster {
    let mut cluster = Cluster::start(0);
    let secrets = cluster.folder().join("secrets");
    fs::create_dir(&secrets).expect("a folder can be made");
    fs::write(secrets.join("token"), format!("{FILE}\n")).expect("a file can be written");
    let secrets = secrets.display().to_string();
    let env = [
        ("OMCP_CANARY", ENV),
        ("OMCP_CANARY_UNASKED", HIDDEN),
        ("OMCP_SECRETS_DIR", secrets.as_str()),
        ("OMCP_LOG", "omcp_data_plane=trace,omcp_runtimes=trace,omcp_core=trace,info"),
    ];
    cluster.join("custom-node", "node-0", &env);
    cluster
}

/// An MCP server over TCP that insists on the secret in the file.
fn server() -> (Process, String) {
    let mut command = std::process::Command::new(process::program("omcp-kit-peer"));
    let mut server = Process::start("TCP server", command.args(["--tcp", "127.0.0.1:0", "--token", FILE]));
    let address = server.says("listening on ");
    (server, address)
}

fn child() -> Value {
    let mut child = stdio("child", &[]);
    child["env"] =
        json!({ "TOKEN": "Bearer ${OMCP_CANARY}", "KEY": "${file:token}", "PLAIN": "$${OMCP_CANARY}" });
    child
}

fn custom(id: &str, endpoint: &str, options: Value) -> Value {
    json!({ "id": id, "runtime": {
        "type": "my-custom-runtime", "endpoint": endpoint, "auth_token": "${file:token}",
        "timeout_seconds": 5, "options": options,
    }})
}

/// Backends that fail in all the ways whose reason would name a secret.
fn failing() -> Vec<Value> {
    let local = |id: &str, settings: Value| {
        let mut runtime = json!({ "type": "local-process", "command": "sh" });
        runtime.as_object_mut().expect("a mapping").extend(settings.as_object().expect("a mapping").clone());
        json!({ "id": id, "runtime": runtime })
    };
    vec![
        local("no-program", json!({ "command": "${OMCP_CANARY}" })),
        local("no-folder", json!({ "working_dir": "/nowhere/${file:token}" })),
        local(
            "complains",
            json!({ "args": ["-c", "echo \"cannot log in with ${OMCP_CANARY}\" >&2; exit 3"] }),
        ),
        json!({ "id": "no-host", "runtime": { "type": "remote-http", "url": "http://${OMCP_CANARY}.invalid/mcp" } }),
        json!({ "id": "no-event-host", "runtime": { "type": "remote-sse", "url": "http://${file:token}.invalid/sse" } }),
        json!({ "id": "bad-header", "runtime": {
            "type": "remote-http", "url": "http://127.0.0.1:9/mcp", "headers": { "x": "${OMCP_CANARY}\n" } } }),
        custom("no-port", "${OMCP_CANARY}", json!({})),
        custom("no-endpoint", "${OMCP_CANARY}.invalid:1", json!({ "key": "${file:token}" })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn reach_the_backend_and_nobody_else() -> Result<()> {
    let cluster = cluster();
    let (_server, address) = server();
    let served = [child(), custom("custom", &address, json!({ "nested": "${OMCP_CANARY}" }))];
    cluster.apply(&served);
    cluster.try_apply(&failing()).expect(8);
    let node = &cluster.nodes[0];

    let environment = Modern::new(&node.endpoint("child")).tool("env", json!({})).await?;
    let environment: serde_json::Map<String, Value> = serde_json::from_str(&environment)?;
    assert_eq!(environment["TOKEN"], format!("Bearer {ENV}"));
    assert_eq!(environment["KEY"], FILE);
    assert_eq!(environment["PLAIN"], "${OMCP_CANARY}");
    let allowed: BTreeSet<_> = INHERITED.into_iter().chain(["TOKEN", "KEY", "PLAIN"]).collect();
    let seen: BTreeSet<_> = environment.keys().map(String::as_str).collect();
    ensure!(seen.is_subset(&allowed), "{:?}", seen.difference(&allowed));

    let custom = Legacy::connect(&node.endpoint("custom")).await?;
    assert_eq!(custom.tool("echo", json!({})).await?, "{}", "the server took the token");
    told(&cluster, node).await
}

/// Everything that anybody is told, and everything that is written.
async fn told(cluster: &Cluster, node: &Node) -> Result<()> {
    let mut told = Vec::new();
    for backend in failing() {
        let name = backend["id"].as_str().unwrap_or_default().to_owned();
        let modern = Modern::new(&node.endpoint(&name)).tool("echo", json!({})).await;
        let legacy = Legacy::connect(&node.endpoint(&name)).await.map(|_| ());
        let errors = [modern.err(), legacy.err()].map(|error| format!("{:#}", error.expect("it fails")));
        told.push((format!("calls of {name}"), errors.join("\n")));
        told.push((format!("logs of {name}"), cluster.omcp(&["logs", &name]).text()));
    }
    for command in
        [&["status", "-o", "json"][..], &["status", "-o", "wide"], &["get", "-o", "json"], &["export"]]
    {
        told.push((command.join(" "), cluster.omcp(command).expect(0).text()));
    }
    told.push(("describe".to_owned(), cluster.omcp(&["describe", "complains"]).expect(0).text()));
    for page in ["config", "metrics", "backends/complains/logs"] {
        let url = format!("{}/{page}", node.admin);
        let reply = Http::default().request(http::Method::GET, &url, &[], b"").await?;
        told.push((page.to_owned(), String::from_utf8_lossy(&reply.bytes().await?).into_owned()));
    }
    told.push(("log of the node".to_owned(), node.output()));
    told.push(("log of the control plane".to_owned(), cluster.control_plane.output()));
    let arguments = fs::read(format!("/proc/{}/cmdline", node.pid()))?;
    told.push(("arguments of the node".to_owned(), String::from_utf8_lossy(&arguments).into_owned()));
    for (what, text) in &told {
        for canary in CANARIES {
            ensure!(!text.contains(canary), "{canary} stands in {what}:\n{text}");
        }
    }
    let all: String = told.into_iter().map(|(_, text)| text).collect();
    ensure!(all.contains("cannot log in with ${OMCP_CANARY}"), "standard error has its reference:\n{all}");
    ensure!(all.contains("no program \"${OMCP_CANARY}\" in PATH"), "a refusal has its reference:\n{all}");
    written(cluster, node).await
}

/// The database, and what the node keeps.
async fn written(cluster: &Cluster, node: &Node) -> Result<()> {
    wait::until("a last-good file with everything", async || {
        let nodes = cluster.node_list();
        holds(nodes.iter().all(|node| node["persisted_revision"] == node["head_revision"]), nodes)
    })
    .await;
    let mut contents = Vec::new();
    for folder in [cluster.folder(), node.state(), &node.state().join("last-good")] {
        for path in fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())) {
            let path = path?;
            if path.is_file() {
                contents.push((path.display().to_string(), readable(&path)?));
            }
        }
    }
    let of = |part: &str| contents.iter().filter(|(path, _)| path.contains(part)).count();
    ensure!(of("control-plane.db") >= 1 && of("last-good") >= 1, "{:?}", contents.len());
    for (path, content) in &contents {
        for canary in CANARIES {
            ensure!(!content.contains(canary), "{canary} stands in {path}");
        }
    }
    let references = contents.iter().filter(|(_, content)| content.contains("${file:token}")).count();
    ensure!(references >= 2, "references stand in {references} files");
    Ok(())
}

/// The content of a file; a last-good file is a zstd frame between header and hash.
fn readable(path: &Path) -> Result<String> {
    let mut content = fs::read(path)?;
    if path.extension().is_some_and(|extension| extension == "omcp") {
        let header_len = u32::from_le_bytes(content[8..12].try_into()?) as usize;
        content = zstd::decode_all(&content[12 + header_len..content.len() - 32])?;
    }
    Ok(String::from_utf8_lossy(&content).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn that_are_missing_are_named_and_block_only_their_backend() -> Result<()> {
    let cluster = cluster();
    let mut in_env = child();
    in_env["id"] = json!("in-env");
    in_env["env"]["MORE"] = json!("${OMCP_CANARY} and ${OMCP_NOT_SET}");
    let mut in_list = stdio("in-list", &["${OMCP_CANARY}", "${file:absent}"]);
    in_list["env"] = json!({ "KEY": "${file:token}" });
    let in_map =
        custom("in-map", "127.0.0.1:9", json!({ "a": "${OMCP_CANARY}", "b": "${env:OMCP_NOT_SET}" }));
    let missing = [
        (in_env, "env.MORE", "${OMCP_NOT_SET} has no value: set OMCP_NOT_SET in the environment of the node"),
        (in_list, "runtime.args[1]", "${file:absent} has no value: cannot read absent in "),
        (in_map, "runtime.options.b", "${OMCP_NOT_SET} has no value"),
    ];
    let mut backends: Vec<_> = missing.iter().map(|(backend, ..)| backend.clone()).collect();
    backends.push(child());
    let applied = cluster.try_apply_text(&manifest(&backends), &["--wait"]).expect(8);
    for (backend, field, reason) in &missing {
        let status = cluster.status(backend["id"].as_str().unwrap_or_default(), "node-0");
        assert_eq!(status["state"], "rejected", "{status}");
        assert_eq!(status["rejection"]["code"], "missing-reference", "{status}");
        assert_eq!(status["rejection"]["field"], *field, "{status}");
        ensure!(status["reason"].as_str().is_some_and(|text| text.contains(reason)), "{status}");
        for text in [applied.text(), status.to_string(), cluster.nodes[0].output()] {
            ensure!(CANARIES.iter().all(|canary| !text.contains(canary)), "{text}");
        }
    }
    let child = Modern::new(&cluster.nodes[0].endpoint("child"));
    assert_eq!(child.tool("echo", json!({ "message": "hello" })).await?, "hello");
    Ok(())
}
