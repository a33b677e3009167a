//! `lifecycle.isolation: principal`: whom a process serves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use omcp_tests::harness::Cluster;
use omcp_tests::harness::client::modern::{headers_of, with_envelope};
use omcp_tests::harness::client::{Exchange, Legacy, Modern};
use omcp_tests::harness::manifest::stdio;
use omcp_tests::harness::node::Node;
use serde_json::{Value, json};

use crate::envoy::{Envoy, JSON};

/// A client with a name.
struct Named<'a> {
    envoy: &'a Envoy,
    node: &'a Node,
    principal: &'a str,
}

impl Named<'_> {
    /// The process that answers in a new session, which stays open.
    async fn session(&self, path: &str, tool: &str) -> Result<String> {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": self.principal, "version": "1" } });
        let mut opened = self.exchange(path, "initialize", params, &JSON).await?;
        opened.result().await?;
        let id = opened.headers.get("mcp-session-id").context("a session")?.to_str()?;
        let headers = [&JSON[..], &[("mcp-session-id", id)]].concat();
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.envoy.post(self.node, path, self.principal, &initialized, &headers).await?;
        let params = json!({ "name": tool, "arguments": {} });
        pid(self.exchange(path, "tools/call", params, &headers).await?).await
    }

    /// The process that answers without a session.
    async fn stateless(&self, path: &str, tool: &str) -> Result<String> {
        let params = with_envelope(json!({ "name": tool, "arguments": {} }));
        let headers = headers_of(&json!({ "method": "tools/call", "params": params }));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        pid(self.exchange(path, "tools/call", params, &headers).await?).await
    }

    async fn exchange(
        &self,
        path: &str,
        method: &str,
        params: Value,
        headers: &[(&str, &str)],
    ) -> Result<Exchange> {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply = self.envoy.post(self.node, path, self.principal, &message, headers).await?;
        Exchange::new(json!(1), reply).await
    }
}

async fn pid(mut called: Exchange) -> Result<String> {
    let result = called.result().await?;
    result["content"][0]["text"].as_str().map(str::to_owned).with_context(|| result.to_string())
}

/// The processes that served each.
#[derive(Default)]
struct Seen(BTreeMap<&'static str, Vec<String>>);

impl Seen {
    fn by(&mut self, who: &'static str, pid: String) {
        self.0.entry(who).or_default().push(pid);
    }

    fn of(&self, who: &str) -> BTreeSet<&String> {
        self.0.get(who).into_iter().flatten().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_has_processes_to_itself() -> Result<()> {
    let cluster = Cluster::start(1);
    let backends: [(_, &[&str], _); 3] = [
        // A connection for sessions, and one for calls without.
        ("both", &[], 2),
        ("legacy", &["--era", "legacy"], 2),
        ("modern", &["--era", "modern"], 1),
    ];
    cluster.apply(&backends.map(|(name, options, _)| {
        let mut backend = stdio(name, options);
        backend["lifecycle"] = json!({ "isolation": "principal" });
        backend
    }));
    let node = &cluster.nodes[0];
    let envoy = Envoy::of(node)?;
    for (backend, _, processes) in backends {
        let (path, aggregated) = (format!("/mcp/{backend}"), format!("{backend}__pid"));
        let mut seen = Seen::default();
        for principal in ["alice", "bob", "alice"] {
            let client = Named { envoy: &envoy, node, principal };
            seen.by(principal, client.session(&path, "pid").await?);
            seen.by(principal, client.session("/mcp", &aggregated).await?);
            seen.by(principal, client.stateless(&path, "pid").await?);
            seen.by(principal, client.stateless("/mcp", &aggregated).await?);
        }
        let url = node.endpoint(backend);
        let (one, two) = (Legacy::connect(&url).await?, Legacy::connect(&url).await?);
        let sessions = [one.tool("pid", json!({})).await?, two.tool("pid", json!({})).await?];
        let apart = sessions[0] != sessions[1];
        ensure!(apart == (backend != "modern"), "{backend}: sessions of {sessions:?}");
        sessions.into_iter().for_each(|pid| seen.by("nobody", pid));
        seen.by("nobody", Modern::new(&url).tool("pid", json!({})).await?);

        let [alice, bob, nobody] = ["alice", "bob", "nobody"].map(|who| seen.of(who));
        assert_eq!((alice.len(), bob.len()), (processes, processes), "{backend}: {alice:?}, {bob:?}");
        ensure!(alice.is_disjoint(&bob), "{backend}: {alice:?} and {bob:?}");
        ensure!(nobody.is_disjoint(&(&alice | &bob)), "{backend}: {nobody:?} of {alice:?} or {bob:?}");
    }
    Ok(())
}
