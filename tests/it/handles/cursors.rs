//! Cursors into the lists of all backends.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::wait::{self, holds};
use serde_json::{Value, json};

use super::{Person, spoilt};
use crate::envoy::Envoy;

/// As many of one backend as are taken, nearly; so many of them are more than one page.
const MORE: usize = 900;
const BACKENDS: usize = 6;

fn names(list: &Value) -> impl Iterator<Item = String> {
    let tools = list["tools"].as_array().into_iter().flatten();
    tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned))
}

/// The first page, when it is not the only one.
async fn first_page(client: &Person<'_>, path: &str) -> Value {
    wait::until("more than one page", async || {
        let list =
            client.result(path, "tools/list", json!({})).await.map_err(|error| format!("{error:#}"))?;
        let whole = list["nextCursor"].is_string() && list["_meta"].get(crate::aggregate::PARTIAL).is_none();
        holds(whole, format!("{} tools", names(&list).count())).map(|()| list)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_for_who_got_it_where_it_was_given() -> Result<()> {
    let cluster = Cluster::start(1);
    let more = MORE.to_string();
    let backends = (0..BACKENDS).map(|n| {
        let mut backend = stdio(&format!("b{n}"), &["--era", "modern", "--more-tools", &more]);
        backend["tags"] = json!(["many"]);
        backend
    });
    cluster.apply(&backends.collect::<Vec<_>>());
    let node = &cluster.nodes[0];
    let envoy = Envoy::of(node)?;
    let alice = Person { envoy: &envoy, node, name: "alice" };
    let (bob, nobody) = (alice.called("bob"), alice.called("anon"));

    let first = first_page(&alice, "/mcp").await;
    let cursor = first["nextCursor"].as_str().context("a cursor")?.to_owned();
    let at = |cursor: &str| json!({ "cursor": cursor });
    let rest = alice.result("/mcp", "tools/list", at(&cursor)).await?;
    let all: Vec<String> = names(&first).chain(names(&rest)).collect();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "no tool comes twice");
    assert!(all.len() > BACKENDS * MORE && rest.get("nextCursor").is_none(), "{} tools", all.len());

    for path in ["/mcp", "/mcp?tags=many"] {
        let unknown = alice.told(path, "tools/list", at("unknown")).await?;
        assert!(unknown.0 == 200 && unknown.1.contains("-32602"), "{unknown:?}");
        for spoilt in spoilt(&cursor) {
            assert_eq!(alice.told(path, "tools/list", at(&spoilt)).await?, unknown, "{path}: {spoilt}");
        }
        for thief in [bob, nobody] {
            assert_eq!(thief.told(path, "tools/list", at(&cursor)).await?, unknown, "{path}: {}", thief.name);
        }
    }
    let unknown = alice.told("/mcp", "prompts/list", at("unknown")).await?;
    assert_eq!(alice.told("/mcp", "prompts/list", at(&cursor)).await?, unknown, "another list");
    let elsewhere = alice.told("/mcp?tags=many", "tools/list", at("unknown")).await?;
    assert_eq!(alice.told("/mcp?tags=many", "tools/list", at(&cursor)).await?, elsewhere);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_a_handshake_server_is_for_who_got_it() -> Result<()> {
    let cluster = Cluster::start(1);
    let options = ["--era", "legacy", "--page-size", "7"];
    cluster.apply(&[stdio("paged", &options), stdio("other", &options)]);
    let node = &cluster.nodes[0];
    let envoy = Envoy::of(node)?;
    let alice = Person { envoy: &envoy, node, name: "alice" };
    let able = |capabilities: Value, cursor: &str| json!({ "cursor": cursor, "_meta": { "io.modelcontextprotocol/clientCapabilities": capabilities } });
    let at = |cursor: &str| able(json!({}), cursor);
    let mut page = alice.result("/mcp/paged", "tools/list", at_start(json!({}))).await?;
    let cursor = page["nextCursor"].as_str().context("a cursor")?.to_owned();
    let mut all: Vec<String> = names(&page).collect();
    while let Some(next) = page["nextCursor"].as_str().map(str::to_owned) {
        page = alice.result("/mcp/paged", "tools/list", at(&next)).await?;
        all.extend(names(&page));
    }
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "no tool comes twice");
    assert!(all.len() > 14, "{all:?}");

    let unknown = alice.told("/mcp/paged", "tools/list", at("from-7")).await?;
    assert!(unknown.0 == 200 && unknown.1.contains("-32602"), "{unknown:?}");
    for spoilt in spoilt(&cursor) {
        assert_eq!(alice.told("/mcp/paged", "tools/list", at(&spoilt)).await?, unknown, "{spoilt}");
    }
    for thief in [alice.called("bob"), alice.called("anon")] {
        assert_eq!(thief.told("/mcp/paged", "tools/list", at(&cursor)).await?, unknown, "{}", thief.name);
    }
    assert_eq!(alice.told("/mcp/other", "tools/list", at(&cursor)).await?, unknown);
    assert_eq!(alice.told("/mcp/paged", "prompts/list", at(&cursor)).await?, unknown);
    let more = able(json!({ "sampling": {} }), &cursor);
    assert_eq!(alice.told("/mcp/paged", "tools/list", more).await?, unknown, "it may list something else");
    Ok(())
}

fn at_start(capabilities: Value) -> Value {
    json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": capabilities } })
}
