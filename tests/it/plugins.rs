//! Runtime types in other processes: offered, described, killed, late.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::Legacy;
use omcp_tests::harness::load::Load;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::node::Node;
use omcp_tests::harness::process::{self, Process};
use omcp_tests::harness::processes;
use omcp_tests::harness::wait::{self, holds};
use omcp_tests::kit::program::{Listening, kill};
use serde_json::{Value, json};

const PROGRAM: &str = "omcp-example-plugin";
/// How often the plugin is killed under load.
const KILLS: usize = 3;

/// A node that starts the example plugin itself.
fn cluster() -> Cluster {
    let offer = format!("rust-lines={}", process::program(PROGRAM).display());
    Cluster::start_with(1, &[("OMCP_PLUGINS", &offer)])
}

/// A server on a TCP port.
async fn server() -> Result<Listening> {
    Listening::start(&["--tcp", "127.0.0.1:0"]).await.map_err(|error| anyhow::anyhow!(error))
}

fn behind(id: &str, endpoint: &str) -> Value {
    json!({ "id": id, "runtime": { "type": "rust-lines", "endpoint": endpoint } })
}

/// Processes of the example plugin below a process, whatever supervises them.
fn plugins_of(node: u32) -> Vec<u32> {
    processes::below(node).into_iter().map(|process| process.pid).filter(|pid| is_plugin(*pid)).collect()
}

fn is_plugin(pid: u32) -> bool {
    let started_as = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&started_as).contains(PROGRAM)
}

async fn plugin_of(node: &Node) -> u32 {
    wait::until("a process of the plugin", async || {
        plugins_of(node.pid()).first().copied().ok_or("there is none")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_types_look_like_all_others() -> Result<()> {
    let cluster = cluster();
    wait::until("the type to be offered", async || {
        let told = cluster.omcp(&["runtimes", "-o", "json"]).expect(0).json();
        let types = told["runtime_types"].as_array().cloned().unwrap_or_default();
        let found = types.iter().any(|kind| kind["type"] == "rust-lines" && kind["origin"] == "plugin");
        holds(found, told)
    })
    .await;
    let explained = cluster.omcp(&["explain", "rust-lines"]).expect(0).stdout;
    assert!(
        explained.contains("endpoint") && explained.contains("Where it listens, HOST:PORT."),
        "{explained}"
    );

    let mistake = json!({ "id": "far", "runtime": { "type": "rust-lines", "endpont": "h:1" } });
    let refused = cluster.try_apply(&[mistake]).text();
    assert!(refused.contains("runtime.endpont") && refused.contains("did you mean endpoint?"), "{refused}");

    let server = server().await?;
    cluster.apply(&[behind("far", server.address())]);
    let node = &cluster.nodes[0];
    let client = Legacy::connect(&node.endpoint("far")).await?;
    assert_eq!(client.tool("echo", json!({ "message": "hello" })).await?, r#"{"message":"hello"}"#);
    assert_eq!(plugins_of(node.pid()).len(), 1, "one program serves all connections");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_one_touches_nothing_else_and_it_comes_back() -> Result<()> {
    let cluster = cluster();
    let server = server().await?;
    cluster.apply(&[stdio("near", &[]), behind("far", server.address())]);
    let node = &cluster.nodes[0];
    let mut load = Load::default();
    load.add(&node.endpoint("near")).await;
    for _ in 0..KILLS {
        let plugin = plugin_of(node).await;
        let client = wait::until("a session", async || Legacy::connect(&node.endpoint("far")).await).await;
        // Its progress proves that the server has the call, which goes on until it is told.
        let asked = json!({ "count": 1, "_meta": { "progressToken": "p" } });
        let mut waiting = client.open("kit/progress", asked).await?.under_way().await?;
        kill(plugin).map_err(|error| anyhow::anyhow!(error))?;
        let error = waiting.error().await?;
        let text = error["message"].as_str().context("an error has a message")?;
        ensure!(text.contains(PROGRAM) && text.contains("signal 9"), "{text}");
        wait::until("a call after the restart", async || {
            let client = Legacy::connect(&node.endpoint("far")).await?;
            client.tool("echo", json!({ "message": "again" })).await
        })
        .await;
        assert_ne!(plugin_of(node).await, plugin);
    }
    let (calls, failures) = load.stop().await;
    assert_eq!(failures, Vec::<String>::new(), "of {calls} calls");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_node() -> Result<()> {
    let mut cluster = cluster();
    for end in [Node::stop, Node::kill] {
        let plugin = plugin_of(&cluster.nodes[0]).await;
        end(&mut cluster.nodes[0]);
        wait::until("the end of the plugin", async || holds(!is_plugin(plugin), plugin)).await;
        cluster.nodes[0].restart();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_late_is_offered_when_it_is_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = format!("unix:{}/plugin.sock", folder.path().display());
    let cluster = Cluster::start_with(1, &[("OMCP_PLUGINS", &format!("rust-lines={place}"))]);
    let server = server().await?;
    // Nobody can check it yet, and the node holds it all the same.
    let manifest = json!({ "servers": [behind("far", server.address())] }).to_string();
    cluster.try_apply_text(&manifest, &[]).expect(0);
    cluster.until_status("far", |status| status["state"] == "failing").await;
    let status = cluster.status("far", "node-0");
    assert!(status["last_error"].as_str().is_some_and(|text| text.contains(&place)), "{status}");
    let mut command = Command::new(process::program(PROGRAM));
    let _plugin = Process::start("plugin", command.arg(&place));
    cluster.until_status("far", |status| status["state"] == "ready").await;
    let mistake = json!({ "id": "far", "runtime": { "type": "rust-lines", "endpont": "h:1" } });
    wait::until("the schema to be known", async || {
        let refused = cluster.try_apply(std::slice::from_ref(&mistake)).text();
        holds(refused.contains("did you mean endpoint?"), refused)
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_may_bring_its_own() -> Result<()> {
    let cluster = Cluster::start(1);
    let server = server().await?;
    let own = |settings: Value| {
        json!({ "id": "own", "runtime": {
            "type": "plugin", "command": process::program(PROGRAM), "settings": settings,
        }})
    };
    cluster.apply(&[own(json!({ "endpoint": server.address() }))]);
    let client = Legacy::connect(&cluster.nodes[0].endpoint("own")).await?;
    assert_eq!(client.tool("echo", json!({ "message": "hello" })).await?, r#"{"message":"hello"}"#);
    cluster
        .try_apply_text(&json!({ "servers": [own(json!({ "endpont": "h:1" }))] }).to_string(), &[])
        .expect(0);
    cluster
        .until_status("own", |status| {
            let error = status["last_error"].as_str().unwrap_or_default();
            error.contains("settings.endpont: is not a setting of runtime type rust-lines")
        })
        .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_leaves_no_socket() -> Result<()> {
    let mut cluster = cluster();
    let server = server().await?;
    cluster.apply(&[behind("lines", server.address())]);
    let socket = socket_of(plugin_of(&cluster.nodes[0]).await)?;
    ensure!(socket.exists(), "{}", socket.display());
    cluster.nodes[0].kill();
    let folder = socket.parent().context("a folder")?;
    wait::until("its folder to go", async || holds(!folder.exists(), folder.display())).await;
    Ok(())
}

/// Where it was told to listen.
fn socket_of(pid: u32) -> Result<PathBuf> {
    let environ = String::from_utf8(std::fs::read(format!("/proc/{pid}/environ"))?)?;
    let socket = environ.split('\0').find_map(|variable| variable.strip_prefix("OMCP_PLUGIN_SOCKET="));
    Ok(socket.context("no socket is named")?.into())
}
