//! Backends that hang, die or never answer: the others are not kept waiting, and nothing that was known is
//! forgotten.

use std::time::Duration;

use anyhow::{Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::{Legacy, Modern};
use omcp_tests::harness::manifest::{http, manifest, stdio};
use omcp_tests::harness::server::Server;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{PARTIAL, endpoint, listed, names, owners, refused};

/// Far below what a backend that hangs would make of it, on a machine that is busy compiling.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Without waiting: some of them will never serve.
fn apply(cluster: &Cluster, backends: &[Value]) {
    cluster.try_apply_text(&manifest(backends), &[]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_never_answers_keeps_nobody_waiting() -> Result<()> {
    let cluster = Cluster::start(1);
    apply(
        &cluster,
        &[
            stdio("good", &[]),
            stdio("hangs", &["--behave", "hang-handshake"]),
            stdio("dies", &["--behave", "exit-at-once"]),
            http("away", "http://127.0.0.1:9/mcp"),
        ],
    );
    let client = Modern::new(&endpoint(&cluster));
    wait::until("the good backend to be listed", async || {
        let list = timeout(AT_ONCE, client.request("tools/list", json!({}))).await;
        let list = list.map_err(|_| "it took too long".to_owned())?.map_err(|error| format!("{error:#}"))?;
        let missing = &list["_meta"][PARTIAL]["missing"];
        let good = owners(&names(&list["tools"], "name")) == ["good"];
        holds(good && *missing == json!(["away", "dies", "hangs"]), list["_meta"].to_string())
    })
    .await;
    let legacy = timeout(AT_ONCE, Legacy::connect(&endpoint(&cluster))).await??;
    let list = timeout(AT_ONCE, legacy.request("tools/list", json!({}))).await??;
    assert_eq!(list["_meta"][PARTIAL]["missing"], json!(["away", "dies", "hangs"]));
    assert_eq!(client.tool("good__echo", json!({ "message": "x" })).await?, "x");
    assert_eq!(legacy.tool("good__echo", json!({ "message": "x" })).await?, "x");
    for name in ["dies__echo", "away__echo"] {
        let error = refused(&client, "tools/call", json!({ "name": name, "arguments": {} })).await?;
        assert_eq!(error["code"], -32603, "{name}: {error}");
        assert_eq!(error["data"]["backend"], name.split_once("__").unwrap().0);
        let mut exchange = legacy.open("tools/call", json!({ "name": name, "arguments": {} })).await?;
        assert_eq!(exchange.error().await?["data"]["backend"], name.split_once("__").unwrap().0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_all_is_an_error() -> Result<()> {
    let cluster = Cluster::start(1);
    let client = Modern::new(&endpoint(&cluster));
    let list = client.request("tools/list", json!({})).await?;
    assert_eq!(list["tools"], json!([]), "no backend is no failure");
    apply(&cluster, &[http("away", "http://127.0.0.1:9/mcp")]);
    wait::until("the backend to be given up", async || {
        let error = refused(&client, "tools/list", json!({})).await.map_err(|error| format!("{error:#}"))?;
        holds(error["code"] == -32603 && error["data"]["reason"] == "upstream_unavailable", error)
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_died_is_listed_as_it_was() -> Result<()> {
    let mut server = Server::http(&[]);
    let cluster = Cluster::start(1);
    cluster.apply(&[http("mortal", &server.url), stdio("other", &[])]);
    let before = listed(&endpoint(&cluster), &["mortal", "other"]).await;
    server.kill();
    let client = Modern::new(&endpoint(&cluster));
    let legacy = Legacy::connect(&endpoint(&cluster)).await?;
    // A few calls that fail make it a failing one.
    wait::until("the backend to be known as failing", async || {
        drop(refused(&client, "tools/call", json!({ "name": "mortal__echo", "arguments": {} })).await);
        let list = client.request("tools/list", json!({})).await.map_err(|error| format!("{error:#}"))?;
        holds(list["_meta"][PARTIAL]["stale"] == json!(["mortal"]), list["_meta"].to_string())
    })
    .await;
    for list in
        [client.request("tools/list", json!({})).await?, legacy.request("tools/list", json!({})).await?]
    {
        assert_eq!(names(&list["tools"], "name"), before);
        assert_eq!(list["_meta"][PARTIAL], json!({ "stale": ["mortal"], "missing": [] }));
    }
    server.restart();
    assert_eq!(listed(&endpoint(&cluster), &["mortal", "other"]).await, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_the_death_of_one_backend() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("mortal", &["--era", "legacy"]), stdio("other", &["--era", "legacy"])]);
    listed(&endpoint(&cluster), &["mortal", "other"]).await;
    let client = Legacy::connect(&endpoint(&cluster)).await?;
    let pid = client.tool("mortal__pid", json!({})).await?;
    assert_eq!(client.tool("other__counter", json!({})).await?, "1");
    let mut doomed = client.open("tools/call", json!({ "name": "mortal__die" })).await?;
    let error = doomed.error().await?;
    assert_eq!(
        (&error["data"]["backend"], &error["data"]["reason"]),
        (&json!("mortal"), &json!("stream_lost")),
        "{error}"
    );
    let again: Value = wait::until("a new session with the backend", async || {
        let answer = client.request("tools/call", json!({ "name": "mortal__pid" })).await;
        answer.map_err(|error| format!("{error:#}"))
    })
    .await;
    ensure!(again["content"][0]["text"] != pid, "{again}");
    assert_eq!(client.tool("other__counter", json!({})).await?, "2", "the other session goes on");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_the_change_of_a_backend() -> Result<()> {
    let cluster = Cluster::start(1);
    cluster.apply(&[stdio("a", &["--era", "legacy"])]);
    listed(&endpoint(&cluster), &["a"]).await;
    let client = Legacy::connect(&endpoint(&cluster)).await?;
    let old = client.tool("a__pid", json!({})).await?;
    let slow = json!({ "name": "a__slow", "arguments": { "ms": 4000 } });
    let mut call = {
        let (client, slow) = (client.clone(), slow);
        tokio::spawn(async move { client.open("tools/call", slow).await?.result().await })
    };
    let mut changed = stdio("a", &["--era", "legacy"]);
    changed["env"] = json!({ "EDIT": "1" });
    cluster.apply(&[changed]);
    wait::until("the new definition to serve", async || {
        let pid = client.tool("a__pid", json!({})).await.map_err(|error| format!("{error:#}"))?;
        holds(pid != old, pid)
    })
    .await;
    timeout(Duration::from_secs(20), &mut call).await???;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_just_started_lists_what_others_know() -> Result<()> {
    let mut server = Server::http(&[]);
    let mut cluster = Cluster::start(1);
    cluster.apply(&[http("mortal", &server.url), stdio("other", &[])]);
    let before = listed(&endpoint(&cluster), &["mortal", "other"]).await;
    server.kill();
    cluster.join("omcp-data-plane", "late", &[]);
    let late = Modern::new(&format!("{}/mcp", cluster.nodes[1].mcp));
    wait::until("the new node to list what only the old one has seen", async || {
        let list = late.request("tools/list", json!({})).await.map_err(|error| format!("{error:#}"))?;
        let stale = list["_meta"][PARTIAL]["stale"] == json!(["mortal"]);
        holds(stale && names(&list["tools"], "name") == before, list["_meta"].to_string())
    })
    .await;
    let error = refused(&late, "tools/call", json!({ "name": "mortal__echo", "arguments": {} })).await?;
    assert_eq!(error["data"]["backend"], "mortal", "{error}");
    Ok(())
}
